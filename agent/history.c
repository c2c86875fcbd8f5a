/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "agent/archive.h"
#include "agent/db.h"
#include "agent/recent.h"
#include "agent/roster.h"

#define TICK_NS 1000000000ULL /* how often its state is told, and a broken file is tried again */
#define AGE_S 10
#define IDENTITIES_MAX 256 /* in one buffer; beyond it is full */
#define ROSTER_MAX 1024 /* a node's pods (the kubelet's limit is 110), and what was before them */

/* Records on their way to the writer. */
struct buffer {
	struct buffer *next;
	uint8_t *data;
	size_t len, size;
	uint32_t records;
	struct store_identity identities[IDENTITIES_MAX]; /* the replicas' texts are copies */
	struct replica *replicas[IDENTITIES_MAX];
	unsigned identity_count;
};

struct history {
	struct history_config config;
	struct loop *loop;
	struct loop_timer *flush, *tick;
	struct roster *roster;
	char path[PATH_MAX];
	int lock_fd;
	/* the loop's side */
	struct recent *recent; /* for a while after the start; NULL: none, or no longer */
	uint64_t recent_until_ns;
	struct buffer *current;
	uint64_t missing; /* records thinned since the last notice */
	uint64_t missing_ns;
	int said_err;
	struct history_stats stats;
	/* both sides', under the mutex */
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct buffer *first, **last; /* waiting */
	unsigned buffers;             /* waiting, being written or current */
	bool stop;
	struct history_stats written; /* lost, bytes, set_aside, err */
	uint64_t lost;                /* not yet told by a notice */
	/* the writer's */
	struct archive *archive;
	pthread_t thread;
	bool running;
};

static uint64_t unix_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static struct buffer *buffer_free(struct buffer *buffer)
{
	if (!buffer)
		return NULL;
	for (unsigned i = 0; i < buffer->identity_count; i++)
		free(buffer->replicas[i]);
	free(buffer->data);
	free(buffer);
	return NULL;
}

/* ---- the writer's thread ---- */

static int open_archive(struct history *h)
{
	const struct archive_limits limits = { h->config.max_bytes, h->config.max_age_ns };
	char suffix[48];
	int err, fd = open(h->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	/* made here: SQLite gives its companions the file's own mode */
	if (fd >= 0)
		close(fd);
	h->archive = archive__open(h->path, &limits, &err);
	if (err == -EBADMSG) {
		/* never deleted: a person may want to look */
		snprintf(suffix, sizeof(suffix), ".damaged-%llu",
			 (unsigned long long)(unix_now() / 1000000000));
		db__move(h->path, suffix);
		h->written.set_aside++;
		h->archive = archive__open(h->path, &limits, &err);
	}
	return err;
}

/* Under the mutex. */
static void settle(struct history *h, int err, uint32_t lost)
{
	h->written.err = err;
	h->written.lost += lost;
	h->lost += lost;
	h->written.bytes = h->archive ? store__bytes(archive__store(h->archive)) : 0;
}

static void write_buffer(struct history *h, struct buffer *buffer)
{
	const struct archive_batch batch = {
		.data = buffer->data,
		.len = buffer->len,
		.records = buffer->records,
		.identities = buffer->identities,
		.identity_count = buffer->identity_count,
	};
	int err = h->archive ? 0 : h->written.err;

	if (h->archive)
		err = archive__add(h->archive, &batch, unix_now());
	if (err)
		h->archive = archive__close(h->archive);
	pthread_mutex_lock(&h->mutex);
	settle(h, err, err ? buffer->records : 0);
	h->buffers--;
	pthread_mutex_unlock(&h->mutex);
	buffer_free(buffer);
}

/* About every second: a broken file is tried again, what is too old goes. */
static void look_after(struct history *h, unsigned *seconds)
{
	int err = 0;

	if (!h->archive)
		err = open_archive(h);
	else if (++*seconds % AGE_S == 0)
		err = archive__age(h->archive, unix_now());
	if (err)
		h->archive = archive__close(h->archive);
	pthread_mutex_lock(&h->mutex);
	settle(h, err, 0);
	pthread_mutex_unlock(&h->mutex);
}

/* The next buffer; NULL: there was none for a second, or it is the end. */
static struct buffer *next_buffer(struct history *h, bool *ret_stop)
{
	struct buffer *buffer;
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&h->mutex);
	while (!h->first && !h->stop && !err)
		err = pthread_cond_timedwait(&h->wake, &h->mutex, &until);
	buffer = h->first;
	if (buffer) {
		h->first = buffer->next;
		if (!h->first)
			h->last = &h->first;
	}
	*ret_stop = h->stop && !buffer;
	pthread_mutex_unlock(&h->mutex);
	return buffer;
}

