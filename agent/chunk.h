/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chunk: records as bytes, one behind the other, as history keeps them. A record's replica is a
 * number in history's table of identities; all else is in the entry.
 */
#ifndef REQTAP_CHUNK_H
#define REQTAP_CHUNK_H

#include "agent/record.h"

#define CHUNK_LEVELS 6 /* unset, DEBUG, INFO, WARN, ERROR, FATAL */

/* As it stands in a chunk, in the machine's byte order, followed by the texts. */
struct chunk_entry {
	uint64_t time_ns;
	uint64_t observed_ns;
	uint64_t boot_ns; /* when CLOCK_BOOTTIME was 0: record.written_ns less, but the same for
			     many records in sequence, which compresses. 0: written_ns is 0 */
	uint32_t identity;
	uint32_t tgid;
	uint32_t tid;
	uint32_t message_len;
	uint32_t body_len; /* UINT32_MAX: the body is the message */
	uint32_t exc_info_len;
	uint32_t missing; /* a notice: so many records are missing here; else 0 */
	uint16_t request_id_len;
	uint8_t severity;
	uint8_t scope;
	uint8_t stream;
	uint8_t evidence;
	uint8_t has_trace;
	uint8_t trace_flags;
	uint8_t trace_id[16];
	uint8_t span_id[8];
};

_Static_assert(sizeof(struct chunk_entry) == 88, "on disk: no padding, no change");

/* Bytes of the record's entry. A request id beyond 64 KiB is cut, which no header allows. */
size_t chunk__entry_size(const struct record *record);

/* Writes the entry; `to` has room for chunk__entry_size(). */
void chunk__put(uint8_t *to, const struct record *record, uint32_t identity, uint32_t missing);

/*
 * The record at *at, which goes behind it; `ret->replica` is left NULL. Its texts point into
 * `data`. 0; -ENOENT: the end; -EBADMSG: these are not a chunk's bytes.
 */
int chunk__next(const uint8_t *data, size_t len, size_t *at, struct record *ret,
		struct chunk_entry *ret_entry);

/* 0 to CHUNK_LEVELS - 1. */
unsigned chunk__level(enum severity severity);

#endif
