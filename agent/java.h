/* SPDX-License-Identifier: Apache-2.0 */
/*
 * java: recognises a Java virtual machine. Its code runs on threads, and where these take turns at
 * selecting (Jetty), the one that has selected serves what it found, before it selects again.
 */
#ifndef REQTAP_JAVA_H
#define REQTAP_JAVA_H

#include "agent/runtime.h"

extern const struct runtime_kind java_runtime;

#endif
