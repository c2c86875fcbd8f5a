/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include "agent/golang.h"
#include "agent/grpc.h"
#include "agent/java.h"
#include "agent/mapping.h"
#include "agent/openssl.h"
#include "agent/python.h"
#include "agent/runtime_map.h"

#define FILES_MAX 4096 /* known by identity; the one seen first is forgotten first */
#define IMAGES_MAX 256
#define LOADS_MAX 8
#define NO_INTEREST_NS 600000000000ULL
#define TICK_NS 60000000000ULL
#define UNUSED_TICKS 2 /* a process may be between its fork and its exec */

static const struct runtime_kind *const all_kinds[] = { &python_runtime,  &golang_runtime,
							&openssl_runtime, &java_runtime,
							&grpc_runtime,    NULL };

struct file_key {
	uint64_t device;
	uint64_t inode;
	uint64_t size;
	uint64_t mtime_ns; /* with the size: an inode's number is used again */
};

struct image {
	const struct runtime_kind *kind;
	struct runtime process;
	int probes[RUNTIME_PROBES_MAX]; /* attached, until they are closed */
	unsigned probe_count;
	bool understood; /* a runtime that is not has no probes */
	unsigned users, unused_ticks;
	char version[RUNTIME_VERSION_MAX];
	char path[128]; /* as its first process names it, cut */
};

/* A runtime that is not followed. */
struct refusal {
	const struct runtime_kind *kind;
	char version[RUNTIME_VERSION_MAX];
	char path[128];
	char why[48];
};

struct file {
	struct file_key key;
	UT_hash_handle hh;
	/* Where the segments are meant to be loaded, to tell where they were. */
	struct {
		uint64_t vaddr, offset;
	} loads[LOADS_MAX];
	unsigned load_count;
	struct image *images[RT_RUNTIME_KINDS];
	struct refusal *refusal; /* the first kind's; NULL: none */
};

struct runtime_table {
	struct runtime_config config;
	struct file *files;
	struct image *images[IMAGES_MAX]; /* by number - 1 */
	struct runtime_stats stats;
};

struct runtime_table *runtime_table__new(const struct runtime_config *config)
{
	struct runtime_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->config = *config;
	if (!config->kinds)
		table->config.kinds = all_kinds;
	return table;
}

/* Says, once a file, what it is not followed for, and keeps it for who asks later. */
static void refuse(struct runtime_table *table, struct file *file, const char *path,
		   const struct runtime_kind *kind, const char *version, const char *why)
{
	struct refusal *refusal = file->refusal ? NULL : calloc(1, sizeof(*refusal));
	char line[256];

	snprintf(line, sizeof(line), "%s: %s%s%s: %s; its threads are its units", path, kind->name,
		 *version ? " " : "", version, why);
	if (table->config.say)
		table->config.say(table->config.ctx, line);
	if (!refusal)
		return;
	refusal->kind = kind;
	snprintf(refusal->version, sizeof(refusal->version), "%s", version);
	snprintf(refusal->path, sizeof(refusal->path), "%s", path);
	snprintf(refusal->why, sizeof(refusal->why), "%s", why);
	file->refusal = refusal;
}

static void image_free(struct runtime_table *table, struct image *image)
{
	if (!image)
		return;
	while (image->probe_count)
		close(image->probes[--image->probe_count]);
	if (image->process.image)
		table->images[image->process.image - 1] = NULL;
	free(image);
}

static void file_free(struct runtime_table *table, struct file *file)
{
	HASH_DEL(table->files, file);
	for (unsigned i = 0; i < RT_RUNTIME_KINDS; i++)
		image_free(table, file->images[i]);
	free(file->refusal);
	free(file);
}

struct runtime_table *runtime_table__free(struct runtime_table *table)
{
	while (table && table->files)
		file_free(table, table->files);
	free(table);
	return NULL;
}

static bool has_images(const struct file *file)
{
	for (unsigned i = 0; i < RT_RUNTIME_KINDS; i++)
		if (file->images[i])
			return true;
	return false;
}

static int attach(struct runtime_table *table, struct image *image, struct elf *elf, int fd,
		  const struct runtime_match *match)
{
	for (unsigned i = 0; table->config.probe && i < match->probe_count; i++) {
		const struct runtime_probe *p = &match->probes[i];
		uint64_t offset;
		int attached = elf__offset(elf, elf__probe_place(elf, p->vaddr), &offset);

		if (!attached)
			attached = runtime_map__attach(table->config.probe, p->program, fd, offset,
						       p->at_return);
		if (attached < 0)
			return attached;
		image->probes[image->probe_count++] = attached;
	}
	return 0;
}