static void *write_all(void *ctx)
{
	struct history *h = ctx;
	uint64_t looked_ns = 0;
	unsigned seconds = 0;
	bool stop = false;

	while (!stop) {
		struct buffer *buffer = next_buffer(h, &stop);
		uint64_t now_ns = unix_now();

		if (now_ns - looked_ns >= TICK_NS) {
			look_after(h, &seconds);
			looked_ns = now_ns;
		}
		if (buffer)
			write_buffer(h, buffer);
	}
	return NULL;
}

/* ---- the loop's side ---- */

static void push(struct history *h)
{
	struct buffer *buffer = h->current;

	h->current = NULL;
	loop_timer__set(h->flush, UINT64_MAX);
	if (!buffer)
		return;
	pthread_mutex_lock(&h->mutex);
	*h->last = buffer;
	h->last = &buffer->next;
	pthread_cond_signal(&h->wake);
	pthread_mutex_unlock(&h->mutex);
}

/* What the disk refused is missing in what it takes next. Under the mutex. */
static void take_lost(struct history *h)
{
	h->missing += h->lost;
	h->lost = 0;
}

/* A buffer to put into; NULL: as many as may be wait, or there is no memory. */
static struct buffer *take_buffer(struct history *h)
{
	struct buffer *buffer;

	pthread_mutex_lock(&h->mutex);
	h->stats.waiting = h->buffers;
	take_lost(h);
	if (h->buffers < HISTORY_BUFFERS)
		h->buffers++;
	else
		h->stats.waiting++;
	pthread_mutex_unlock(&h->mutex);
	if (h->stats.waiting > HISTORY_BUFFERS)
		return NULL;
	buffer = calloc(1, sizeof(*buffer));
	if (!buffer) {
		pthread_mutex_lock(&h->mutex);
		h->buffers--;
		pthread_mutex_unlock(&h->mutex);
		return NULL;
	}
	loop_timer__set(h->flush, loop__now(h->loop) + HISTORY_FLUSH_NS);
	return buffer;
}

/* Grows the buffer in steps, so that a trickle does not take a block's memory. */
static uint8_t *room(struct buffer *buffer, size_t len)
{
	size_t size = buffer->size ? buffer->size : 16384;
	uint8_t *grown;

	while (size < buffer->len + len)
		size *= 2;
	if (size != buffer->size) {
		grown = realloc(buffer->data, size);
		if (!grown)
			return NULL;
		buffer->data = grown;
		buffer->size = size;
	}
	return buffer->data + buffer->len;
}

/* The replica's number; it is in the buffer's list then. 0: no memory, or the list is full. */
static uint32_t identify(struct history *h, struct buffer *buffer, const struct replica *replica)
{
	const struct roster_member *member = roster__get(h->roster, replica);
	uint32_t number = member ? member->number : 0;
	struct replica *own;

	for (unsigned i = buffer->identity_count; i-- > 0 && number;)
		if (buffer->identities[i].id == number)
			return number;
	if (!number || buffer->identity_count == IDENTITIES_MAX)
		return 0;
	own = replica_copy(&member->replica);
	if (!own)
		return 0;
	buffer->replicas[buffer->identity_count] = own;
	buffer->identities[buffer->identity_count++] = (struct store_identity){
		.id = number,
		.replica = *own,
	};
	return number;
}

static int append(struct history *h, const struct record *record, uint32_t missing)
{
	size_t len = chunk__entry_size(record);
	struct buffer *buffer = h->current;
	uint32_t number;
	uint8_t *to;

	if (!buffer)
		buffer = h->current = take_buffer(h);
	if (!buffer)
		return -EAGAIN;
	number = identify(h, buffer, record->replica);
	to = number ? room(buffer, len) : NULL;
	if (!to)
		return -ENOMEM;
	chunk__put(to, record, number, missing);
	buffer->len += len;
	buffer->records++;
	return 0;
}

/* What is missing is said where it is missing. */
static void put_notice(struct history *h, uint64_t time_ns)
{
	static const struct replica nobody;
	uint32_t missing = h->missing < UINT32_MAX ? (uint32_t)h->missing : UINT32_MAX;
	char text[160];
	struct record record = {
		.time_ns = h->missing_ns ? h->missing_ns : time_ns,
		.observed_ns = time_ns,
		.severity = SEVERITY_WARN,
		.replica = &nobody,
	};

	snprintf(text, sizeof(text),
		 "reqtap: %u records are missing here: the disk did not keep up, so history was"
		 " thinned",
		 missing);
	record.body = record.message = str_from(text);
	if (append(h, &record, missing))
		return;
	h->missing -= missing;
	h->missing_ns = 0;
}

static void miss(struct history *h, const struct record *record)
{
	if (!h->missing)
		h->missing_ns = record->time_ns;
	h->missing++;
	h->stats.thinned++;
}

