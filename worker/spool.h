/* The folder of an attempt: `offer`, `orders`, `log`, and at the end `parcel` and `result`. It is
 * the worker's only memory of a job, and stays until the broker has the result. */
#pragma once

#include "proto/message.h"

#include <stdbool.h>

struct trash;

/* <state>/jobs/<job>.<attempt>; the caller frees it. */
char *spool_folder(const char *state, uint64_t job, uint32_t attempt);

/* Make the folder of an offer anew, with the offer and the orders for its supervisor in it. */
enum err spool_begin(const char *folder, const struct msg_offer *offer,
                     const struct rec_orders *orders);

/* The orders in a folder; texts live in the arena. */
enum err spool_read_orders(const char *folder, struct arena *arena, struct rec_orders *ret_orders);

/* The message in a file of the folder; ERR_NOT_FOUND without one, ERR_MALFORMED when it is not
 * what it should be. */
enum err spool_read(const char *folder, const char *file, enum message_type type,
                    struct message *ret_message);

/* Make a result durable. */
enum err spool_write_result(const char *folder, const struct msg_result *result);

/* Is there a result? */
bool spool_has_result(const char *folder);

/* Size of the log file; 0 when there is none. */
uint64_t spool_log_size(const char *folder);

/* Remove what a job worked in, keep log and result. */
void spool_remove_work(const char *folder);

/* The same for an agent, which does not wait until it is gone. */
void spool_discard_work(const char *folder, struct trash *trash);

/* What is found of an attempt. */
struct spool_visitor {
	void *user;
	struct trash *trash; /* for what is left of others */
	/* Is it still running? Then its folder is left alone. */
	bool (*running)(void *user, uint64_t job, uint32_t attempt);
	/* It has this result; borrowed. */
	void (*ended)(void *user, const struct msg_result *result, uint64_t log_size);
};

/* Go through what an earlier run of the worker left: attempts that run and that ended are shown to
 * the visitor, others are removed, damaged ones are moved to <state>/damaged with a log line. */
enum err spool_restore(const char *state, const struct spool_visitor *visitor);
