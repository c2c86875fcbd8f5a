/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * unit_python: the context (PEP 567) that a thread of CPython runs in. The walk begins at
 * _PyRuntime: main interpreter, its thread states, that of this thread, its context. The
 * interpreter lock need not be held: a thread finds its own state, which nobody else frees.
 *
 * Only a context that was entered is a unit: those that threads make for themselves, when they
 * first set a variable, come without a sign and may lie where another's lay. Those that are entered
 * were made by functions that are probed (bpf/unit_python.bpf.c), where an address used again takes
 * its new owner or loses the old.
 */
#ifndef REQTAP_UNIT_PYTHON_BPF_H
#define REQTAP_UNIT_PYTHON_BPF_H

#include "bpf/runtime.bpf.h"

#define PYTHON_THREADS 256 /* states that are looked through; the newest come first */

/* What is known of a thread of Python, until it is the oldest of too many. */
struct python_thread {
	u64 state; /* its thread state, to be checked before it is believed */
	/* What it read, or accepted, since its last callback of the event loop, and in which
	 * context: the first to run in a context of its own is who will work on it. */
	u64 read_request;
	u64 read_context;
	u64 read_switches; /* context switches of the thread until then */
	u64 accept_context;
	u64 accept_sk; /* 0: nothing */
	u64 accept_cookie;
};

/* pid_tgid -> struct python_thread */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct python_thread);
} rt_python __weak SEC(".maps");

static __always_inline struct unit unit_context(u32 tgid, u64 context)
{
	return (struct unit){ .tgid = tgid, .kind = RT_UNIT_PYTHON, .id = context };
}

static __always_inline u64 user_u64(u64 address)
{
	u64 value = 0;

	return bpf_probe_read_user(&value, sizeof(value), (void *)address) ? 0 : value;
}

/* pthread_self(): how CPython names its threads. */
static __always_inline u64 thread_pointer(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(task, thread.fsbase);
#else
	return BPF_CORE_READ(task, thread.uw.tp_value);
#endif
}

/* The state is still in the list, and this thread's: freed memory may say the latter alone. */
static __always_inline bool python_state_lives(const struct runtime *python, u64 state)
{
	u64 previous = user_u64(state + python->offset[RT_PYTHON_PREVIOUS]);
	u64 interpreter;

	if (user_u64(state + python->offset[RT_PYTHON_THREAD_ID]) != thread_pointer())
		return false;
	if (previous)
		return user_u64(previous + python->offset[RT_PYTHON_NEXT]) == state;
	interpreter = user_u64(python->address + python->offset[RT_PYTHON_INTERPRETER]);
	return user_u64(interpreter + python->offset[RT_PYTHON_THREADS]) == state;
}

static __always_inline u64 python_state_find(const struct runtime *python)
{
	u64 self = thread_pointer();
	u64 at = user_u64(python->address + python->offset[RT_PYTHON_INTERPRETER]);

	at = at ? user_u64(at + python->offset[RT_PYTHON_THREADS]) : 0;
	for (int i = 0; i < PYTHON_THREADS && at; i++) {
		if (user_u64(at + python->offset[RT_PYTHON_THREAD_ID]) == self)
			return at;
		at = user_u64(at + python->offset[RT_PYTHON_NEXT]);
	}
	return 0;
}

/* Not on the stack, which callers and callees share: 512 bytes (kernels before 6.13). */
static const struct python_thread python_thread_none;

/* Finds the thread's state and keeps it in rt_python. 0: no thread of Python. Global: verified
 * once.
 */
__weak u64 python_state_keep(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct runtime *python = runtime_get(id >> 32, RT_RUNTIME_PYTHON);
	u64 state = python ? python_state_find(python) : 0;
	struct python_thread *thread;

	if (!state)
		return 0;
	bpf_map_update_elem(&rt_python, &id, &python_thread_none, BPF_ANY);
	thread = bpf_map_lookup_elem(&rt_python, &id);
	if (thread)
		thread->state = state;
	return state;
}

/* The thread's current context, entered or not; 0: none, or no thread of Python. */
static __always_inline u64 python_context(const struct runtime *python)
{
	u64 id = bpf_get_current_pid_tgid(), state;
	struct python_thread *thread = bpf_map_lookup_elem(&rt_python, &id);

	if (thread && python_state_lives(python, thread->state))
		state = thread->state;
	else
		state = python_state_keep();
	return state ? user_u64(state + python->offset[RT_PYTHON_CONTEXT]) : 0;
}

/* `context` is one that was entered: a unit. */
static __always_inline bool python_entered(const struct runtime *python, u64 context)
{
	u32 entered = 0;

	return context &&
	       !bpf_probe_read_user(&entered, sizeof(entered),
				    (void *)(context + python->offset[RT_PYTHON_ENTERED])) &&
	       entered == 1;
}

/* The context that the current code runs in, when that is a unit; else 0. */
static __always_inline u64 python_unit(const struct runtime *python)
{
	u64 context = python_context(python);

	return python_entered(python, context) ? context : 0;
}

/* How often the thread has entered or left a context: PyThreadState.context_ver, after context. */
static __always_inline u64 python_switches(const struct runtime *python,
					   const struct python_thread *thread)
{
	return user_u64(thread->state + python->offset[RT_PYTHON_CONTEXT] + 8);
}

/*
 * A read outside of any context that was entered: libuv reads before it enters the callback's
 * (uvloop). What is begun in that callback works on the request.
 */
static __always_inline void python_read(const struct runtime *python, u64 id, u64 context,
					u64 request)
{
	struct python_thread *thread = bpf_map_lookup_elem(&rt_python, &id);

	if (!thread)
		return;
	thread->read_context = context;
	thread->read_switches = python_switches(python, thread);
	thread->read_request = request;
}

/* The thread runs in `context`, which is the one and first that it entered since it read so. */
static __always_inline bool python_in_callback(const struct runtime *python,
					       const struct python_thread *thread, u64 context)
{
	return thread->read_request &&
	       user_u64(context + python->offset[RT_PYTHON_OUTER]) == thread->read_context &&
	       python_switches(python, thread) == thread->read_switches + 1;
}

/* asyncio accepts inside a callback, which starts a task for the connection at once. */
static __always_inline void python_accepted(u64 id, u64 sk, u64 cookie)
{
	struct runtime *python = runtime_get(id >> 32, RT_RUNTIME_PYTHON);
	u64 context = python ? python_context(python) : 0;
	struct python_thread *thread;

	if (!python || !python_entered(python, context))
		return;
	thread = bpf_map_lookup_elem(&rt_python, &id);
	if (!thread)
		return;
	thread->accept_context = context;
	thread->accept_cookie = cookie;
	thread->accept_sk = sk;
}

/* The callback is over: what it left is nobody's. */
static __always_inline void python_callback_ends(u64 id)
{
	struct python_thread *thread = bpf_map_lookup_elem(&rt_python, &id);

	if (!thread)
		return;
	thread->read_request = 0;
	thread->accept_sk = 0;
}

#endif
