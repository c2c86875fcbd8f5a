/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pin: the kernel side's objects under a directory of a bpffs, where they outlive the agent.
 *
 *   DIR/rt_…      the maps, the ring among them: for `bpftool map dump pinned` and the next agent
 *   DIR/links-…   a set of attachments. While one agent takes over from another there are two,
 *                 and control->set says which of them works
 *   DIR-new       maps of another contract, being made
 *   DIR-old-…     maps of another contract, that were replaced and are read to their end
 *
 * (A bpffs refuses dots in names.) A kill at any moment leaves a state that the next pin__open()
 * makes sense of, with at least one whole set attached. All functions return 0 or negative errno
 * unless they say otherwise.
 */
#ifndef REQTAP_PIN_H
#define REQTAP_PIN_H

#include "agent/plan.h"
#include "agent/ring.h"

#define PIN_DIR "/sys/fs/bpf/reqtap"
#define PIN_DIR_MAX 256
#define PIN_PATH_MAX (PIN_DIR_MAX + 64) /* of what is beside and below it */

/*
 * Makes the directory, mounts a bpffs on /sys/fs/bpf where none is, finishes or undoes what a
 * killed agent had begun. Returns a descriptor that locks the directory; -EBUSY: another agent
 * holds it, and did not end within five seconds; -ENOTSUP: it is on no bpffs.
 */
int pin__open(const char *dir);

/* The lock alone, for a directory that is there. */
int pin__lock(const char *dir);

/* Opens the map pinned as DIR/NAME: a descriptor. */
int pin__map(const char *dir, const char *name);

/* Lets the object, not yet loaded, use the maps of DIR. -ENOENT: none is pinned there; -ESTALE:
 * they are of another contract. */
int pin__reuse(struct bpf_object *object, const char *dir);

int pin__maps(struct bpf_object *object, const char *dir);

/*
 * Pins a new set of attachments, whose path goes to `ret_set`. -EOPNOTSUPP: this kernel keeps no
 * attachment to a tracepoint beyond its process (before 5.15); nothing is pinned then.
 */
int pin__links(struct links *links, const char *dir, char ret_set[PIN_PATH_MAX]);

/* Removes all sets but this one. */
void pin__keep(const char *dir, const char *set);

/*
 * The maps of DIR give way to those of DIR-new, which are attached already: the old programs
 * submit nothing any more. DIR becomes DIR-old-…, and DIR-new becomes DIR.
 */
int pin__replace(const char *dir);

#define PIN_OLD_MAX 8

/* What is left to read of maps that were replaced. */
struct pin_old {
	struct ring *ring; /* all of them, in order; the caller's. NULL: nothing is left */
	uint64_t unread;   /* bytes that this agent cannot read: of another RT_RING_CONTRACT */
	int requests[PIN_OLD_MAX]; /* their rt_request, the caller's to close */
	unsigned count;
};
int pin__old(const char *dir, struct pin_old *ret);
void pin__forget_old(const char *dir);

/* What is attached goes; all goes. What is not there is no error. */
void pin__detach(const char *dir);
int pin__remove(const char *dir);

/* Takes everything under `pin_dir` out of the kernel: 0, also if nothing is there; -EBUSY: an
 * agent uses it. */
int pin__unpin(const char *pin_dir);

#endif
