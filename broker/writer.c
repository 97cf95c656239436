/* The thread that writes the journal: see journal.h. It and the store's own take turns at the
 * record, and wait for each other by two semaphores. */
#include "broker/journal.h"

#include "base/log.h"
#include "base/memory.h"
#include "broker/store_sqlite.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>

struct journal_writer {
	struct store *store;
	pthread_t thread;
	sem_t begin, done;
	bool stopping; /* set before `begin` */
};

static void wait_for(sem_t *turn)
{
	while (sem_wait(turn) != 0)
		; /* a signal */
}

static void *run(void *context)
{
	struct journal_writer *writer = context;
	pthread_setname_np(pthread_self(), "fettle-journal");
	for (;;) {
		wait_for(&writer->begin);
		if (writer->stopping)
			return NULL;
		journal_write(writer->store);
		sem_post(&writer->done);
	}
}

static void finish(struct journal_writer *writer)
{
	sem_destroy(&writer->begin);
	sem_destroy(&writer->done);
	free(writer);
}

void writer_start(struct store *store)
{
	struct journal_writer *writer = memory_new(1, sizeof *writer);
	writer->store = store;
	sem_init(&writer->begin, 0, 0);
	sem_init(&writer->done, 0, 0);
	int number = pthread_create(&writer->thread, NULL, run, writer);
	if (number == 0) {
		store->journal.writer = writer;
		return;
	}
	log_at(LOG_LEVEL_WARN, "no thread for the journal: %s", strerror(number));
	finish(writer);
}

void writer_stop(struct store *store)
{
	struct journal_writer *writer = store->journal.writer;
	if (!writer)
		return;
	writer->stopping = true;
	sem_post(&writer->begin);
	pthread_join(writer->thread, NULL);
	finish(writer);
	store->journal.writer = NULL;
}

void writer_begin(struct journal_writer *writer)
{
	sem_post(&writer->begin);
}

void writer_wait(struct journal_writer *writer)
{
	wait_for(&writer->done);
}
