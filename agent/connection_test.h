/* SPDX-License-Identifier: Apache-2.0 */
/* connection_test: one probe record to a destination, and what came of it in plain words. */
#ifndef REQTAP_CONNECTION_TEST_H
#define REQTAP_CONNECTION_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include "agent/destination.h"

/* Waits for the answer, at most the destination's timeout. `ret` gets one line without a line
 * end. Whether the record was accepted. */
bool connection__test(const struct destination *destination, char *ret, size_t size);

#endif
