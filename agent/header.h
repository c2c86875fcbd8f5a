/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header: the names of the headers that carry an id, as the kernel side compares them.
 */
#ifndef REQTAP_HEADER_H
#define REQTAP_HEADER_H

#include "bpf/http.h"

/* `rank` 0 is the best; below RT_HEADERS_MAX. */
void header__add(struct http_ids *ids, int rank, const char *name);

#endif
