/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export: posts payloads to the one OTLP/HTTP destination, by libcurl's multi interface.
 *
 * It takes what the outbox hands it, keeps a few requests in flight, and answers each with one
 * of: accepted, refused (permanent, by the protocol's list), or to be tried again at a time
 * that it says (backoff with full jitter, or the receiver's Retry-After).
 */
#ifndef REQTAP_EXPORT_H
#define REQTAP_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/batch.h"

struct loop;

/* The destination. Strings are copied; the header value is locked in memory and wiped on free. */
struct destination {
	char *endpoint;      /* full URL, used as it is */
	char **header_names; /* parallel arrays, NULL-terminated */
	char **header_values;
	enum compression compression;
	uint32_t timeout_ms; /* 10000 by the protocol */
	char *ca_file;
	char *client_cert_file;
	char *client_key_file;
	bool enabled;
};

/*
 * Reads OTEL_EXPORTER_OTLP_* as the protocol says (LOGS_ forms first). 0; -ENOENT: no endpoint
 * is set; -EINVAL: *ret_problem says what, where and what would be right (caller frees).
 */
int destination__from_env(struct destination *ret_destination, char **ret_problem);
void destination__clear(struct destination *destination);

enum export_verdict {
	EXPORT_ACCEPTED,
	EXPORT_REFUSED,   /* permanent: counted, not sent again */
	EXPORT_RETRY,     /* at retry_ns */
	EXPORT_TOO_LARGE, /* 413: to be split */
};

struct export_result {
	uint64_t ticket;
	enum export_verdict verdict;
	uint64_t retry_ns;  /* CLOCK_BOOTTIME */
	uint64_t rejected;  /* records, by partial success */
	long status;        /* HTTP, 0: no answer */
	const char *reason; /* the receiver's own words or curl's, without control characters */
	uint64_t latency_ns;
};

typedef void (*export_fn)(void *ctx, const struct export_result *result);

struct export_stats {
	uint64_t requests, accepted, refused, retried, rejected_records, bytes;
	long last_status;
	char last_reason[256];
};

struct export;

struct export *export__new(struct loop *loop, const struct destination *destination, export_fn fn,
			   void *ctx);
struct export *export__free(struct export *export);

/* Starts a POST; `ticket` comes back in its result. The bytes are copied. -EAGAIN: enough are
 * in flight; -ENOMEM. */
int export__post(struct export *export, uint64_t ticket, const uint8_t *data, size_t len,
		 enum compression compression);
unsigned export__in_flight(const struct export *export);
const struct export_stats *export__stats(const struct export *export);

#endif
