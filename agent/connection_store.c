/* SPDX-License-Identifier: Apache-2.0 */
/* The stored connection: lines of member=value, sealed under a key file. See connection.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "agent/connection.h"

/* Before the nonce: what this is, and of which make. */
static const char magic[8] = { 'r', 'e', 'q', 't', 'a', 'p', 'c', '1' };

#define SEALED_MAX (DESTINATION_HEADERS_MAX * 16384 + 65536)
#define OVERHEAD (sizeof(magic) + crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES)

__attribute__((format(printf, 3, 4))) static int fail(char **ret_problem, int err,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(ret_problem, format, args) < 0)
		*ret_problem = NULL;
	va_end(args);
	return err;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t done = write(fd, data, len);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			data += done;
			len -= (size_t)done;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Whole or not at all, also for who reads meanwhile. */
static int write_file(const char *path, const uint8_t *data, size_t len)
{
	char temporary[PATH_MAX + 16];
	int fd, err;

	snprintf(temporary, sizeof(temporary), "%s.%d", path, getpid());
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, data, len);
	close(fd);
	if (!err && rename(temporary, path) < 0)
		err = -errno;
	if (err)
		unlink(temporary);
	return err;
}

static ssize_t read_file(const char *path, uint8_t *data, size_t size, mode_t *ret_mode)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat status;
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = fstat(fd, &status) < 0 ? -errno : 0;
	if (!len) {
		*ret_mode = status.st_mode;
		len = read(fd, data, size);
		if (len < 0)
			len = -errno;
	}
	close(fd);
	return len;
}

static int read_key(const char *state_dir, uint8_t key[crypto_secretbox_KEYBYTES],
		    char **ret_problem)
{
	char path[PATH_MAX];
	mode_t mode = 0;
	ssize_t len;

	snprintf(path, sizeof(path), "%s/key", state_dir);
	len = read_file(path, key, crypto_secretbox_KEYBYTES, &mode);
	if (len == -ENOENT)
		return -ENOENT;
	if (len < 0)
		return fail(ret_problem, (int)len, "%s: %s", path, strerror((int)-len));
	if (mode & 0077)
		return fail(ret_problem, -EPERM,
			    "%s: others may read it; chmod 600 it, or set the connection anew",
			    path);
	if (len != crypto_secretbox_KEYBYTES)
		return fail(ret_problem, -EBADMSG,
			    "%s: is no key; remove it and set the connection anew", path);
	return 0;
}

static int make_key(const char *state_dir, uint8_t key[crypto_secretbox_KEYBYTES],
		    char **ret_problem)
{
	char path[PATH_MAX];
	int err = read_key(state_dir, key, ret_problem);

	if (err != -ENOENT)
		return err;
	if (mkdir(state_dir, 0700) < 0 && errno != EEXIST)
		return fail(ret_problem, -errno, "%s: %s", state_dir, strerror(errno));
	crypto_secretbox_keygen(key);
	snprintf(path, sizeof(path), "%s/key", state_dir);
	err = write_file(path, key, crypto_secretbox_KEYBYTES);
	return err ? fail(ret_problem, err, "%s: %s", path, strerror(-err)) : 0;
}

static void print_member(FILE *out, const char *name, const char *value)
{
	if (value)
		fprintf(out, "%s=%s\n", name, value);
}

/* Into locked memory: fmemopen() without a buffer keeps no copy of its own. */
static size_t print_members(char *text, size_t size, const struct destination *destination)
{
	FILE *out = fmemopen(text, size, "w");
	char retry[DESTINATION_RETRY_TEXT_MAX];
	long len;

	if (!out)
		return 0;
	setvbuf(out, NULL, _IONBF, 0);
	print_member(out, "endpoint", destination->endpoint);
	for (size_t i = 0; i < destination->header_count; i++)
		fprintf(out, "header=%s:%s\n", destination->headers[i].name,
			secret__text(destination->headers[i].value));
	print_member(out, "compression", compression_name(destination->compression));
	print_member(out, "ca", destination->ca_file);
	print_member(out, "cert", destination->client_cert_file);
	print_member(out, "key", destination->client_key_file);
	print_member(out, "proxy", destination->proxy);
	destination__retry_text(destination, retry);
	print_member(out, "retry", retry);
	fprintf(out, "timeout_ms=%u\nmax_body_bytes=%u\ndrop_before_ns=%" PRIu64 "\nenabled=%d\n",
		destination->timeout_ms, destination->max_body_bytes, destination->drop_before_ns,
		destination->enabled);
	len = ftell(out);
	fclose(out);
	return len < 0 ? 0 : (size_t)len;
}

