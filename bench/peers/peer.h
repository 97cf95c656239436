/* What the driver (drive.c) needs of a queue: one file for each, and a program of each. Whoever
 * meets an error gives up. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOB_SIZE = 200, WORKERS_MAX = 64, OUTSTANDING_MAX = 256, BACKLOG_MAX = 2000 };

/* A connection, of the producer or of a worker. */
struct peer;

/* The producer is number 0, and comes first; it creates what has to be created. */
struct peer *peer_open(uint16_t port, size_t number);

/* Begin to hand in a job of JOB_SIZE bytes. */
void peer_send(struct peer *peer, const char *job);

/* Wait until at least one of the outstanding jobs is accepted for good; returns how many are. */
size_t peer_confirm(struct peer *peer, size_t outstanding);

/* Wait for a job, and lease it. */
void peer_take(struct peer *peer, char *job);

/* It is done: wait for the answer, where there is one. */
void peer_end(struct peer *peer);

/* Say why on standard error, and end the program. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *allocate(size_t count, size_t size);
