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

#define ENVIRON_READS 16          /* programs that are asked; runc itself may be the first */
#define FILE_CHECK_NS 50000000ULL /* of a container that writes, before its line goes out */

struct entry {
	uint64_t container;
	struct replica view; /* composed of the sources; points into them */
	struct identity early, late, process, file;
	unsigned environ_reads;
	uint64_t file_checked_ns;
	pid_t tgid;            /* whose root the environment file is read under */
	struct stat file_stat; /* of what was read: a promotion puts another in its place */
	UT_hash_handle hh;
};

struct replica_table {
	struct replica_config config;
	struct identity_map map;
	struct identity given;
	struct replica unknown;
	struct entry *entries;
	uint64_t now_ns;
};

/* First hit wins. The environment file follows promotions; what a process was started with not. */
static void compose(const struct replica_table *table, struct entry *entry)
{
	const struct identity *const sources[] = { &entry->early, &table->given, &entry->file,
						   &entry->process, &entry->late };

	for (int m = 0; m < IDENTITY_MEMBERS; m++) {
		const char *text = NULL;

		for (size_t s = 0; !text && s < sizeof(sources) / sizeof(sources[0]); s++)
			text = sources[s]->text[m];
		*identity__member(&entry->view, m) = str_from(text);
	}
}

static int set_given(struct replica_table *table, struct replica given)
{
	int err = 0;

	for (int m = 0; m < IDENTITY_MEMBERS && !err; m++)
		err = identity__set(&table->given, m, identity__member(&given, m)->data,
				    identity__member(&given, m)->len);
	return err;
}

struct replica_table *replica_table__new(const struct replica_config *config)
{
	struct replica_table *table = calloc(1, sizeof(*table));
	struct entry flags = { 0 };

	if (!table)
		return NULL;
	if (config)
		table->config = *config;
	identity_map__init(&table->map);
	if (table->config.map)
		table->map = *table->config.map;
	if (table->config.given && set_given(table, *table->config.given))
		return replica_table__free(table);
	compose(table, &flags);
	table->unknown = flags.view;
	return table;
}

static void entry_free(struct replica_table *table, struct entry *entry)
{
	HASH_DEL(table->entries, entry);
	identity__clear(&entry->early);
	identity__clear(&entry->late);
	identity__clear(&entry->process);
	identity__clear(&entry->file);
	free(entry);
}

