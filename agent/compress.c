/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#ifdef HAVE_ISAL
#include <isa-l/igzip_lib.h>
#endif
#include "agent/compress.h"

#define ZSTD_LEVEL 1
/* windowBits of zlib: 15, and 16 more for gzip's header and trailer. */
#define GZIP_WINDOW (15 + 16)

struct compressor {
	uint8_t *data;
	size_t size;
	ZSTD_CCtx *zstd;
#ifdef HAVE_ISAL
	struct isal_zstream stream;
	uint8_t level_buf[ISAL_DEF_LVL1_DEFAULT];
#endif
};

static const char *const names[] = {
	[COMPRESSION_NONE] = "none",
	[COMPRESSION_GZIP] = "gzip",
	[COMPRESSION_ZSTD] = "zstd",
};

const char *compression_name(enum compression compression)
{
	return names[compression];
}

int compression_from_name(const char *name, enum compression *ret)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum compression)i;
			return 0;
		}
	return -EINVAL;
}

struct compressor *compressor__new(void)
{
	return calloc(1, sizeof(struct compressor));
}

struct compressor *compressor__free(struct compressor *compressor)
{
	if (!compressor)
		return NULL;
	ZSTD_freeCCtx(compressor->zstd);
	free(compressor->data);
	free(compressor);
	return NULL;
}

static int reserve(struct compressor *compressor, size_t size)
{
	uint8_t *grown;

	if (size <= compressor->size)
		return 0;
	grown = realloc(compressor->data, size);
	if (!grown)
		return -ENOMEM;
	compressor->data = grown;
	compressor->size = size;
	return 0;
}

#ifdef HAVE_ISAL
static int gzip(struct compressor *compressor, const uint8_t *data, size_t len, size_t *ret_len)
{
	struct isal_zstream *stream = &compressor->stream;
	/* Incompressible input grows by a header for each stored block of 64 KiB. */
	int err = reserve(compressor, len + len / 1024 + 1024);

	if (err)
		return err;
	isal_deflate_init(stream);
	stream->gzip_flag = IGZIP_GZIP;
	stream->level = 1;
	stream->level_buf = compressor->level_buf;
	stream->level_buf_size = sizeof(compressor->level_buf);
	stream->end_of_stream = 1;
	stream->flush = NO_FLUSH;
	stream->next_in = (uint8_t *)(uintptr_t)data;
	stream->avail_in = (uint32_t)len;
	stream->next_out = compressor->data;
	stream->avail_out = (uint32_t)compressor->size;
	if (isal_deflate(stream) != COMP_OK || stream->avail_in != 0 ||
	    stream->internal_state.state != ZSTATE_END)
		return -EIO;
	*ret_len = stream->total_out;
	return 0;
}
#else
static int gzip(struct compressor *compressor, const uint8_t *data, size_t len, size_t *ret_len)
{
	z_stream stream = { 0 };
	int err;

	if (deflateInit2(&stream, 1, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	err = reserve(compressor, deflateBound(&stream, len));
	if (!err) {
		stream.next_in = (uint8_t *)(uintptr_t)data;
		stream.avail_in = (uInt)len;
		stream.next_out = compressor->data;
		stream.avail_out = (uInt)compressor->size;
		err = deflate(&stream, Z_FINISH) == Z_STREAM_END ? 0 : -EIO;
		*ret_len = stream.total_out;
	}
	deflateEnd(&stream);
	return err;
}
#endif

static int zstd(struct compressor *compressor, const uint8_t *data, size_t len, size_t *ret_len)
{
	int err = reserve(compressor, ZSTD_compressBound(len));
	size_t done;

	if (err)
		return err;
	if (!compressor->zstd)
		compressor->zstd = ZSTD_createCCtx();
	if (!compressor->zstd)
		return -ENOMEM;
	done = ZSTD_compressCCtx(compressor->zstd, compressor->data, compressor->size, data, len,
				 ZSTD_LEVEL);
	if (ZSTD_isError(done))
		return -EIO;
	*ret_len = done;
	return 0;
}

int compressor__run(struct compressor *compressor, enum compression compression,
		    const uint8_t *data, size_t len, const uint8_t **ret_data, size_t *ret_len)
{
	int err;

	if (compression == COMPRESSION_NONE) {
		*ret_data = data;
		*ret_len = len;
		return 0;
	}
	if (len > UINT32_MAX / 2)
		return -EFBIG;
	err = compression == COMPRESSION_GZIP ? gzip(compressor, data, len, ret_len)
					      : zstd(compressor, data, len, ret_len);
	if (!err)
		*ret_data = compressor->data;
	return err;
}

static int gunzip(struct compressor *compressor, const uint8_t *data, size_t len, size_t *ret_len)
{
	z_stream stream = { .next_in = (uint8_t *)(uintptr_t)data, .avail_in = (uInt)len };
	int result;

	if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
		return -ENOMEM;
	stream.next_out = compressor->data;
	stream.avail_out = (uInt)compressor->size;
	result = inflate(&stream, Z_FINISH);
	*ret_len = stream.total_out;
	inflateEnd(&stream);
	if (result == Z_STREAM_END)
		return 0;
	return stream.avail_out == 0 ? -EFBIG : -EBADMSG;
}

int compressor__undo(struct compressor *compressor, enum compression compression,
		     const uint8_t *data, size_t len, size_t max, const uint8_t **ret_data,
		     size_t *ret_len)
{
	int err;

	if (compression == COMPRESSION_NONE)
		return compressor__run(compressor, compression, data, len, ret_data, ret_len);
	err = reserve(compressor, max);
	if (err)
		return err;
	if (compression == COMPRESSION_GZIP) {
		err = gunzip(compressor, data, len, ret_len);
	} else {
		size_t done = ZSTD_decompress(compressor->data, max, data, len);

		err = ZSTD_isError(done) ? -EBADMSG : 0;
		*ret_len = done;
	}
	*ret_data = compressor->data;
	return err;
}
