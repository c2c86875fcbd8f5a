/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * fastcgi: requests that a web server passes on to php-fpm and its like. Seen by the first byte
 * of an accepted connection, which no method begins with; then both directions are FastCGI's.
 */
#ifndef REQTAP_FASTCGI_BPF_H
#define REQTAP_FASTCGI_BPF_H

#include "bpf/message.bpf.h"

static __always_inline struct fastcgi *conn_fastcgi(struct conn *conn, u32 sent)
{
	return sent ? &conn->fastcgi_out : &conn->fastcgi_in;
}

static __always_inline void fastcgi_start(struct conn *conn)
{
	conn->fastcgi_in.state = FASTCGI_RECORD;
	conn->fastcgi_out.state = FASTCGI_RECORD;
}

static __always_inline void fastcgi_event(struct conn *conn, int event, u32 sent)
{
	if (!sent && event == HTTP_HEAD) {
		request_begin(conn);
	} else if (!sent) {
		conn_message_end(conn, false);
	} else if (event == HTTP_HEAD) {
		handoff_meets(0, HANDOFF_SENDS);
		conn_answers(conn);
	} else {
		conn_answered(conn, RT_REQUEST_ANSWERED);
	}
}

/* As conn_word() of bpf/request.bpf.h. */
__weak int fastcgi_word(u64 sk, u64 bytes, u32 len, u32 sent)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	int event = HTTP_NONE;
	struct fastcgi *f;
	u32 i = 0;

	if (!conn)
		return 0;
	f = conn_fastcgi(conn, sent);
	for (; i < 8 && i < len && event == HTTP_NONE && !fastcgi__skips(f); i++, bytes >>= 8)
		event = fastcgi__byte(f, &conn->in, &conn->found, bytes & 0xff, sent, &rt_headers);
	if (event != HTTP_NONE)
		fastcgi_event(conn, event, sent);
	return i;
}

/* As conn_scan() of bpf/request.bpf.h. */
__weak int fastcgi_scan(u64 sk, u64 address, u32 len, u32 sent)
{
	struct conn *conn = bpf_map_lookup_elem(&rt_conn, &sk);
	u64 *block, skipped = 0;
	struct fastcgi *f;
	u32 taken = 0;
	int event;

	if (!conn || !len)
		return -1;
	f = conn_fastcgi(conn, sent);
	block = conn->block[sent ? 1 : 0];
	if (fastcgi__skips(f)) {
		event = fastcgi__skip(f, len, sent, &skipped);
		if (event != HTTP_NONE)
			fastcgi_event(conn, event, sent);
		return skipped > 0x7fffffff ? 0x7fffffff : skipped;
	}
	if (len > SCAN_BLOCK)
		len = SCAN_BLOCK;
	if (bpf_probe_read_user(block, len, (void *)address)) {
		f->state = FASTCGI_LOST;
		count(RT_HEADER_FAULT);
		return -1;
	}
	for (u32 i = 0; i < SCAN_BLOCK / 8 && taken < len; i++) {
		u32 took = fastcgi_word(sk, block[i], len - taken, sent);

		taken += took;
		if (took < 8)
			break;
	}
	return taken;
}

#endif
