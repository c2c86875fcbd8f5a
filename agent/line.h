/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line: assembles the fragments of one thread on one stream into lines.
 *
 * An unbuffered print("a", 1) is four writes, and threads interleave: so a line belongs to a
 * (thread, stream) pair. Bytes that end no line wait for the rest until the timeout, the end of
 * the thread, or the maximum length.
 */
#ifndef REQTAP_LINE_H
#define REQTAP_LINE_H

#include <stdint.h>
#include "agent/str.h"
#include "bpf/event.h"

#define LINE_MAX_BYTES (256 * 1024) /* default of --line-max */
#define LINE_TIMEOUT_NS 1000000000ULL
/*
 * Buffers that runtimes fill before they write to a pipe have the lines of many requests: stdio's
 * (st_blksize) and Go's bufio 4096 bytes, cut where they are full; CPython's 8192 and Java's.
 * CPython's goes out before the text that would not fit (Modules/_io/textio.c, chunk_size).
 */
#define LINE_BUFFER_BYTES 4096
#define LINE_TEXT_BUFFER_BYTES 8192

/* What ended a line. */
enum line_end {
	LINE_END_NEWLINE, /* "\n" or "\r\n", neither kept */
	LINE_END_NUL,     /* as a newline does, but ends no empty line */
	LINE_END_MAX,     /* longer than the maximum: cut at a UTF-8 boundary */
	LINE_END_TIMEOUT, /* no more bytes came */
	LINE_END_EXIT,    /* the thread or process ended */
	LINE_END_GAP,     /* the next fragment was lost */
};

struct line {
	struct str text; /* valid UTF-8, without its line end */
	enum line_end end;
	uint32_t cut_bytes;      /* dropped beyond the maximum */
	uint32_t replaced_bytes; /* invalid UTF-8 replaced by U+FFFD */
	uint64_t container;
	uint64_t inode;
	uint64_t time_ns;        /* CLOCK_BOOTTIME of the write that ended it */
	uint64_t first_write_ns; /* of the write that began it: equal times are one write */
	uint64_t position;       /* in the ring, of the fragment that began it */
	uint64_t request;        /* owner; 0: none, or its fragments disagree */
	uint32_t device;
	uint32_t tgid;
	uint32_t tid;
	uint8_t unit;         /* enum rt_unit_kind */
	uint8_t stream;       /* enum rt_stream_kind */
	bool origin;          /* of an inner stream: no record */
	bool doubt;           /* RT_FRAGMENT_DOUBT: a hand-off may name its request */
	bool buffered;        /* out of a full buffer: whoever wrote it need not have made it */
	bool relayed;         /* its request is the one of the origin line */
	struct str rest;      /* what follows in its fragment: a traceback is seen coming */
	uint32_t lost_writes; /* whole or in part, on this stream just before this line */
	uint32_t lost_bytes;
	uint16_t lost_reason; /* enum rt_counter */
};

/* The line and its text live until the function returns. */
typedef void (*line_fn)(void *ctx, const struct line *line);

struct line_stats {
	uint64_t lines;
	uint64_t cut_lines;
	uint64_t cut_bytes;
	uint64_t replaced_bytes;
	uint64_t timeout_lines;
	uint64_t exit_lines;
	uint64_t gap_lines;
	uint64_t evicted_lines; /* flushed early: too many unfinished lines */
};

struct line_assembler;

/* `max_bytes` 0: the default. NULL when out of memory. */
struct line_assembler *line_assembler__new(uint32_t max_bytes, line_fn fn, void *ctx);
struct line_assembler *line_assembler__free(struct line_assembler *assembler);

/* `fragment` is read in place and not kept; `position`: where it begins in the ring. 0 or -ENOMEM
 * (the fragment's bytes are counted). */
int line_assembler__fragment(struct line_assembler *assembler,
			     const struct event_fragment *fragment, uint64_t position);

/* The lowest position of an unfinished line, UINT64_MAX: there is none. */
uint64_t line_assembler__held(const struct line_assembler *assembler);

/* The thread ended: its unfinished lines are lines. `whole_process`: all threads of tgid. */
void line_assembler__exit(struct line_assembler *assembler, uint32_t tgid, uint32_t tid,
			  bool whole_process);

/* Flushes what waited past its time; returns when to call again, UINT64_MAX: nothing waits. */
uint64_t line_assembler__tick(struct line_assembler *assembler, uint64_t now_ns);

/* Everything unfinished becomes a line (at the end of all). */
void line_assembler__flush(struct line_assembler *assembler);

/*
 * What `stream` lost and no later fragment has told, in the loss members of *ret; of what its
 * counters said at the call before this one, so that the fragments before the loss have been read.
 */
void line_assembler__lost(struct line_assembler *assembler, const struct stream_key *key,
			  const struct stream *stream, struct line *ret);

const struct line_stats *line_assembler__stats(const struct line_assembler *assembler);

#endif
