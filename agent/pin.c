/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "agent/takeover.h"

#define BPFFS "/sys/fs/bpf"
#define LOCK_TRIES                                                                                 \
	250 /* a killed agent has its files until the kernel has detached its programs             \
	     */
#define LOCK_WAIT_US 20000

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

static int make_dir(const char *dir)
{
	char parent[PIN_PATH_MAX];
	int err = 0;

	if (!mkdir(dir, 0700) || errno == EEXIST)
		return 0;
	if (errno != ENOENT || strlen(dir) >= sizeof(parent))
		return -errno;
	err = make_dir(dirname(strcpy(parent, dir)));
	return err || !mkdir(dir, 0700) || errno == EEXIST ? err : -errno;
}

/* Mode 0700 of the mount: the maps hold ids and the ring holds lines. */
static int mount_bpffs(const char *dir)
{
	if (strncmp(dir, BPFFS "/", sizeof(BPFFS)) != 0 || is_bpffs(BPFFS))
		return 0;
	return mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") ? -errno
											 : 0;
}

static bool is_same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* -EAGAIN: another holds it, or has given its place to another directory. */
static int try_lock(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = flock(fd, LOCK_EX | LOCK_NB) ? -errno : is_same_file(fd, dir) ? 0 : -EAGAIN;
	if (err)
		close(fd);
	return err ? err : fd;
}

int pin__lock(const char *dir)
{
	int fd = try_lock(dir);

	for (int i = 0; fd == -EAGAIN && i < LOCK_TRIES; i++) {
		usleep(LOCK_WAIT_US);
		fd = try_lock(dir);
	}
	return fd == -EAGAIN ? -EBUSY : fd;
}

int pin__map(const char *dir, const char *name)
{
	char path[PIN_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%.*s/%.32s", PIN_DIR_MAX + 8, dir, name);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

/*
 * The control of DIR, mapped: of another contract it may be longer, but its first members are
 * where they always are, and a page is mapped whatever its length. NULL: there is none.
 */
static struct control *map_control(const char *dir)
{
	int fd = pin__map(dir, "rt_control");
	void *mapped = MAP_FAILED;

	if (fd >= 0) {
		mapped = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			      0);
		close(fd);
	}
	return mapped == MAP_FAILED ? NULL : mapped;
}

static void unmap_control(struct control *control)
{
	if (control)
		munmap(control, sysconf(_SC_PAGESIZE));
}

static bool is_retired(const char *dir)
{
	struct control *control = map_control(dir);
	bool retired = control && control->retired;

	unmap_control(control);
	return retired;
}

static void sibling(const char *dir, const char *suffix, char ret[PIN_PATH_MAX])
{
	snprintf(ret, PIN_PATH_MAX, "%.*s%s", PIN_DIR_MAX, dir, suffix);
}

/* A name that sorts by time: since the boot, which is as long as a bpffs lasts. */
static void stamp(const char *dir, const char *what, char ret[PIN_PATH_MAX])
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	snprintf(ret, PIN_PATH_MAX, "%.*s%s%010lld%09ld", PIN_DIR_MAX + 8, dir, what,
		 (long long)now.tv_sec, now.tv_nsec);
}

static int swap(const char *dir)
{
	char new[PIN_PATH_MAX], old[PIN_PATH_MAX];

	sibling(dir, "-new", new);
	stamp(dir, "-old-", old);
	if (rename(dir, old) || rename(new, dir))
		return -errno;
	pin__detach(old);
	return 0;
}

int pin__replace(const char *dir)
{
	struct control *control = map_control(dir);

	if (!control)
		return -ENOENT;
	control->retired = 1;
	unmap_control(control);
	takeover__settle();
	return swap(dir);
}

