/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/replica.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#define JSMN_STATIC
#define JSMN_STRICT
#include <jsmn.h>

#define CONTAINERS_MAX 4096
#define ENVIRON_BYTES (256 * 1024) /* of /proc/PID/environ that are looked through */
#define FILE_BYTES 4096
#define RECHECK_NS 1000000000ULL

enum member { REPLICA, MODEL, VERSION, ENVIRONMENT, CHAINLET, TRAINING, MEMBERS };

/* One source's words. NULL: it does not say. */
struct source {
	char *text[MEMBERS];
};

struct entry {
	uint64_t container;
	struct replica view; /* composed of the sources; points into them */
	struct source kube, process, file;
	bool environ_read;
	pid_t tgid;            /* whose root the environment file is read under */
	struct stat file_stat; /* of what was read: a promotion puts another in its place */
	UT_hash_handle hh;
};

struct replica_table {
	struct source given;
	struct replica unknown;
	struct entry *entries;
};

static struct str *view_member(struct replica *view, enum member member)
{
	struct str *const members[MEMBERS] = { &view->replica,          &view->model_id,
					       &view->model_version_id, &view->environment,
					       &view->chainlet_id,      &view->training_job_id };

	return members[member];
}

static void source_clear(struct source *source)
{
	for (int m = 0; m < MEMBERS; m++) {
		free(source->text[m]);
		source->text[m] = NULL;
	}
}

static int source_set(struct source *source, enum member member, const char *text, size_t len)
{
	char *copy = len ? strndup(text, len) : NULL;

	if (len && !copy)
		return -ENOMEM;
	free(source->text[member]);
	source->text[member] = copy;
	return 0;
}

static int source_from_replica(struct source *source, const struct replica *from)
{
	struct replica copy = *from;
	int err = 0;

	for (int m = 0; m < MEMBERS && !err; m++)
		err = source_set(source, m, view_member(&copy, m)->data,
				 view_member(&copy, m)->len);
	return err;
}

/* First hit wins: Kubernetes, flags, the environment file (it follows promotions), environ. */
static void compose(const struct replica_table *table, struct entry *entry)
{
	const struct source *const sources[] = { &entry->kube, &table->given, &entry->file,
						 &entry->process };

	for (int m = 0; m < MEMBERS; m++) {
		const char *text = NULL;

		for (size_t s = 0; !text && s < sizeof(sources) / sizeof(sources[0]); s++)
			text = sources[s]->text[m];
		*view_member(&entry->view, m) = str_from(text);
	}
}

struct replica_table *replica_table__new(const struct replica *given)
{
	struct replica_table *table = calloc(1, sizeof(*table));
	struct entry flags = { 0 };

	if (!table)
		return NULL;
	if (given && source_from_replica(&table->given, given))
		return replica_table__free(table);
	compose(table, &flags);
	table->unknown = flags.view;
	return table;
}

static void entry_free(struct replica_table *table, struct entry *entry)
{
	HASH_DEL(table->entries, entry);
	source_clear(&entry->kube);
	source_clear(&entry->process);
	source_clear(&entry->file);
	free(entry);
}

struct replica_table *replica_table__free(struct replica_table *table)
{
	while (table && table->entries)
		entry_free(table, table->entries);
	if (table)
		source_clear(&table->given);
	free(table);
	return NULL;
}

static struct entry *entry_get(struct replica_table *table, uint64_t container, bool make)
{
	struct entry *entry;

	HASH_FIND(hh, table->entries, &container, sizeof(container), entry);
	if (entry || !make)
		return entry;
	if (HASH_COUNT(table->entries) >= CONTAINERS_MAX)
		entry_free(table, table->entries);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->container = container;
	entry->view.container = container;
	HASH_ADD(hh, table->entries, container, sizeof(container), entry);
	compose(table, entry);
	return entry;
}

/* Reads a whole small file; bytes, or negative errno. */
static ssize_t read_file(const char *path, char *buffer, size_t size, struct stat *ret_stat)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	if (ret_stat && (fstat(fd, ret_stat) || !S_ISREG(ret_stat->st_mode))) {
		close(fd);
		return -EINVAL;
	}
	while (len < size && (n = read(fd, buffer + len, size - len)) > 0)
		len += n;
	close(fd);
	return n < 0 ? -errno : (ssize_t)len;
}

