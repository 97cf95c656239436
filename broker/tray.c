/* A list of tasks, and a bell that is rung once for all that come until the list was found empty:
 * who puts and who takes mostly make no call of the system. */
#include "broker/tray.h"

#include "base/bell.h"
#include "base/scoped.h"
#include "broker/store.h"

#include <errno.h>
#include <string.h>

enum err tray_open(struct tray *tray)
{
	*tray = (struct tray){ .bell = bell_new() };
	if (tray->bell < 0)
		return fail(ERR_SYSTEM, "a descriptor between two threads: %s", strerror(errno));
	pthread_mutex_init(&tray->lock, NULL);
	return OK;
}

void tray_close(struct tray *tray)
{
	if (tray->bell < 0)
		return;
	for (struct store_task *task; (task = tray_take(tray));)
		store_task_destroy(&task);
	pthread_mutex_destroy(&tray->lock);
	close_fd(&tray->bell);
}

/* The lock is held, and given back. */
static void tell(struct tray *tray)
{
	bool rings = !tray->is_rung;
	tray->is_rung = true;
	pthread_mutex_unlock(&tray->lock);
	if (rings)
		bell_ring(tray->bell);
}

void tray_put(struct tray *tray, struct store_task **task)
{
	struct store_task *put = *task;
	*task = NULL;
	pthread_mutex_lock(&tray->lock);
	put->next = NULL;
	if (tray->first)
		tray->last->next = put;
	else
		tray->first = put;
	tray->last = put;
	tell(tray);
}

void tray_end(struct tray *tray)
{
	pthread_mutex_lock(&tray->lock);
	tray->is_ended = true;
	tell(tray);
}

/* A ring that comes after what it was for was taken wakes the taker once for nothing: it is heard
 * whether or not one is known of. */
struct store_task *tray_take(struct tray *tray)
{
	pthread_mutex_lock(&tray->lock);
	struct store_task *task = tray->first;
	if (task)
		tray->first = task->next;
	else if (!tray->is_ended)
		bell_hear(tray->bell);
	tray->is_rung &= task || tray->is_ended;
	pthread_mutex_unlock(&tray->lock);
	return task;
}

bool tray_is_over(struct tray *tray)
{
	pthread_mutex_lock(&tray->lock);
	bool is_over = tray->is_ended && !tray->first;
	pthread_mutex_unlock(&tray->lock);
	return is_over;
}