/* The replaced ones beside DIR, the oldest first. */
struct old_dirs {
	char path[PIN_OLD_MAX][PIN_PATH_MAX];
	unsigned count;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void find_old(const char *dir, struct old_dirs *ret)
{
	char prefix[PIN_PATH_MAX], parent[PIN_PATH_MAX];
	struct dirent *entry;
	DIR *stream;

	sibling(dir, "-old-", prefix);
	stream = opendir(dirname(strcpy(parent, prefix)));
	ret->count = 0;
	while (stream && ret->count < PIN_OLD_MAX && (entry = readdir(stream))) {
		char *path = ret->path[ret->count];

		snprintf(path, PIN_PATH_MAX, "%.*s/%.*s", PIN_DIR_MAX, parent, 48, entry->d_name);
		ret->count += !strncmp(path, prefix, strlen(prefix));
	}
	if (stream)
		closedir(stream);
	qsort(ret->path, ret->count, sizeof(ret->path[0]), by_name);
}

/* DIR itself is not there only when pin__replace() was killed between its two renames. */
static int find_or_make(const char *dir)
{
	char new[PIN_PATH_MAX];

	sibling(dir, "-new", new);
	if (!access(dir, F_OK))
		return 0;
	return rename(new, dir) ? make_dir(dir) : 0;
}

/* What pin__replace() may have left, killed at any point; the lock may be of another DIR then. */
static int settle(const char *dir)
{
	char new[PIN_PATH_MAX];
	struct old_dirs old;
	int err = 0;

	sibling(dir, "-new", new);
	if (!access(new, F_OK) && is_retired(dir))
		err = swap(dir);
	else
		pin__remove(new);
	find_old(dir, &old);
	for (unsigned i = 0; i < old.count; i++)
		pin__detach(old.path[i]);
	return err;
}

int pin__open(const char *dir)
{
	int err, fd;

	if (*dir != '/' || strlen(dir) >= PIN_DIR_MAX)
		return -EINVAL;
	err = mount_bpffs(dir);
	if (!err)
		err = find_or_make(dir);
	if (err)
		return err;
	if (!is_bpffs(dir)) {
		rmdir(dir);
		return -ENOTSUP;
	}
	fd = pin__lock(dir);
	if (fd < 0)
		return fd;
	err = settle(dir);
	if (!err && is_same_file(fd, dir))
		return fd;
	close(fd);
	return err ? err : pin__lock(dir);
}

static bool is_ours(const struct bpf_map *map)
{
	return strncmp(bpf_map__name(map), "rt_", 3) == 0;
}

static bool is_same(const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	return !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == bpf_map__type(map) &&
	       info.key_size == bpf_map__key_size(map) &&
	       info.value_size == bpf_map__value_size(map) &&
	       info.max_entries == bpf_map__max_entries(map);
}

int pin__reuse(struct bpf_object *object, const char *dir)
{
	struct control *control = map_control(dir);
	bool same = control && control->contract == RT_CONTRACT;
	struct bpf_map *map;
	int err = 0, fd;

	if (!same) {
		err = control ? -ESTALE : -ENOENT;
		unmap_control(control);
		return err;
	}
	unmap_control(control);
	bpf_object__for_each_map(map, object)
	{
		if (!is_ours(map))
			continue;
		fd = pin__map(dir, bpf_map__name(map));
		err = fd < 0 || !is_same(map, fd) ? -ESTALE : bpf_map__reuse_fd(map, fd);
		if (fd >= 0)
			close(fd); /* the map has a copy */
		if (err)
			return err;
	}
	return 0;
}

/* rt_control last: without it there is nothing to take over. */
int pin__maps(struct bpf_object *object, const char *dir)
{
	char path[PIN_PATH_MAX];
	struct bpf_map *map, *control = NULL;

	bpf_object__for_each_map(map, object)
	{
		snprintf(path, sizeof(path), "%.*s/%.32s", PIN_DIR_MAX + 8, dir,
			 bpf_map__name(map));
		if (!is_ours(map))
			continue;
		if (!strcmp(bpf_map__name(map), "rt_control"))
			control = map;
		else if (bpf_obj_pin(bpf_map__fd(map), path))
			return -errno;
	}
	snprintf(path, sizeof(path), "%.*s/rt_control", PIN_DIR_MAX + 8, dir);
	return bpf_obj_pin(bpf_map__fd(control), path) ? -errno : 0;
}

static void empty(const char *dir)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;

	while (stream && (entry = readdir(stream)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(stream), entry->d_name, 0);
	if (stream)
		closedir(stream);
}

/* Every set of links but `keep`. */
static void remove_sets(const char *dir, const char *keep)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;
	char path[PIN_PATH_MAX];

	while (stream && (entry = readdir(stream))) {
		if (strncmp(entry->d_name, "links-", 6) != 0)
			continue;
		snprintf(path, sizeof(path), "%.*s/%.40s", PIN_DIR_MAX + 8, dir, entry->d_name);
		if (keep && !strcmp(path, keep))
			continue;
		empty(path);
		rmdir(path);
	}
	if (stream)
		closedir(stream);
}

int pin__links(struct links *links, const char *dir, char set[PIN_PATH_MAX])
{
	char path[PIN_PATH_MAX + 16];

	stamp(dir, "/links-", set);
	if (mkdir(set, 0700))
		return -errno;
	for (unsigned i = 0; i < links->count; i++) {
		snprintf(path, sizeof(path), "%s/%u", set, i);
		if (bpf_obj_pin(bpf_link__fd(links->at[i]), path)) {
			int err = errno == EINVAL ? -EOPNOTSUPP : -errno;

			empty(set);
			rmdir(set);
			return err;
		}
	}
	/* or libbpf disables a tracepoint's event at the end of this process */
	for (unsigned i = 0; i < links->count; i++)
		bpf_link__disconnect(links->at[i]);
	return 0;
}

void pin__keep(const char *dir, const char *set)
{
	remove_sets(dir, set);
}

/* Adds the ring of one replaced set. */
static int add_old(const char *old, struct pin_old *ret)
{
	struct control *control = map_control(old);
	struct ring *ring = NULL;
	int fd = control ? pin__map(old, "rt_ring") : -ENOENT, err = 0;

	if (fd >= 0) {
		ring = ring__new(fd, control->durable, control->from_ns, &err);
		close(fd);
	}
	if (ring && control->ring_contract != RT_RING_CONTRACT) {
		ret->unread += ring__waiting(ring);
		ring = ring__free(ring);
	}
	unmap_control(control);
	if (!ring)
		return err;
	if (ret->ring)
		ring__follow(ring, ret->ring);
	ret->ring = ring;
	fd = pin__map(old, "rt_request");
	if (fd >= 0)
		ret->requests[ret->count++] = fd;
	return 0;
}

int pin__old(const char *dir, struct pin_old *ret)
{
	struct old_dirs old;
	int err = 0;

	*ret = (struct pin_old){ 0 };
	find_old(dir, &old);
	for (unsigned i = 0; i < old.count && !err; i++)
		err = add_old(old.path[i], ret);
	return err;
}

void pin__forget_old(const char *dir)
{
	struct old_dirs old;

	find_old(dir, &old);
	for (unsigned i = 0; i < old.count; i++)
		pin__remove(old.path[i]);
}

void pin__detach(const char *dir)
{
	remove_sets(dir, NULL);
}

int pin__remove(const char *dir)
{
	pin__detach(dir);
	empty(dir);
	return rmdir(dir) && errno != ENOENT ? -errno : 0;
}

int pin__unpin(const char *pin_dir)
{
	int fd = pin__open(pin_dir), err;

	if (fd < 0)
		return fd;
	pin__forget_old(pin_dir);
	err = pin__remove(pin_dir);
	close(fd);
	return err;
}
