/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/openssl.h"

#include <errno.h>
#include <stdio.h>

static const struct {
	const char *function;
	const char *program;
	const char *at_return; /* NULL: nothing to do there */
} hooks[] = {
	{ "SSL_read", "rt_tls_enter", "rt_tls_read" },
	{ "SSL_write", "rt_tls_enter", "rt_tls_written" },
	{ "SSL_set_accept_state", "rt_tls_server", NULL },
	{ "SSL_set_connect_state", "rt_tls_end", NULL },
	{ "SSL_accept", "rt_tls_server", NULL },
	{ "SSL_connect", "rt_tls_end", NULL },
	{ "SSL_free", "rt_tls_end", NULL },
	/* since 1.1.1; a program that links OpenSSL statically may lack what it does not call */
	{ "SSL_read_ex", "rt_tls_enter_ex", "rt_tls_read" },
	{ "SSL_write_ex", "rt_tls_enter_ex", "rt_tls_written" },
};

#define NEEDED 3 /* without the first ones nothing is seen */

static void add(struct runtime_match *match, const char *program, uint64_t vaddr, bool at_return)
{
	match->probes[match->probe_count++] = (struct runtime_probe){ .program = program,
								      .vaddr = vaddr,
								      .at_return = at_return };
}

static int recognise(struct elf *elf, struct runtime_match *ret)
{
	struct elf_range range;

	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		if (elf__symbol(elf, hooks[i].function, &range)) {
			if (i < NEEDED)
				return -ENOENT;
			continue;
		}
		add(ret, hooks[i].program, range.vaddr, false);
		if (hooks[i].at_return)
			add(ret, hooks[i].at_return, range.vaddr, true);
	}
	/* SSL_get_peer_certificate was renamed in 3.0 */
	snprintf(ret->version, sizeof(ret->version), "%s",
		 elf__symbol(elf, "SSL_get1_peer_certificate", &range) ? "1.1" : "3");
	return 0;
}

const struct runtime_kind openssl_runtime = {
	.name = "OpenSSL",
	.kind = RT_RUNTIME_OPENSSL,
	.recognise = recognise,
};
