/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "agent/secret.h"

struct secret {
	size_t len;
	char *text; /* apart: sodium_malloc() ends at its guard page and so aligns nothing */
};

int secret__guard_process(void)
{
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}

int secret__empty_core(void)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
	int err = fd < 0 || write(fd, "0", 1) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

/* sodium_malloc() locks the pages, puts guards around them and sets MADV_DONTDUMP. */
struct secret *secret__new(const char *text, size_t len)
{
	struct secret *secret = sodium_init() < 0 ? NULL : malloc(sizeof(*secret));

	if (!secret)
		return NULL;
	secret->len = len;
	secret->text = sodium_malloc(len + 1);
	if (!secret->text) {
		free(secret);
		return NULL;
	}
	memcpy(secret->text, text, len);
	secret->text[len] = '\0';
	return secret;
}

struct secret *secret__free(struct secret *secret)
{
	if (!secret)
		return NULL;
	sodium_free(secret->text);
	free(secret);
	return NULL;
}

const char *secret__text(const struct secret *secret)
{
	return secret->text;
}

size_t secret__len(const struct secret *secret)
{
	return secret->len;
}

bool secret__equal(const struct secret *a, const struct secret *b)
{
	return a->len == b->len && sodium_memcmp(a->text, b->text, a->len) == 0;
}

static ssize_t read_all(int fd, char *data, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t got = read(fd, data + len, size - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	return (ssize_t)len;
}

struct secret *secret__read(int fd, int *ret_err)
{
	struct secret *secret;
	char *data;
	ssize_t len;

	*ret_err = -ENOMEM;
	if (sodium_init() < 0)
		return NULL;
	data = sodium_malloc(SECRET_MAX + 1);
	if (!data)
		return NULL;
	len = read_all(fd, data, SECRET_MAX + 1);
	if (len > SECRET_MAX)
		len = -EFBIG;
	if (len < 0) {
		*ret_err = (int)len;
		sodium_free(data);
		return NULL;
	}
	if (len && data[len - 1] == '\n')
		len--;
	if (len && data[len - 1] == '\r')
		len--;
	secret = secret__new(data, (size_t)len);
	sodium_free(data);
	if (secret)
		*ret_err = 0;
	return secret;
}

void secret__wipe(void *data, size_t len)
{
	sodium_memzero(data, len);
}

#if defined(__x86_64__)
/* The 16 that only AVX-512 has: glibc copies by them, and GCC 12 zeroes the others alone. */
__attribute__((target("avx512f"))) static void wipe_upper(void)
{
	__asm__ volatile(".irp i, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
			 "vpxord %zmm\\i, %zmm\\i, %zmm\\i\n"
			 ".endr");
}

__attribute__((noipa, target("avx"), zero_call_used_regs("all"))) static void wipe_avx(void)
{
}
#endif

__attribute__((noipa, zero_call_used_regs("all"))) void secret__wipe_registers(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		wipe_upper();
	if (__builtin_cpu_supports("avx"))
		wipe_avx();
#endif
}
