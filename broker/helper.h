/* A thread that does one kind of work for the store's own, a piece at a time: what it mostly does
 * is to wait for a disk. Where it was not started, on a machine that has no thread to give and in
 * trials of the disk, whoever waits for a piece does it. One thread begins, waits and takes; what a
 * piece is made of belongs to the helper from its begin until it was waited for. */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

struct helper {
	void (*work)(void *context); /* one piece */
	void *context;
	pthread_t thread;
	sem_t begun, done;
	int bell;      /* readable when a piece was done; negative: it has none */
	bool is_there; /* the thread is */
	bool is_busy;  /* a piece was begun, and not waited for */
	bool is_ending;
};

/* Before anything else; nothing is started by it. */
void helper_init(struct helper *helper, void (*work)(void *context), void *context);

/* Start its thread, which gets this name, at most 15 characters. Without one all goes on. */
void helper_start(struct helper *helper, const char *name);

/* When its piece is done. */
void helper_stop(struct helper *helper);

/* Begin a piece; the one before was waited for. */
void helper_begin(struct helper *helper);

/* Wait until the piece is done that was begun, if one was. */
void helper_wait(struct helper *helper);

/* Likewise, without waiting: false while it is at work. */
bool helper_is_done(struct helper *helper);
