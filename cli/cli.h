/* What the verbs share: the command line that was read, and the broker that it names. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/settings.h"
#include "proto/client.h"

enum {
	ANSWER_MS = 5000,      /* for an answer, where the verb has no such flag */
	REFRESH_MS = 1000,     /* looks again after this long without an event: events are hints */
	COMMIT_SHORT_SIZE = 10 /* digits of a commit that people see */
};

/* One run of fettle. */
struct session {
	const struct options *options;
	const struct text_list *words; /* arguments */
	char *folder;                  /* of the broker, where it is one of this machine */
	int signals;                   /* wire_start()'s descriptor */
	struct client *client;         /* NULL in verbs that do not ask a broker */
	struct arena arena;            /* answers */
	bool red;                      /* what was asked about is not green: exit code 1 */
};

#define COMMAND(verb, arguments, least, most, line, more) enum err verb_##verb(struct session *);
#include "cli/commands.def"
#undef COMMAND

/* client_call() for records of memory that lasts as long as the session. */
enum err session_ask(struct session *session, const char *method, enum record_type params_type,
                     const void *params, enum record_type result_type, void *result);

/* client_call_once() likewise. */
enum err session_ask_once(struct session *session, const char *method, enum record_type params_type,
                          const void *params, enum record_type result_type, void *result);

/* client_change() likewise. */
enum err session_change(struct session *session, const char *method, enum record_type params_type,
                        const void *params, enum record_type result_type, void *result);

/* Wait until something may have changed: an event, or `wait_ms` without one. */
enum err session_wait(struct session *session, int64_t wait_ms);

/* A change whose answer is whether it changed anything; prints that: `about`, and what was done to
 * it, or why that was not needed. */
enum err session_report(struct session *session, const char *method, enum record_type params_type,
                        const void *params, const char *about, const char *done,
                        const char *not_needed);

/* To --file, whole or not at all, else to stdout. */
enum err session_put(const struct session *session, const struct text *out);

/* A commit as the user wrote it: 4 to 40 hex digits. */
enum err session_check_commit(const char *commit);
