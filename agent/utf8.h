/* SPDX-License-Identifier: Apache-2.0 */
/* utf8: a protobuf string with one bad byte costs the whole request, so none leaves. */
#ifndef REQTAP_UTF8_H
#define REQTAP_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the well-formed sequence at `text` (Unicode 15, table 3-7); 0: there is none. */
size_t utf8__sequence(const char *text, size_t len);

/* Replaces every byte that is part of no well-formed sequence by '?', in place. */
void utf8__mend(char *text, size_t len);

#endif
