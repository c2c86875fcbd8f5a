/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destination: where records go, by OpenTelemetry's own settings. Header values are secrets:
 * they live in locked memory that no core dump holds, and are wiped when they are freed.
 */
#ifndef REQTAP_DESTINATION_H
#define REQTAP_DESTINATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/compress.h"
#include "agent/secret.h"

#define DESTINATION_HEADERS_MAX 16
/* SHOULD of the protocol, "OTLP/HTTP Request": 64 MiB before compression. */
#define DESTINATION_MAX_RAW_BYTES (64u << 20)

/* HTTP codes that are tried again besides trouble of the transport; 0 ends the list. */
#define DESTINATION_RETRY_CODES_MAX 16
#define DESTINATION_RETRY_CODES "429,502,503,504" /* the protocol's own */

struct destination_header {
	char *name;
	struct secret *value;
};

struct destination {
	char *endpoint; /* full URL, used as it is */
	struct destination_header headers[DESTINATION_HEADERS_MAX];
	size_t header_count;
	enum compression compression;
	uint32_t timeout_ms;     /* of one request; the protocol's default is 10000 */
	uint32_t max_body_bytes; /* compressed; 0: no bound but the protocol's */
	uint16_t retry_codes[DESTINATION_RETRY_CODES_MAX];
	char *ca_file;
	char *client_cert_file;
	char *client_key_file;
	char *proxy;             /* NULL: HTTPS_PROXY and its kin, as curl reads them */
	uint64_t drop_before_ns; /* UNIX time: what was put in the outbox before is dropped */
	bool enabled;
};

/* Empty, with the defaults. */
void destination__init(struct destination *destination);
void destination__clear(struct destination *destination);

/* Sets `ret`, which is empty. 0 or -ENOMEM. */
int destination__copy(struct destination *ret, const struct destination *from);
bool destination__equal(const struct destination *a, const struct destination *b);

/* 0; -EINVAL: no header name or value of HTTP (RFC 9110, 5.1 and 5.5); -E2BIG; -ENOMEM. */
int destination__add_header(struct destination *destination, const char *name, const char *value,
			    size_t value_len);

/* A list as OTEL_EXPORTER_OTLP_HEADERS has it: k=v,k2=v2, values percent-encoded. Same errors. */
int destination__add_header_list(struct destination *destination, const char *list);

/* "429,503": the codes to try again, 400 to 599. -EINVAL: it is no such list, or longer than
 * DESTINATION_RETRY_CODES_MAX; nothing is changed then. */
int destination__set_retry_codes(struct destination *destination, const char *list);
/* As such a list. */
#define DESTINATION_RETRY_TEXT_MAX (DESTINATION_RETRY_CODES_MAX * 4 + 1)
void destination__retry_text(const struct destination *destination,
			     char ret[DESTINATION_RETRY_TEXT_MAX]);

/* NULL, or what is wrong with it: a full http or https URL with a host, without a user. */
const char *destination__endpoint_problem(const char *endpoint);

/*
 * Reads OTEL_EXPORTER_OTLP_* as the protocol says (LOGS_ forms first), REQTAP_EXPORT_MAX_BYTES
 * and REQTAP_EXPORT_RETRY_CODES.
 * 0; -ENOENT: no endpoint is set; -EINVAL: *ret_problem says what, where and what would be right
 * (caller frees).
 */
int destination__from_env(struct destination *ret_destination, char **ret_problem);

/* Overwrites the header settings in the process's environment, where /proc shows them. */
void destination__scrub_env(void);

/* A known receiver: URL and header name. `region` as its documentation names it, or NULL. */
struct vendor {
	const char *name;
	const char *endpoint; /* NULL: differs by account and must be given */
	const char *header_name;
	const char *hint; /* how the value and the endpoint look */
	uint32_t max_body_bytes;
};

/* By name, NULL: unknown; by index, NULL: beyond the last. */
const struct vendor *vendor__find(const char *name);
const struct vendor *vendor__at(size_t index);

#endif
