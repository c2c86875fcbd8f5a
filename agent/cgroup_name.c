/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cgroup_name.h"

#include <stddef.h>
#include <string.h>

/* One component of a path, or one of the parts of it that colons make. */
struct part {
	const char *data;
	size_t len;
};

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool all_hex(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_hex(text[i]))
			return false;
	return true;
}

static bool starts(struct part part, const char *prefix)
{
	return part.len >= strlen(prefix) && !memcmp(part.data, prefix, strlen(prefix));
}

static struct part without_suffix(struct part part, const char *suffix)
{
	size_t len = strlen(suffix);

	if (part.len > len && !memcmp(part.data + part.len - len, suffix, len))
		part.len -= len;
	return part;
}

/* 8-4-4-4-12 with dashes, or with the underscores that systemd's unit names need; or 32 digits. */
static bool set_uid(const char *text, size_t len, struct cgroup_name *name)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (len != sizeof(form) - 1 && !(len == 32 && all_hex(text, len)))
		return false;
	for (size_t i = 0; len != 32 && i < len; i++)
		if (form[i] == 'x' ? !is_hex(text[i]) : text[i] != '-' && text[i] != '_')
			return false;
	for (size_t i = 0; i < len; i++)
		name->pod_uid[i] = text[i] == '_' ? '-' : text[i];
	name->pod_uid[len] = 0;
	return true;
}

/* "pod<UID>", or "kubepods[-burstable]-pod<U_I_D>.slice" below any further parents. */
static bool pod(struct part part, struct cgroup_name *name)
{
	struct part bare = without_suffix(part, ".slice");

	if (bare.len == part.len && starts(part, "pod"))
		return set_uid(part.data + 3, part.len - 3, name);
	for (size_t i = 0; bare.len < part.len && i + 4 < bare.len; i++)
		if (!memcmp(bare.data + i, "-pod", 4) &&
		    set_uid(bare.data + i + 4, bare.len - i - 4, name))
			return true;
	return false;
}

/* The id, bare or behind its runtime's name; the monitors of CRI-O and podman are no containers. */
static bool container(struct part part, struct cgroup_name *name)
{
	static const char *const runtimes[] = { "cri-containerd-", "crio-",    "docker-",
						"libpod-",         "nerdctl-", "" };
	struct part bare = without_suffix(part, ".scope");

	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		size_t len = strlen(runtimes[i]);

		if (!starts(bare, runtimes[i]) || bare.len != len + CGROUP_ID_LEN ||
		    !all_hex(bare.data + len, CGROUP_ID_LEN))
			continue;
		memcpy(name->id, bare.data + len, CGROUP_ID_LEN);
		name->id[CGROUP_ID_LEN] = 0;
		return true;
	}
	return false;
}

static void component(struct part part, struct cgroup_name *name)
{
	bool was_inside = name->id[0], found = false;

	while (part.len) {
		const char *colon = memchr(part.data, ':', part.len);
		struct part piece = { part.data, colon ? (size_t)(colon - part.data) : part.len };

		if (pod(piece, name)) {
			name->id[0] = 0;
			was_inside = false;
		} else if (container(piece, name)) {
			found = true;
		}
		part.data += piece.len + (colon != NULL);
		part.len -= piece.len + (colon != NULL);
	}
	name->inside = found ? 0 : name->inside + was_inside;
}

void cgroup_name__parse(const char *path, struct cgroup_name *ret)
{
	*ret = (struct cgroup_name){ 0 };
	while (*path) {
		size_t len = strcspn(path, "/");

		component((struct part){ path, len }, ret);
		path += len + (path[len] == '/');
	}
	if (!ret->id[0])
		ret->inside = 0;
}
