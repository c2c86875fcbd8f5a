/* SPDX-License-Identifier: Apache-2.0 */
/* export_request: what a POST to a destination looks like; used by export.c and by the probe of
 * `reqtap connection test`. */
#ifndef REQTAP_EXPORT_REQUEST_H
#define REQTAP_EXPORT_REQUEST_H

#include <curl/curl.h>
#include <stddef.h>
#include <stdint.h>
#include "agent/destination.h"

/* NULL when out of memory. Freed by export__headers_free(), which wipes the values. */
struct curl_slist *export__headers(const struct destination *destination,
				   enum compression compression);
void export__headers_free(struct curl_slist *headers);

/* Some receivers repeat the credential that they refuse: its letters become asterisks in `text`,
 * also where `text` ends within it. */
void export__hide(const struct curl_slist *headers, char *text);

/* `headers` and `data` must outlive the transfer. */
void export__set_options(CURL *easy, const struct destination *destination,
			 struct curl_slist *headers, const uint8_t *data, size_t len);

#endif
