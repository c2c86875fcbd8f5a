/* SPDX-License-Identifier: Apache-2.0 */
/* option_value: one option's text to its value, within its range. */
#ifndef REQTAP_OPTION_VALUE_H
#define REQTAP_OPTION_VALUE_H

#include "agent/options.h"

/* "64M". 0, -EINVAL: no number or no known unit, -ERANGE: does not fit in 64 bits. */
int option_value__bytes(const char *text, uint64_t *ret);

/* "15m", in nanoseconds; a unit is required, except for 0. Same errors. */
int option_value__duration(const char *text, uint64_t *ret);

/* Sets *value from `text`. 0; negative errno: `ret_right` says what would be right. */
int option_value__set(const struct option_spec *spec, const char *text, void *value,
		      char *ret_right, size_t size);

/* A variable's text: flags by word, lists by comma. Same results. */
int option_value__set_variable(const struct option_spec *spec, const char *text, void *value,
			       char *ret_right, size_t size);

#endif