/* Gives the image a number; -ENOSPC. */
static int take_number(struct runtime_table *table, struct image *image)
{
	for (unsigned i = 0; i < IMAGES_MAX; i++) {
		if (table->images[i])
			continue;
		table->images[i] = image;
		image->process.image = i + 1;
		return 0;
	}
	table->stats.full++;
	return -ENOSPC;
}

static struct image *image_new(struct runtime_table *table, struct file *file,
			       const struct runtime_kind *kind, struct elf *elf, int fd,
			       const char *path)
{
	struct runtime_match match = { 0 };
	int err = kind->recognise(elf, &match);
	struct image *image;

	table->stats.unknown_version += err == -ENOTSUP;
	if (err == -ENOTSUP)
		refuse(table, file, path, kind, match.version, "this build is not known");
	image = err ? NULL : calloc(1, sizeof(*image));
	if (!image)
		return NULL;
	image->kind = kind;
	image->process = match.process;
	image->process.image = 0;
	image->understood = match.probe_count;
	snprintf(image->version, sizeof(image->version), "%s", match.version);
	snprintf(image->path, sizeof(image->path), "%s", path);
	err = take_number(table, image);
	if (!err)
		err = attach(table, image, elf, fd, &match);
	if (!err)
		return image;
	if (err != -ENOSPC)
		table->stats.failed++;
	refuse(table, file, path, kind, match.version, strerror(-err));
	image_free(table, image);
	return NULL;
}

static void recognise(struct runtime_table *table, struct file *file, int fd, const char *path)
{
	int err;
	struct elf *elf = elf__open(fd, &err);
	struct elf_range load;

	if (!elf)
		return;
	for (unsigned i = 0; file->load_count < LOADS_MAX && !elf__load(elf, i, &load); i++) {
		uint64_t offset;

		if (elf__offset(elf, load.vaddr, &offset))
			continue;
		file->loads[file->load_count].vaddr = load.vaddr;
		file->loads[file->load_count++].offset = offset;
	}
	for (unsigned i = 0; table->config.kinds[i]; i++) {
		const struct runtime_kind *kind = table->config.kinds[i];

		if (!file->images[kind->kind])
			file->images[kind->kind] = image_new(table, file, kind, elf, fd, path);
	}
	elf__free(elf);
}

/* The oldest file without a runtime makes room. */
static void make_room(struct runtime_table *table)
{
	struct file *file, *next;

	if (HASH_COUNT(table->files) < FILES_MAX)
		return;
	HASH_ITER (hh, table->files, file, next) {
		if (has_images(file))
			continue;
		file_free(table, file);
		return;
	}
}

static int file_key(int fd, struct file_key *ret)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	*ret = (struct file_key){ stat.st_dev, stat.st_ino, stat.st_size,
				  stat.st_mtim.tv_sec * 1000000000ULL + stat.st_mtim.tv_nsec };
	return S_ISREG(stat.st_mode) ? 0 : -ENOEXEC;
}

/* How the file is called; the kernel's event of a mapping does not tell. */
static void file_path(int fd, char *ret, size_t size)
{
	char link[32];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, ret, size - 1);
	ret[len < 0 ? 0 : len] = 0;
}

/* The file of `fd`, looked at when it is new. NULL: not a file, or no memory. */
static struct file *file_get(struct runtime_table *table, int fd, const char *path)
{
	char name[128];
	struct file_key key;
	struct file *file;

	if (file_key(fd, &key))
		return NULL;
	HASH_FIND(hh, table->files, &key, sizeof(key), file);
	if (file)
		return file;
	make_room(table);
	file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	file->key = key;
	HASH_ADD(hh, table->files, key, sizeof(file->key), file);
	table->stats.files++;
	if (!*path)
		file_path(fd, name, sizeof(name));
	recognise(table, file, fd, *path ? path : name);
	return file;
}

/* How far from its vaddr the file was loaded: a segment is mapped from its page's start. */
static int load_bias(const struct file *file, const struct mapping *mapping, uint64_t *ret)
{
	uint64_t page = sysconf(_SC_PAGESIZE);

	for (unsigned i = 0; i < file->load_count; i++) {
		uint64_t within = file->loads[i].offset - mapping->offset;

		if (file->loads[i].offset < mapping->offset || within >= page)
			continue;
		*ret = mapping->start + within - file->loads[i].vaddr;
		return 0;
	}
	return -ENOENT;
}

static void set_up_process(struct runtime_table *table, const struct file *file,
			   const struct mapping *mapping)
{
	uint64_t bias;

	if (load_bias(file, mapping, &bias)) {
		table->stats.failed++;
		return;
	}
	for (unsigned i = 0; i < RT_RUNTIME_KINDS; i++) {
		struct runtime process;

		if (!file->images[i])
			continue;
		if (!table->config.probe) {
			file->images[i]->users++;
			continue;
		}
		process = file->images[i]->process;
		process.address += process.address ? bias : 0;
		if (runtime_map__set(table->config.probe, mapping->tgid, i, &process))
			table->stats.failed++;
	}
}

