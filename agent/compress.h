/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compress: one payload at a time, gzip (RFC 1952) or zstd (RFC 8878).
 *
 * gzip is ISA-L's igzip at level 1 where the build has it, zlib's level 1 elsewhere: a
 * thirteenth of zlib-6's CPU for a tenth more bytes.
 */
#ifndef REQTAP_COMPRESS_H
#define REQTAP_COMPRESS_H

#include <stddef.h>
#include <stdint.h>

enum compression {
	COMPRESSION_NONE,
	COMPRESSION_GZIP,
	COMPRESSION_ZSTD,
};

/* "none", "gzip", "zstd": the value of Content-Encoding (none: no such header). */
const char *compression_name(enum compression compression);

/* 0, or -EINVAL: no such name. */
int compression_from_name(const char *name, enum compression *ret);

struct compressor;

struct compressor *compressor__new(void);
struct compressor *compressor__free(struct compressor *compressor);

/*
 * *ret_data is `data` itself (none) or the compressor's own buffer: it lives until the next
 * call. 0, -ENOMEM, or -EIO when the library refuses.
 */
int compressor__run(struct compressor *compressor, enum compression compression,
		    const uint8_t *data, size_t len, const uint8_t **ret_data, size_t *ret_len);

/* The inverse, for payloads that are split. Up to `max` bytes, else -EFBIG; -EBADMSG. */
int compressor__undo(struct compressor *compressor, enum compression compression,
		     const uint8_t *data, size_t len, size_t max, const uint8_t **ret_data,
		     size_t *ret_len);

#endif
