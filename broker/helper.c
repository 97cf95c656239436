/* A thread for what waits for a disk: see helper.h. */
#include "broker/helper.h"

#include "base/bell.h"
#include "base/log.h"
#include "base/scoped.h"

#include <errno.h>
#include <string.h>

static void wait_for(sem_t *turn)
{
	while (sem_wait(turn) != 0)
		; /* a signal */
}

static void *run(void *context)
{
	struct helper *helper = context;
	for (;;) {
		wait_for(&helper->begun);
		if (helper->is_ending)
			return NULL;
		helper->work(helper->context);
		sem_post(&helper->done);
		bell_ring(helper->bell);
	}
}

void helper_init(struct helper *helper, void (*work)(void *context), void *context)
{
	*helper = (struct helper){ .work = work, .context = context, .bell = -1 };
}

void helper_start(struct helper *helper, const char *name)
{
	sem_init(&helper->begun, 0, 0);
	sem_init(&helper->done, 0, 0);
	helper->bell = bell_new();
	int number = helper->bell < 0 ? errno : 0;
	if (number == 0)
		number = pthread_create(&helper->thread, NULL, run, helper);
	if (number != 0) {
		log_at(LOG_LEVEL_WARN, "no thread %s: %s", name, strerror(number));
		close_fd(&helper->bell);
		return;
	}
	pthread_setname_np(helper->thread, name);
	helper->is_there = true;
}

void helper_stop(struct helper *helper)
{
	if (!helper->is_there)
		return;
	helper_wait(helper);
	helper->is_ending = true;
	sem_post(&helper->begun);
	pthread_join(helper->thread, NULL);
	sem_destroy(&helper->begun);
	sem_destroy(&helper->done);
	close_fd(&helper->bell);
	helper->is_there = false;
}

void helper_begin(struct helper *helper)
{
	helper->is_busy = true;
	if (helper->is_there)
		sem_post(&helper->begun);
}

void helper_wait(struct helper *helper)
{
	if (helper->is_busy && helper->is_there)
		wait_for(&helper->done);
	else if (helper->is_busy)
		helper->work(helper->context);
	helper->is_busy = false;
}

bool helper_is_done(struct helper *helper)
{
	bell_hear(helper->bell); /* before the look: what is done after it rings again */
	if (helper->is_busy && helper->is_there) {
		if (sem_trywait(&helper->done) != 0)
			return false;
		helper->is_busy = false;
	}
	helper_wait(helper);
	return true;
}
