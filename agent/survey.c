/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/survey.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

int survey__runtimes(runtime_fn fn, void *ctx)
{
	struct runtime_config config = { 0 };
	struct runtime_table *table;
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (!proc)
		return -errno;
	table = runtime_table__new(&config);
	if (!table) {
		closedir(proc);
		return -ENOMEM;
	}
	while ((entry = readdir(proc))) {
		long tgid = strtol(entry->d_name, NULL, 10);

		if (tgid > 0)
			(void)runtime_table__process(table, tgid); /* ended, or not ours to see */
	}
	closedir(proc);
	runtime_table__each(table, fn, ctx);
	runtime_table__free(table);
	return 0;
}
