/* Control groups: what the kernel counts, limits and kills as one. A worker has a folder in each
 * hierarchy that it may write to, with one group per slot below it. The folders of living workers
 * and the groups of living supervisors are locked: what is not is left over from a dead one. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a hierarchy is used for. In version 2 one group serves all three, where the controllers
 * were delegated to us. */
enum cgroup_use { CGROUP_TREE, CGROUP_PIDS, CGROUP_MEMORY, CGROUP_USES };

/* The folders of one worker. NULL where there is none. */
struct cgroup_folders {
	char *path[CGROUP_USES]; /* pids and memory may be the same as the tree's */
	int lock[CGROUP_USES];
};

/* Make the worker's folders where this machine allows it, once what dead workers left is cleared.
 * Without a tree that can be killed there are none. */
void cgroup_find(const char *instance, struct cgroup_folders *ret_folders);

/* Why cgroup_find() found no tree, and what would help. */
const char *cgroup_missing(void);

/* Clear them, when nothing runs in them any more. Zero is no worker's; that must not be finished.
 */
void cgroup_finish(struct cgroup_folders *folders);

/* The group of one slot. */
struct cgroup {
	char *path[CGROUP_USES];
	int lock[CGROUP_USES];
	bool one;     /* the tree's group has the limits, too */
	bool is_born; /* in a child: it is in the tree since cgroup_fork() */
};

/* Empty and ours, or an error that says why not. Paths may be NULL. */
enum err cgroup_open(const char *const folders[CGROUP_USES], uint32_t slot, struct cgroup *ret);

/* Remove what is empty. */
void cgroup_close(struct cgroup *cgroup);

/* 0 is no limit. False when one cannot be set: somebody else must see to it. */
bool cgroup_limit_processes(const struct cgroup *cgroup, uint64_t processes);
bool cgroup_limit_memory(const struct cgroup *cgroup, uint64_t bytes);

/* fork(), the child in the tree from its first moment where the kernel can do that: to move a
 * process later waits for all processors, some 4 to 12 ms. For a process of one thread; what a
 * library wants done at a fork is not. */
pid_t cgroup_fork(struct cgroup *cgroup);

/* Put the calling process, which has one thread, into it. */
enum err cgroup_enter(const struct cgroup *cgroup);

/* Send a signal to each process in it; returns how many there are. 0 only counts. */
size_t cgroup_signal(const struct cgroup *cgroup, int number);

/* End them all at once, none can fork away. */
void cgroup_kill(const struct cgroup *cgroup);

/* A descriptor that ends them all when "1" is written to it; -1 without a tree. */
int cgroup_killer(const struct cgroup *cgroup);

/* How often a limit was hit. */
uint64_t cgroup_processes_refused(const struct cgroup *cgroup);
uint64_t cgroup_memory_kills(const struct cgroup *cgroup);
