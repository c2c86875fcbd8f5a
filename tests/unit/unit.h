/* SPDX-License-Identifier: Apache-2.0 */
/* What cmocka wants included before it. */
#ifndef REQTAP_TESTS_UNIT_H
#define REQTAP_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#endif
