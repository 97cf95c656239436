/* Tasks on their way from one thread to another, in the order in which they were put. Any thread
 * puts; one thread takes, and waits by the bell while there is none. */
#pragma once

#include "base/error.h"

#include <pthread.h>
#include <stdbool.h>

struct store_task;

struct tray {
	pthread_mutex_t lock; /* of the tasks, and of is_rung */
	struct store_task *first, *last;
	bool is_rung; /* the taker was told since it last found nothing */
	bool is_ended;
	int bell;
};

/* ERR_SYSTEM when no descriptor is left. */
enum err tray_open(struct tray *tray);

/* What is still there is destroyed. Twice is fine. */
void tray_close(struct tray *tray);

/* Takes the task over. */
void tray_put(struct tray *tray, struct store_task **task);

/* Nothing more is put: the taker ends with what there is. */
void tray_end(struct tray *tray);

/* The oldest; NULL: none is there now, and the bell is silent until there is, or the end. */
struct store_task *tray_take(struct tray *tray);

/* There is none, and none will come. */
bool tray_is_over(struct tray *tray);
