/* The containment of one job: who it runs as, what it sees, what it may use, how it ends. */
#pragma once

#include "proto/message.h"
#include "worker/contain/cgroup.h"
#include "worker/contain/limits.h"
#include "worker/contain/usage.h"

enum { CELL_FOLDERS = 3 };

struct cell {
	const struct rec_orders *orders; /* borrowed */
	struct limits limits;
	bool offline;
	bool sandboxed;
	bool own_user;
	uid_t uid; /* of own_user */
	char *state;
	char *folders[CELL_FOLDERS + 1]; /* work, home, tmp; NULL ends them */
	char *mirror;                    /* that its checkout borrows from */
	char *layer; /* what it writes over its checkout, if that is an overlay */
	const char *used[CELL_FOLDERS + 1]; /* what it fills; NULL ends them */
	struct cgroup cgroup;
	bool kernel_counts; /* processes are limited by the group */
	bool kernel_weighs; /* memory is */
	struct usage usage;
};

/* For the job of these orders in this folder, whose home and tmp become its user's. An error says
 * why it cannot be held as it must be. */
enum err cell_open(struct cell *cell, const struct rec_orders *orders, const struct rec_spec *spec,
                   const char *folder);

/* The checkout is there: from now on it is watched what the job uses. */
void cell_take_checkout(struct cell *cell);

/* Zero is fine. An error when processes are left in it that cannot be ended. */
enum err cell_close(struct cell *cell);

/* fork(), for a child that will be held: see cgroup_fork(). */
pid_t cell_fork(struct cell *cell);

/* In the child of the supervisor that is to run a command of the job: be held. Descriptors 0 to 2
 * are set. Then exec. */
enum err cell_enter(const struct cell *cell);

/* The same, and become the runner of a sandboxed job's steps, with its socket on descriptor 3.
 * `early`: the checkout is not there yet, cell_show() will show it. */
enum err cell_run(const struct cell *cell, char *const *env, bool early);

/* In the supervisor: show the checkout to a runner that was early, before its first step. `mounts`
 * is what it said of itself. */
enum err cell_show(const struct cell *cell, int mounts);

/* TERM to those in the group; returns how many there are. */
size_t cell_signal(const struct cell *cell, int number);

/* A descriptor that ends all in the group when "1" is written to it; -1 without a group. */
int cell_killer(const struct cell *cell);

/* End all that is in the group. */
void cell_kill(const struct cell *cell);

/* The limit that the job ran into, as a text such as "64 processes"; NULL when none is known. What
 * was seen over its limit comes from cell_over(). */
const char *cell_limit_hit(const struct cell *cell, char *text, size_t size);
const char *cell_over(const struct cell *cell, enum usage_over over, char *text, size_t size);

enum { CELL_TEXT_SIZE = 80 };
