// SPDX-License-Identifier: Apache-2.0
// What a C++ server of the matrix logs, and the truth about it.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

static int truth_fd;
static std::mutex log_lock;

static void info(int fd, const std::string &line, const std::string &id = "")
{
	std::string truth = "{\"line\": \"" + line + "\", \"id\": " + (id.empty() ? "null" : "\"" + id + "\"") + "}\n";
	std::string text = line + "\n";
	std::lock_guard<std::mutex> hold(log_lock);

	if (write(fd, text.data(), text.size()) < 0 || write(truth_fd, truth.data(), truth.size()) < 0)
		abort();
}

static void beat(int name)
{
	for (int n = 1;; n++) {
		info(2, "heartbeat " + std::to_string(name) + " " + std::to_string(n));
		std::this_thread::sleep_for(std::chrono::milliseconds(5));
	}
}
