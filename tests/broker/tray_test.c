/* Tasks between two threads. */
#include "broker/tray.h"

#include "broker/store.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>

enum { TASKS = 20000, PATIENCE_MS = 10000 };

static bool rings(const struct tray *tray, int wait_ms)
{
	struct pollfd bell = { .fd = tray->bell, .events = POLLIN };
	return poll(&bell, 1, wait_ms) == 1;
}

/* With a number in it, where a real one says who asked. */
static void put(struct tray *tray, size_t number)
{
	struct store_task *task = store_task_new(QUESTION_NONE);
	memcpy(task->peer.id, &number, sizeof number);
	tray_put(tray, &task);
	cr_assert_null(task, "it belongs to the tray");
}

/* The number of the next one; SIZE_MAX: there is none. */
static size_t take(struct tray *tray)
{
	struct store_task *task = tray_take(tray);
	size_t number = SIZE_MAX;
	if (task)
		memcpy(&number, task->peer.id, sizeof number);
	store_task_destroy(&task);
	return number;
}

Test(tray, they_come_out_as_they_were_put)
{
	struct tray tray;
	cr_assert_eq(tray_open(&tray), OK);
	for (size_t i = 0; i < 3; i++)
		put(&tray, i);
	for (size_t i = 0; i < 3; i++)
		cr_expect_eq(take(&tray), i);
	cr_expect_eq(take(&tray), SIZE_MAX);
	put(&tray, 7);
	cr_expect_eq(take(&tray), 7);
	tray_close(&tray);
	tray_close(&tray);
}

Test(tray, the_bell_rings_until_there_is_none)
{
	struct tray tray;
	cr_assert_eq(tray_open(&tray), OK);
	cr_expect_not(rings(&tray, 0));
	put(&tray, 1);
	put(&tray, 2);
	cr_expect(rings(&tray, 0));
	cr_expect_eq(take(&tray), 1);
	cr_expect(rings(&tray, 0), "one is left");
	cr_expect_eq(take(&tray), 2);
	cr_expect_eq(take(&tray), SIZE_MAX);
	cr_expect_not(rings(&tray, 0));
	put(&tray, 3);
	cr_expect(rings(&tray, 0));
	tray_close(&tray); /* with what is in it */
}

Test(tray, it_ends_after_what_was_put)
{
	struct tray tray;
	cr_assert_eq(tray_open(&tray), OK);
	put(&tray, 1);
	cr_expect_not(tray_is_over(&tray));
	tray_end(&tray);
	cr_expect_not(tray_is_over(&tray));
	cr_expect_eq(take(&tray), 1);
	cr_expect(tray_is_over(&tray));
	cr_expect_eq(take(&tray), SIZE_MAX);
	cr_expect(rings(&tray, 0), "who comes late does not sleep for ever");
	tray_close(&tray);
}

static void *put_many(void *tray)
{
	for (size_t i = 0; i < TASKS; i++)
		put(tray, i);
	tray_end(tray);
	return NULL;
}

/* Whoever sleeps is woken up for each that comes: no ring is lost between the two. */
Test(tray, two_threads)
{
	struct tray tray;
	pthread_t other;
	size_t next = 0;
	cr_assert_eq(tray_open(&tray), OK);
	cr_assert_eq(pthread_create(&other, NULL, put_many, &tray), 0);
	while (!tray_is_over(&tray)) {
		size_t number = take(&tray);
		if (number == SIZE_MAX)
			cr_assert(rings(&tray, PATIENCE_MS), "asleep after %zu", next);
		else
			cr_assert_eq(number, next++);
	}
	cr_expect_eq(next, TASKS);
	pthread_join(other, NULL);
	tray_close(&tray);
}