/* What one mapping shows. 1: the file has a runtime, 0: it has none; negative errno. */
static int take_mapping(struct runtime_table *table, const struct mapping *mapping)
{
	struct file *file;
	int fd = mapping__open(mapping);

	if (fd < 0)
		return fd;
	file = file_get(table, fd, mapping->path);
	close(fd);
	if (!file)
		return -ENOMEM;
	if (!has_images(file))
		return 0;
	set_up_process(table, file, mapping);
	return 1;
}

static void on_mapping(void *ctx, const struct mapping *mapping)
{
	(void)take_mapping(ctx, mapping);
}

int runtime_table__process(struct runtime_table *table, pid_t tgid)
{
	return mapping__each(tgid, on_mapping, table);
}

static void on_map(struct runtime_table *table, const struct event_map *event, uint64_t now_ns)
{
	uint64_t page = sysconf(_SC_PAGESIZE);
	struct mapping mapping = {
		.tgid = event->tgid,
		.start = event->address,
		.end = (event->address + event->length + page - 1) & ~(page - 1),
		.offset = event->offset,
		.path = "",
	};

	int found = take_mapping(table, &mapping);

	if (found == 0)
		(void)runtime_map__ignore(table->config.probe, event, now_ns + NO_INTEREST_NS);
	else if (found < 0) /* changed since, or one with its neighbour */
		(void)runtime_table__process(table, event->tgid);
}

void runtime_table__event(struct runtime_table *table, const struct event *event, uint64_t now_ns)
{
	if (event->kind == RT_EVENT_EXEC)
		(void)runtime_table__process(table, ((const struct event_process *)event)->tgid);
	else if (event->kind == RT_EVENT_MAP)
		on_map(table, (const void *)event, now_ns);
}

static void count_user(void *ctx, uint32_t tgid, const struct runtimes *runtimes)
{
	struct runtime_table *table = ctx;

	for (unsigned i = 0; i < RT_RUNTIME_KINDS; i++) {
		uint32_t number = runtimes->of[i].image;

		if (number && number <= IMAGES_MAX && table->images[number - 1])
			table->images[number - 1]->users++;
	}
}

static void count_users(struct runtime_table *table)
{
	for (unsigned i = 0; i < IMAGES_MAX; i++)
		if (table->images[i])
			table->images[i]->users = 0;
	runtime_map__each(table->config.probe, count_user, table);
}

static bool file_unused(const struct file *file)
{
	bool unused = has_images(file);

	for (unsigned i = 0; i < RT_RUNTIME_KINDS; i++)
		if (file->images[i] && file->images[i]->unused_ticks < UNUSED_TICKS)
			unused = false;
	return unused;
}

uint64_t runtime_table__tick(struct runtime_table *table, uint64_t now_ns)
{
	struct file *file, *next;

	count_users(table);
	HASH_ITER (hh, table->files, file, next) {
		for (unsigned i = 0; i < RT_RUNTIME_KINDS; i++) {
			struct image *image = file->images[i];

			if (image)
				image->unused_ticks = image->users ? 0 : image->unused_ticks + 1;
		}
		if (!file_unused(file))
			continue;
		file_free(table, file);
		table->stats.detached++;
	}
	return now_ns + TICK_NS;
}

const struct runtime_stats *runtime_table__stats(const struct runtime_table *table)
{
	return &table->stats;
}

static struct runtime_info image_info(const struct image *image)
{
	const char *unit = image->kind->unit ? image->kind->unit : "";

	return (struct runtime_info){
		.name = image->kind->name,
		.version = image->version,
		.path = image->path,
		.unit = image->understood ? unit : "",
		.why = image->understood ? "" : "not understood: its lines have no id",
		.processes = image->users,
	};
}

static struct runtime_info refusal_info(const struct refusal *refusal)
{
	return (struct runtime_info){
		.name = refusal->kind->name,
		.version = refusal->version,
		.path = refusal->path,
		.unit = "threads",
		.why = refusal->why,
	};
}

void runtime_table__each(struct runtime_table *table, runtime_fn fn, void *ctx)
{
	const struct file *file;

	if (table->config.probe)
		count_users(table);
	for (unsigned i = 0; i < IMAGES_MAX; i++) {
		struct runtime_info info;

		if (!table->images[i])
			continue;
		info = image_info(table->images[i]);
		fn(ctx, &info);
	}
	for (file = table->files; file; file = file->hh.next) {
		struct runtime_info info;

		if (!file->refusal)
			continue;
		info = refusal_info(file->refusal);
		fn(ctx, &info);
	}
}
