/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection: where the one destination comes from, and that it changes under a running agent.
 *
 * Sources, the first that names an endpoint: OTEL_EXPORTER_OTLP_* of the environment, a mounted
 * secret directory, systemd credentials (CREDENTIALS_DIRECTORY), the connection stored by
 * `reqtap connection set`. The second and third are directories with a file a member: endpoint,
 * header-name, header-value; optionally headers (as OTEL_EXPORTER_OTLP_HEADERS), compression,
 * retry-codes, ca.crt, tls.crt, tls.key. An environment that names the endpoint and no header takes
 * the header from them.
 *
 * The stored connection is the file `connection` of the state directory, sealed (crypto_secretbox)
 * under the key in the file `key` of mode 0600 beside it.
 */
#ifndef REQTAP_CONNECTION_H
#define REQTAP_CONNECTION_H

#include "agent/destination.h"
#include "agent/loop.h"

/* Negative errno; -ENOENT: none is stored. *ret_problem: one line for the user (caller frees). */
int connection__load(const char *state_dir, struct destination *ret, char **ret_problem);

/* Stores it atomically; makes the key if there is none. */
int connection__store(const char *state_dir, const struct destination *destination,
		      char **ret_problem);

struct connection_config {
	const char *state_dir;  /* NULL: nothing is stored */
	const char *secret_dir; /* NULL: none is mounted */
	bool use_env;
};

/* From all sources, once. 0; -ENOENT: none is set; -EINVAL and others with *ret_problem. */
int connection__read(const struct connection_config *config, struct destination *ret,
		     char **ret_problem);

/* `destination` NULL: exports are off. `problem`: why, when that is a mistake; else NULL. */
typedef void (*connection_fn)(void *ctx, const struct destination *destination,
			      const char *problem);

struct connection;

/*
 * Watches the sources. The environment is read here and its header values are overwritten then,
 * since /proc would show them. `fn` is called once from within connection__new() and then after
 * each change, at most a quarter of a second later. A change that cannot be read (half-written)
 * leaves the last good destination in force. NULL: out of memory.
 */
struct connection *connection__new(struct loop *loop, const struct connection_config *config,
				   connection_fn fn, void *ctx);
struct connection *connection__free(struct connection *connection);

#endif
