/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export: posts payloads to the one OTLP/HTTP destination, by libcurl's multi interface.
 *
 * It answers each request with one of: accepted, refused (permanent, by the protocol's list),
 * too large, or to be tried again. When to try again is one time for the destination, not one a
 * request: backoff with full jitter, or the receiver's Retry-After.
 */
#ifndef REQTAP_EXPORT_H
#define REQTAP_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/destination.h"

struct loop;

enum export_verdict {
	EXPORT_ACCEPTED,
	EXPORT_REFUSED,   /* permanent: counted, not sent again */
	EXPORT_RETRY,     /* not before export__ready_ns() */
	EXPORT_TOO_LARGE, /* 413: to be split */
};

struct export_result {
	uint64_t ticket;
	enum export_verdict verdict;
	uint64_t rejected;  /* records, by partial success */
	long status;        /* HTTP, 0: no answer */
	const char *reason; /* the receiver's own words or curl's, without control characters */
	uint64_t latency_ns;
};

typedef void (*export_fn)(void *ctx, const struct export_result *result);

struct export_stats {
	uint64_t requests, accepted, refused, retried, too_large, rejected_records, bytes;
	long last_status;      /* of the last request that was not accepted */
	char last_reason[256]; /* likewise */
};

struct export;

/* NULL: out of memory, or curl refuses the destination. */
struct export *export__new(struct loop *loop, const struct destination *destination, export_fn fn,
			   void *ctx);
/* Requests in flight end without a result. */
struct export *export__free(struct export *export);

/*
 * Another destination, from the next request on. Requests in flight go on; a 401 or 403 to one
 * of them is an answer to the old credential, and the request is to be tried again.
 */
int export__set_destination(struct export *export, const struct destination *destination);

/*
 * Starts a POST; `ticket` comes back in its result, from the loop and never from within this
 * call. `data` is the caller's and must live until then. 0 or -ENOMEM.
 */
int export__post(struct export *export, uint64_t ticket, const uint8_t *data, size_t len,
		 enum compression compression);

/* Not to be posted to before (CLOCK_BOOTTIME); 0: at once. */
uint64_t export__ready_ns(const struct export *export);
/* The last request failed: one at a time until one is accepted. */
bool export__failing(const struct export *export);
unsigned export__in_flight(const struct export *export);
const struct export_stats *export__stats(const struct export *export);

/* Backoff after the `failures`th failure in a row: full jitter, 0 to min(30 s, 0.5 s * 2^n). */
uint64_t export__backoff_ns(unsigned failures, uint32_t random);

/* Retry-After (RFC 9110, 10.2.3): seconds or an HTTP date, at most an hour. 0: none, past or
 * malformed. */
uint64_t export__retry_after_ns(const char *value, int64_t now_unix_s);

#endif
