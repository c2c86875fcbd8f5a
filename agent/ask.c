/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/ask.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent/command.h"
#include "agent/keep.h"
#include "agent/log.h"

#define ANSWER_MAX (16 << 20)
#define TIMEOUT_MS 5000L

static size_t take(char *data, size_t size, size_t count, void *ctx)
{
	struct answer *answer = ctx;
	size_t len = size * count;
	char *grown = len < ANSWER_MAX - answer->len ? realloc(answer->text, answer->len + len + 1)
						     : NULL;

	if (!grown)
		return 0;
	memcpy(grown + answer->len, data, len);
	answer->text = grown;
	answer->len += len;
	grown[answer->len] = '\0';
	return len;
}

int ask(const char *state_dir, const char *path, struct answer *answer)
{
	char socket[PATH_MAX], url[256];
	CURL *curl = curl_easy_init();
	CURLcode code;
	long status = 0;

	if (!curl)
		return EXIT_FAILED;
	snprintf(socket, sizeof(socket), "%s/" KEEP_SOCKET, state_dir);
	snprintf(url, sizeof(url), "http://localhost%s", path);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	if (code == CURLE_OK && status == 200 && answer->text)
		return EXIT_DONE;
	if (code != CURLE_OK)
		log_error("no reqtap answers on %s: an agent, or `reqtap run --state-dir`, does "
			  "while it runs; --state-dir names another place",
			  socket);
	else if (status == 404)
		log_error("the reqtap on %s does not know %s", socket, path);
	return EXIT_FAILED;
}
