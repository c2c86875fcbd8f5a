// SPDX-License-Identifier: Apache-2.0
// cpp-httplib: its pool's thread serves a whole connection.
#include <httplib.h>

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

static int truth_fd;
static std::mutex log_lock;

static void wrote(const std::string &line, const std::string *id)
{
	std::string text = "{\"line\": \"" + line + "\", \"id\": " + (id ? "\"" + *id + "\"" : "null") + "}\n";
	if (write(truth_fd, text.data(), text.size()) < 0)
		abort();
}

static void info(FILE *out, const std::string &line, const std::string *id = nullptr)
{
	{
		std::lock_guard<std::mutex> hold(log_lock);
		fputs((line + "\n").c_str(), out);
		fflush(out);
	}
	wrote(line, id);
}

static void beat(int name)
{
	for (int n = 1;; n++) {
		info(stderr, "heartbeat " + std::to_string(name) + " " + std::to_string(n));
		std::this_thread::sleep_for(std::chrono::milliseconds(5));
	}
}

static void handle(const httplib::Request &request, httplib::Response &response)
{
	const std::string kind = request.matches[1], token = request.matches[2];
	const std::string value = request.get_header_value("x-baseten-request-id");
	const std::string *id = value.empty() ? nullptr : &value;

	info(stderr, token + " begin", id);
	if (kind == "call")
		httplib::Client("http://" + std::string(getenv("UPSTREAM"))).Get("/");
	if (kind == "slow")
		std::this_thread::sleep_for(std::chrono::milliseconds(60));
	info(stdout, token + " works", id);
	info(stderr, token + " done", id);
	response.set_content(token + "\n", "text/plain");
}

int main()
{
	httplib::Server server;
	const char *pool = getenv("POOL");

	truth_fd = open(getenv("TRUTH"), O_WRONLY | O_APPEND | O_CREAT, 0644);
	info(stderr, "start-up");
	for (int i = 0; i < 2; i++)
		std::thread(beat, i).detach();
	server.new_task_queue = [pool] { return new httplib::ThreadPool(pool ? atoi(pool) : 128); };
	server.set_socket_options([](socket_t fd) {
		int yes = 1;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	});
	server.set_tcp_nodelay(true);
	server.set_keep_alive_max_count(100000);
	server.Get("/(work|call|slow)/(\\w+)", handle);
	server.Post("/(work|call|slow)/(\\w+)", handle);
	return server.listen("127.0.0.1", atoi(getenv("PORT"))) ? 0 : 1;
}
