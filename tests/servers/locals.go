// SPDX-License-Identifier: Apache-2.0

package main

// __thread int locals[10];
// int touch(void) { return locals[3]++; }
import "C"

func init() { C.touch() }