void history__record(void *ctx, const struct record *record)
{
	struct history *h = ctx;
	struct buffer *buffer = h->current;

	if (h->recent && recent__take(h->recent, record)) {
		h->stats.repeated++;
		return;
	}
	/* a full one makes room for the next, whose taking tells how many wait */
	if (buffer && (buffer->records == ARCHIVE_BLOCK_RECORDS ||
		       buffer->len + chunk__entry_size(record) > ARCHIVE_BLOCK_BYTES ||
		       buffer->identity_count == IDENTITIES_MAX))
		push(h);
	if (!h->current)
		h->current = take_buffer(h);
	if (!h->current || (h->stats.waiting >= HISTORY_THIN && record->severity < SEVERITY_WARN)) {
		miss(h, record);
		return;
	}
	if (h->missing && h->stats.waiting < HISTORY_THIN)
		put_notice(h, record->time_ns);
	if (append(h, record, 0))
		miss(h, record);
	else
		h->stats.records++;
}

static void flush_due(void *ctx, uint64_t now_ns)
{
	push(ctx);
}

static const char *reason(int err)
{
	return err == -EBADMSG ? "the file is damaged" : strerror(-err);
}

static void tick(void *ctx, uint64_t now_ns)
{
	struct history *h = ctx;
	struct history_stats stats;
	char line[PATH_MAX + 128];

	history__stats(h, &stats);
	if (stats.err && !h->said_err)
		snprintf(line, sizeof(line), "history: cannot write %s: %s; trying again", h->path,
			 reason(stats.err));
	else if (!stats.err && h->said_err)
		snprintf(line, sizeof(line), "history: %s is written again", h->path);
	if (!stats.err != !h->said_err && h->config.say)
		h->config.say(h->config.ctx, line);
	h->said_err = stats.err;
	if (h->recent && now_ns > h->recent_until_ns)
		h->recent = recent__free(h->recent);
	loop_timer__set(h->tick, now_ns + TICK_NS);
}

void history__stats(struct history *h, struct history_stats *ret)
{
	pthread_mutex_lock(&h->mutex);
	*ret = h->written;
	ret->waiting = h->buffers;
	pthread_mutex_unlock(&h->mutex);
	ret->records = h->stats.records;
	ret->repeated = h->stats.repeated;
	ret->thinned = h->stats.thinned;
}

static void know(void *ctx, const struct store_identity *identity)
{
	struct history *h = ctx;

	/* without memory it gets a new number: no harm */
	roster__add(h->roster, &identity->replica, identity->id);
}

static int start(struct history *h)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	int err;

	h->lock_fd = db__lock(h->config.dir, "history.lock");
	if (h->lock_fd < 0)
		return h->lock_fd;
	h->written.err = open_archive(h);
	if (h->archive)
		store__identities(archive__store(h->archive), know, h);
	h->recent = recent__read(h->path);
	h->recent_until_ns = loop__now(h->loop) + RECENT_NS;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&h->mutex, NULL);
	pthread_cond_init(&h->wake, &attr);
	pthread_condattr_destroy(&attr);
	/* signals are the loop's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&h->thread, NULL, write_all, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	h->running = !err;
	return err;
}

struct history *history__new(struct loop *loop, const struct history_config *config, int *ret_err)
{
	struct history *h = calloc(1, sizeof(*h));

	*ret_err = -ENOMEM;
	if (!h)
		return NULL;
	h->config = *config;
	if (!h->config.max_bytes)
		h->config.max_bytes = HISTORY_MAX_BYTES;
	if (!h->config.max_age_ns)
		h->config.max_age_ns = HISTORY_MAX_AGE_NS;
	h->loop = loop;
	h->lock_fd = -1;
	h->last = &h->first;
	snprintf(h->path, sizeof(h->path), "%s/" STORE_FILE, config->dir);
	h->roster = roster__new(0, ROSTER_MAX, 0);
	h->flush = loop_timer__new(loop, flush_due, h);
	h->tick = loop_timer__new(loop, tick, h);
	if (h->roster && h->flush && h->tick)
		*ret_err = start(h);
	if (*ret_err)
		return history__free(h);
	loop_timer__set(h->tick, loop__now(loop));
	return h;
}

struct history *history__free(struct history *h)
{
	if (!h)
		return NULL;
	if (h->running) {
		pthread_mutex_lock(&h->mutex);
		take_lost(h);
		pthread_mutex_unlock(&h->mutex);
		if (h->missing)
			put_notice(h, unix_now());
		push(h);
		pthread_mutex_lock(&h->mutex);
		h->stop = true;
		pthread_cond_signal(&h->wake);
		pthread_mutex_unlock(&h->mutex);
		pthread_join(h->thread, NULL);
	}
	archive__close(h->archive);
	loop_timer__free(h->flush);
	loop_timer__free(h->tick);
	roster__free(h->roster);
	recent__free(h->recent);
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	free(h);
	return NULL;
}
