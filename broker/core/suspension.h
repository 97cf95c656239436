/* Keys that are suspended for a time, because they were refused for their role again and again: at
 * a door that is not theirs, for what their role may not say, under another's name. Pure: time
 * arrives with each call, monotonic; what is to be told is appended to `out`. Memory only. */
#pragma once

#include "base/error.h"
#include "broker/core/effects.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	OFFENCES_MAX = 20, /* so many, in */
	OFFENCES_MS = 60000,
	SUSPENSION_MS = 60000, /* the first time; each one after it is twice as long, up to */
	SUSPENSION_MAX_MS = 3600000,
	FORGIVEN_MS = 3600000, /* after the end of the last one, the next is a first one */
};

struct suspensions;

/* One refusal. */
struct offence {
	const char *key;         /* its text */
	const char *role, *name; /* as the table of keys has it */
	const char *why;         /* for people */
};

/* A key that is suspended. Good until the next call that is not const. */
struct suspension {
	const char *key, *role, *name, *why;
	int64_t ends_ms;
};

/* The tables must be seeded. */
struct suspensions *suspensions_new(void);
void suspensions_destroy(struct suspensions **suspensions);

/* It was refused. What a suspended key says is not counted: it would never come back. */
void suspension_note(struct suspensions *suspensions, const struct offence *offence, int64_t now_ms,
                     struct effects *out);

/* False: the key is not suspended. */
bool suspension_find(const struct suspensions *suspensions, const char *key, int64_t now_ms,
                     struct suspension *ret);

/* ERR_FORBIDDEN: what its owner is told. */
enum err suspension_fail(const struct suspension *suspension, int64_t now_ms);

/* End those of a key, or of a name, early: what it did before does not count any more. Returns how
 * many were suspended. */
uint32_t suspension_lift(struct suspensions *suspensions, const char *word, const char *who,
                         int64_t now_ms, struct effects *out);

/* This key is not in the table any more. */
void suspension_forget(struct suspensions *suspensions, const char *key);

/* Those that are suspended now, `most` of them; returns how many `ret_rows` got. */
size_t suspensions_list(const struct suspensions *suspensions, int64_t now_ms,
                        struct suspension *ret_rows, size_t most);

/* How often one began, so far. */
uint64_t suspensions_begun(const struct suspensions *suspensions);
/* How many keys are remembered. */
size_t suspensions_count(const struct suspensions *suspensions);