static void read_environ(struct entry *entry, pid_t tgid)
{
	static const struct {
		const char *name;
		enum member member;
	} names[] = {
		{ "BT_MODEL_ID=", MODEL },
		{ "BT_MODEL_DEPLOYMENT_ID=", VERSION },
		{ "BT_TRAINING_JOB_ID=", TRAINING },
	};
	char path[64], *buffer = malloc(ENVIRON_BYTES);
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/environ", tgid);
	len = buffer ? read_file(path, buffer, ENVIRON_BYTES, NULL) : -ENOMEM;
	entry->environ_read = len > 0;
	for (char *at = buffer; len > 0 && at < buffer + len;) {
		size_t n = strnlen(at, buffer + len - at);

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			size_t head = strlen(names[i].name);

			if (n > head && !memcmp(at, names[i].name, head))
				source_set(&entry->process, names[i].member, at + head, n - head);
		}
		at += n + 1;
	}
	free(buffer);
}

/* {"name": "production"}; absent or empty: no environment. */
static void parse_environment(struct entry *entry, const char *text, size_t len)
{
	jsmntok_t tokens[32];
	jsmn_parser parser;
	int count;

	source_set(&entry->file, ENVIRONMENT, NULL, 0);
	jsmn_init(&parser);
	count = jsmn_parse(&parser, text, len, tokens, 32);
	if (count < 1 || tokens[0].type != JSMN_OBJECT)
		return;
	for (int i = 1; i + 1 < count; i++) {
		struct str key = { text + tokens[i].start, tokens[i].end - tokens[i].start };
		const jsmntok_t *value = &tokens[i + 1];

		if (tokens[i].type == JSMN_STRING && tokens[i].size == 1 &&
		    str_equal(key, STR("name")) && value->type == JSMN_STRING) {
			source_set(&entry->file, ENVIRONMENT, text + value->start,
				   value->end - value->start);
			return;
		}
	}
}

/* True when the file says something else than before. */
static bool read_environment_file(struct entry *entry)
{
	char path[64 + sizeof(REPLICA_ENVIRONMENT_FILE)], text[FILE_BYTES];
	const struct stat *seen = &entry->file_stat;
	struct stat st = { 0 };
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/root%s", entry->tgid, REPLICA_ENVIRONMENT_FILE);
	len = read_file(path, text, sizeof(text), &st);
	if (len < 0)
		return false; /* the process is gone, or there is none: what was known stands */
	/* the clock of a file's time is coarse: two changes may have the same */
	if (st.st_mtim.tv_sec == seen->st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == seen->st_mtim.tv_nsec && st.st_ino == seen->st_ino &&
	    st.st_size == seen->st_size)
		return false;
	entry->file_stat = st;
	parse_environment(entry, text, len);
	return true;
}

void replica_table__process(struct replica_table *table, uint64_t container, pid_t tgid)
{
	struct entry *entry = entry_get(table, container, true);

	if (!entry)
		return;
	if (!entry->tgid || kill(entry->tgid, 0))
		entry->tgid = tgid;
	if (!entry->environ_read)
		read_environ(entry, tgid);
	read_environment_file(entry);
	compose(table, entry);
}

int replica_table__set(struct replica_table *table, uint64_t container, const struct replica *from)
{
	struct entry *entry = entry_get(table, container, true);
	int err = entry ? source_from_replica(&entry->kube, from) : -ENOMEM;

	if (entry)
		compose(table, entry);
	return err;
}

const struct replica *replica_table__get(struct replica_table *table, uint64_t container)
{
	struct entry *entry = entry_get(table, container, false);

	return entry ? &entry->view : &table->unknown;
}

void replica_table__remove(struct replica_table *table, uint64_t container)
{
	struct entry *entry = entry_get(table, container, false);

	if (entry)
		entry_free(table, entry);
}

uint64_t replica_table__tick(struct replica_table *table, uint64_t now_ns)
{
	struct entry *entry, *next;

	HASH_ITER (hh, table->entries, entry, next) {
		if (entry->tgid && read_environment_file(entry))
			compose(table, entry);
	}
	return now_ns + RECHECK_NS;
}
