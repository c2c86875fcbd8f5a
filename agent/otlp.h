/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp: records to one ExportLogsServiceRequest, and the receiver's answer back.
 *
 * A record is written once, straight into the request's buffer, by a writer that knows the few
 * fields that a record has: generic packing (two passes over a tree of a dozen messages) would
 * by itself use up the CPU budget of a line. Everything that is not once per record, the
 * resource, the scope, the receiver's answer, goes through protobuf-c.
 * Field numbers: proto/otlp.proto.
 */
#ifndef REQTAP_OTLP_H
#define REQTAP_OTLP_H

#include <stddef.h>
#include <stdint.h>
#include "agent/record.h"

struct otlp;

/* `service_name`: the Resource's one attribute. NULL when out of memory. */
struct otlp *otlp__new(const char *service_name);
struct otlp *otlp__free(struct otlp *otlp);

/* Appends a record. Bytes that are not UTF-8 become '?': one would cost the whole request.
 * 0 or -ENOMEM, then nothing was added. */
int otlp__record(struct otlp *otlp, const struct record *record);

/* Bytes so far; 0: no record. */
size_t otlp__len(const struct otlp *otlp);

/* The whole request. It lives until the next otlp__record() or otlp__reset(). */
void otlp__finish(struct otlp *otlp, const uint8_t **ret_data, size_t *ret_len);
void otlp__reset(struct otlp *otlp);

/* What a receiver answers. Text is cut to fit and holds no control character. */
struct otlp_answer {
	uint64_t rejected; /* records, by partial success */
	char message[256];
};

/* ExportLogsServiceResponse; an empty one is full success. 0 or -EBADMSG. */
int otlp__decode_response(const uint8_t *data, size_t len, struct otlp_answer *ret);

/* google.rpc.Status, the body of a failure. 0 or -EBADMSG. */
int otlp__decode_status(const uint8_t *data, size_t len, struct otlp_answer *ret);

/* Copies `len` bytes of text as one line for a person: no control characters, cut to `size`. */
void otlp__clean_text(char *ret, size_t size, const char *text, size_t len);

/* One half of a request of `records` records. The caller frees *ret_data. */
struct otlp_half {
	uint8_t *data;
	size_t len;
	uint32_t records;
};

/* Halves a request that is too large. 0; -ENOENT: it holds one record; -EBADMSG, -ENOMEM. */
int otlp__split(const uint8_t *data, size_t len, struct otlp_half ret[2]);

#endif
