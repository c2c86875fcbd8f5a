// SPDX-License-Identifier: Apache-2.0
// A hand-written pool: one thread reads for all, POOL workers take whole requests from a queue with
// a condition variable and answer themselves. BACK says how a worker gives the connection back:
// by arming epoll again ("arm"), by an eventfd ("wake"), or not at all, since the reader never let
// go of it ("none").
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "truth.hpp"

struct Job {
	int fd;
	std::string request;
};

static int events, wake;
static std::string back;
static std::mutex queue_lock;
static std::condition_variable filled;
static std::deque<Job> queue;
static std::vector<int> returned; // under queue_lock

static std::string field(const std::string &head, const char *name)
{
	size_t length = strlen(name);

	for (size_t at = head.find("\r\n"); at != std::string::npos; at = head.find("\r\n", at)) {
		at += 2;
		if (strncasecmp(head.c_str() + at, name, length) == 0 && head[at + length] == ':') {
			size_t from = head.find_first_not_of(' ', at + length + 1);

			return head.substr(from, head.find("\r\n", at) - from);
		}
	}
	return "";
}

static void answer(int fd, const std::string &body)
{
	std::string text = "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;

	for (size_t at = 0; at < text.size();) {
		ssize_t sent = send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
		struct pollfd room = {fd, POLLOUT, 0};

		if (sent < 0 && errno == EAGAIN)
			poll(&room, 1, -1);
		else if (sent < 0)
			return;
		else
			at += sent;
	}
}

static void arm(int fd, int operation)
{
	struct epoll_event event = {};

	event.events = EPOLLIN | (back == "none" ? 0U : EPOLLONESHOT);
	event.data.fd = fd;
	epoll_ctl(events, operation, fd, &event);
}

static void give_back(int fd)
{
	if (back == "arm") {
		arm(fd, EPOLL_CTL_MOD);
	} else if (back == "wake") {
		{
			std::lock_guard<std::mutex> hold(queue_lock);
			returned.push_back(fd);
		}
		eventfd_write(wake, 1);
	}
}

static void work(const Job &job)
{
	const std::string path = job.request.substr(job.request.find('/'), 64);
	const std::string kind = path.substr(1, 4), token = path.substr(6, path.find(' ') - 6);
	const std::string id = field(job.request.substr(0, job.request.find("\r\n\r\n") + 2), "x-baseten-request-id");

	info(2, token + " begin", id);
	if (kind == "slow")
		std::this_thread::sleep_for(std::chrono::milliseconds(60));
	info(1, token + " works", id);
	info(2, token + " done", id);
	answer(job.fd, token + "\n");
	give_back(job.fd);
}

static void worker()
{
	for (;;) {
		std::unique_lock<std::mutex> hold(queue_lock);

		filled.wait(hold, [] { return !queue.empty(); });
		Job job = queue.front();
		queue.pop_front();
		hold.unlock();
		work(job);
	}
}

/* A whole request leaves `text`; empty: there is none yet. */
static std::string cut(std::string &text)
{
	size_t end = text.find("\r\n\r\n");
	std::string request;

	if (end == std::string::npos)
		return "";
	end += 4 + atol(field(text.substr(0, end), "content-length").c_str());
	if (text.size() < end)
		return "";
	request = text.substr(0, end);
	text.erase(0, end);
	return request;
}

static void receive(std::map<int, std::string> &open, int fd)
{
	char block[4096];
	ssize_t bytes = read(fd, block, sizeof(block));
	std::string request;

	if (bytes <= 0 && !(bytes < 0 && errno == EAGAIN)) {
		open.erase(fd);
		close(fd);
		return;
	}
	open[fd].append(block, bytes > 0 ? bytes : 0);
	request = cut(open[fd]);
	if (request.empty()) {
		if (back != "none")
			arm(fd, EPOLL_CTL_MOD);
		return;
	}
	std::lock_guard<std::mutex> hold(queue_lock);
	queue.push_back({fd, request});
	filled.notify_one();
}

static void take_back()
{
	uint64_t count;
	std::vector<int> all;

	eventfd_read(wake, &count);
	{
		std::lock_guard<std::mutex> hold(queue_lock);
		all.swap(returned);
	}
	for (int fd : all)
		arm(fd, EPOLL_CTL_MOD);
}

static int listener()
{
	struct sockaddr_in address = {};
	int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	address.sin_family = AF_INET;
	address.sin_port = htons(atoi(getenv("PORT")));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, reinterpret_cast<struct sockaddr *>(&address), sizeof(address)) || listen(fd, 256))
		exit(1);
	return fd;
}

int main()
{
	std::map<int, std::string> open;
	struct epoll_event event = {};
	int listening = listener();

	back = getenv("BACK");
	truth_fd = ::open(getenv("TRUTH"), O_WRONLY | O_APPEND | O_CREAT, 0644);
	events = epoll_create1(0);
	wake = eventfd(0, EFD_NONBLOCK);
	event.events = EPOLLIN;
	for (int fd : {listening, wake}) {
		event.data.fd = fd;
		epoll_ctl(events, EPOLL_CTL_ADD, fd, &event);
	}
	info(2, "start-up");
	for (int i = 0; i < 2; i++)
		std::thread(beat, i).detach();
	for (int i = 0; i < atoi(getenv("POOL")); i++)
		std::thread(worker).detach();
	for (;;) {
		if (epoll_wait(events, &event, 1, -1) != 1)
			continue;
		if (event.data.fd == wake)
			take_back();
		else if (event.data.fd == listening)
			arm(accept4(listening, nullptr, nullptr, SOCK_NONBLOCK), EPOLL_CTL_ADD);
		else
			receive(open, event.data.fd);
	}
}