static int set_text(char **ret, const char *value)
{
	free(*ret);
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

static int set_member(struct destination *ret, const char *name, char *value)
{
	if (strcmp(name, "endpoint") == 0)
		return set_text(&ret->endpoint, value);
	if (strcmp(name, "ca") == 0)
		return set_text(&ret->ca_file, value);
	if (strcmp(name, "cert") == 0)
		return set_text(&ret->client_cert_file, value);
	if (strcmp(name, "key") == 0)
		return set_text(&ret->client_key_file, value);
	if (strcmp(name, "proxy") == 0)
		return set_text(&ret->proxy, value);
	if (strcmp(name, "compression") == 0)
		return compression_from_name(value, &ret->compression);
	if (strcmp(name, "retry") == 0)
		return destination__set_retry_codes(ret, value);
	if (strcmp(name, "timeout_ms") == 0)
		ret->timeout_ms = (uint32_t)strtoul(value, NULL, 10);
	else if (strcmp(name, "max_body_bytes") == 0)
		ret->max_body_bytes = (uint32_t)strtoul(value, NULL, 10);
	else if (strcmp(name, "drop_before_ns") == 0)
		ret->drop_before_ns = strtoull(value, NULL, 10);
	else if (strcmp(name, "enabled") == 0)
		ret->enabled = *value == '1';
	else if (strcmp(name, "header") == 0) {
		char *colon = strchr(value, ':');

		if (!colon)
			return -EBADMSG;
		*colon = '\0';
		return destination__add_header(ret, value, colon + 1, strlen(colon + 1));
	}
	/* A member of a later version is passed over. */
	return 0;
}

static int parse_members(char *text, struct destination *ret)
{
	char *rest = text, *line;
	int err = 0;

	while (!err && (line = strsep(&rest, "\n"))) {
		char *equals = strchr(line, '=');

		if (!equals)
			continue;
		*equals = '\0';
		err = set_member(ret, line, equals + 1);
	}
	return err ? -EBADMSG : 0;
}

static int unseal(const uint8_t *sealed, size_t len, const uint8_t *key, char *text)
{
	const uint8_t *nonce = sealed + sizeof(magic);
	const uint8_t *box = nonce + crypto_secretbox_NONCEBYTES;

	if (len < OVERHEAD || memcmp(sealed, magic, sizeof(magic)) != 0 ||
	    crypto_secretbox_open_easy((unsigned char *)text, box, len - (size_t)(box - sealed),
				       nonce, key) != 0)
		return -EBADMSG;
	text[len - OVERHEAD] = '\0';
	return 0;
}

/* Key and clear text, in one piece of locked memory. */
struct clear {
	uint8_t key[crypto_secretbox_KEYBYTES];
	char text[SEALED_MAX];
};

static int load(const char *path, const char *state_dir, uint8_t *sealed, struct clear *clear,
		struct destination *ret, char **ret_problem)
{
	mode_t mode;
	ssize_t len = read_file(path, sealed, SEALED_MAX, &mode);
	int err;

	if (len == -ENOENT)
		return -ENOENT;
	if (len < 0)
		return fail(ret_problem, (int)len, "%s: %s", path, strerror((int)-len));
	err = read_key(state_dir, clear->key, ret_problem);
	if (err == -ENOENT)
		return fail(ret_problem, -EBADMSG, "%s/key: is gone; set the connection anew",
			    state_dir);
	if (err)
		return err;
	if (unseal(sealed, (size_t)len, clear->key, clear->text) < 0 ||
	    parse_members(clear->text, ret) < 0)
		return fail(ret_problem, -EBADMSG,
			    "%s: is damaged or of another key; set the connection anew", path);
	return 0;
}

int connection__load(const char *state_dir, struct destination *ret, char **ret_problem)
{
	struct destination read;
	struct clear *clear;
	uint8_t *sealed;
	char path[PATH_MAX];
	int err;

	*ret_problem = NULL;
	if (sodium_init() < 0)
		return -ENOMEM;
	clear = sodium_malloc(sizeof(*clear));
	sealed = malloc(SEALED_MAX);
	snprintf(path, sizeof(path), "%s/connection", state_dir);
	destination__init(&read);
	err = clear && sealed ? load(path, state_dir, sealed, clear, &read, ret_problem) : -ENOMEM;
	if (err)
		destination__clear(&read);
	else
		*ret = read;
	free(sealed);
	sodium_free(clear);
	return err;
}

int connection__store(const char *state_dir, const struct destination *destination,
		      char **ret_problem)
{
	struct clear *clear;
	uint8_t *sealed;
	char path[PATH_MAX];
	size_t len;
	int err;

	*ret_problem = NULL;
	if (sodium_init() < 0)
		return -ENOMEM;
	clear = sodium_malloc(sizeof(*clear));
	sealed = malloc(SEALED_MAX);
	err = clear && sealed ? make_key(state_dir, clear->key, ret_problem) : -ENOMEM;
	if (!err) {
		uint8_t *nonce = sealed + sizeof(magic);

		len = print_members(clear->text, SEALED_MAX - OVERHEAD, destination);
		memcpy(sealed, magic, sizeof(magic));
		randombytes_buf(nonce, crypto_secretbox_NONCEBYTES);
		crypto_secretbox_easy(nonce + crypto_secretbox_NONCEBYTES,
				      (unsigned char *)clear->text, len, nonce, clear->key);
		snprintf(path, sizeof(path), "%s/connection", state_dir);
		err = write_file(path, sealed, len + OVERHEAD);
		if (err)
			fail(ret_problem, err, "%s: %s", path, strerror(-err));
	}
	free(sealed);
	sodium_free(clear);
	return err;
}