struct replica_table *replica_table__free(struct replica_table *table)
{
	while (table && table->entries)
		entry_free(table, table->entries);
	if (table)
		identity__clear(&table->given);
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

/* "NAME=value" of the process's environment; the first rule of a member that hits wins. */
static void take_variable(struct replica_table *table, struct entry *entry, const char *text,
			  size_t len)
{
	for (int m = 0; m < IDENTITY_MEMBERS; m++)
		for (unsigned i = 0; i < table->map.counts[m]; i++) {
			const struct identity_rule *rule = &table->map.rules[m][i];
			size_t head = strlen(rule->key);

			if (rule->source == IDENTITY_ENV && len > head + 1 && text[head] == '=' &&
			    !memcmp(text, rule->key, head) && !entry->process.text[m])
				identity__set(&entry->process, m, text + head + 1, len - head - 1);
		}
}

/* A container's host name is its pod's name, unless it shares the node's network. */
static bool own_host_name(pid_t tgid)
{
	char path[64];
	struct stat own, node;

	snprintf(path, sizeof(path), "/proc/%d/ns/uts", tgid);
	return !stat(path, &own) && !stat("/proc/1/ns/uts", &node) && own.st_ino != node.st_ino;
}

static void read_environ(struct replica_table *table, struct entry *entry, pid_t tgid)
{
	char path[64], *buffer = malloc(ENVIRON_BYTES);
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/environ", tgid);
	len = buffer ? read_file(path, buffer, ENVIRON_BYTES, NULL) : -ENOMEM;
	entry->environ_reads++;
	for (char *at = buffer; len > 0 && at < buffer + len;) {
		size_t n = strnlen(at, buffer + len - at);

		take_variable(table, entry, at, n);
		if (n > 9 && !memcmp(at, "HOSTNAME=", 9) && own_host_name(tgid)) {
			struct str name = { at + 9, n - 9 }, suffix;

			suffix = identity__replica_of_pod(name);
			if (!entry->process.text[IDENTITY_REPLICA])
				identity__set(&entry->process, IDENTITY_REPLICA, suffix.data,
					      suffix.len);
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

	identity__set(&entry->file, IDENTITY_ENVIRONMENT, NULL, 0);
	jsmn_init(&parser);
	count = jsmn_parse(&parser, text, len, tokens, 32);
	if (count < 1 || tokens[0].type != JSMN_OBJECT)
		return;
	for (int i = 1; i + 1 < count; i++) {
		struct str key = { text + tokens[i].start, tokens[i].end - tokens[i].start };
		const jsmntok_t *value = &tokens[i + 1];

		if (tokens[i].type == JSMN_STRING && tokens[i].size == 1 &&
		    str_equal(key, STR("name")) && value->type == JSMN_STRING) {
			identity__set(&entry->file, IDENTITY_ENVIRONMENT, text + value->start,
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

/* Takes up the file's newest words, and tells of a promotion. */
static void check_file(struct replica_table *table, struct entry *entry)
{
	char before[IDENTITY_TEXT_MAX + 1];
	struct str was = entry->view.environment;

	entry->file_checked_ns = table->now_ns;
	if (!entry->tgid)
		return;
	memcpy(before, was.data ? was.data : "", was.len);
	was.data = before;
	if (!read_environment_file(entry))
		return;
	compose(table, entry);
	if (table->config.promoted && !str_equal(was, entry->view.environment))
		table->config.promoted(table->config.ctx, &entry->view, was);
}

void replica_table__process(struct replica_table *table, uint64_t container, pid_t tgid)
{
	struct entry *entry = entry_get(table, container, true);
	bool any = false;

	if (!entry)
		return;
	/* EPERM is that of a process which is there, and is not ours to signal */
	if (!entry->tgid || (kill(entry->tgid, 0) && errno == ESRCH))
		entry->tgid = tgid;
	for (int m = 0; m < IDENTITY_MEMBERS; m++)
		any |= m != IDENTITY_REPLICA && entry->process.text[m];
	if (!any && entry->environ_reads < ENVIRON_READS)
		read_environ(table, entry, tgid);
	compose(table, entry);
	if (entry->file_stat.st_ino)
		check_file(table, entry); /* a promotion that no line and no tick has met yet */
	else if (read_environment_file(entry))
		compose(table, entry);
}

int replica_table__set(struct replica_table *table, uint64_t container,
		       const struct identity *early, const struct identity *late)
{
	struct entry *entry = entry_get(table, container, true);
	int err = entry ? identity__copy(&entry->early, early) : -ENOMEM;

	if (!err)
		err = identity__copy(&entry->late, late);
	if (entry)
		compose(table, entry);
	return err;
}

const struct replica *replica_table__get(struct replica_table *table, uint64_t container)
{
	struct entry *entry = entry_get(table, container, false);

	if (!entry)
		return &table->unknown;
	if (table->now_ns >= entry->file_checked_ns + FILE_CHECK_NS)
		check_file(table, entry);
	return &entry->view;
}

void replica_table__remove(struct replica_table *table, uint64_t container)
{
	struct entry *entry = entry_get(table, container, false);

	if (entry)
		entry_free(table, entry);
}

void replica_table__now(struct replica_table *table, uint64_t now_ns)
{
	table->now_ns = now_ns;
}

uint64_t replica_table__tick(struct replica_table *table, uint64_t now_ns)
{
	struct entry *entry, *next;

	table->now_ns = now_ns;
	HASH_ITER (hh, table->entries, entry, next)
		check_file(table, entry);
	return now_ns + RECHECK_NS;
}
