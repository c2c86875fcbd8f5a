/* SPDX-License-Identifier: Apache-2.0 */
/*
 * takeover: control->set goes from the set of programs that worked so far to another, while both
 * are attached to the same maps. A program of either may be anywhere in between, so each step is
 * seen by all before the next: see container_called() in bpf/task.bpf.h.
 */
#ifndef REQTAP_TAKEOVER_H
#define REQTAP_TAKEOVER_H

#include <stdint.h>
#include "bpf/event.h"

/* `taken_fd`: of the map rt_taken. From its return on, programs of `set` work. */
void takeover__begin(struct control *control, int taken_fd, uint32_t set);

/* The other set is being detached. */
void takeover__end(struct control *control);

/* Waits until the programs have ended that run now: those after see what was stored before. */
void takeover__settle(void);

#endif
