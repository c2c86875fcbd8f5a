/* SPDX-License-Identifier: Apache-2.0 */
/* page: the files of agent/page/, which are in the program itself. */
#ifndef REQTAP_PAGE_H
#define REQTAP_PAGE_H

#include <stddef.h>

#define PAGE_FILES_MAX 16

struct page_file {
	const char *path; /* "/app.js"; NULL ends the table */
	const char *type;
	const char *data;
	const size_t *len;
};

extern const struct page_file page_files[];

#endif
