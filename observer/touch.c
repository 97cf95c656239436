/* Watches on folders, and whose they are. */
#include "observer/touch.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "base/table.h"
#include "base/text.h"
#include "observer/still.h"

#include <string.h>
#include <sys/inotify.h>

enum {
	FOLDERS_MAX = 64, /* of one repository; watches are few on some machines */
	EVENTS_SIZE = 16384,
	SEEN = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE,
};

/* A folder. One that two repositories are in is the one's that came last. */
struct folder {
	int watch; /* its number at the kernel */
	size_t number;
	bool is_git; /* git's own: of what is in it only packed-refs matters */
	UT_hash_handle hh;
};

struct touch {
	int fd;
	struct folder *folders;
	size_t size, next; /* of what was read */
	_Alignas(struct inotify_event) char events[EVENTS_SIZE];
};

struct touch *touch_new(void)
{
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0)
		return NULL;
	struct touch *touch = memory_new(1, sizeof *touch);
	touch->fd = fd;
	return touch;
}

static void drop(struct touch *touch, struct folder *folder)
{
	HASH_DEL(touch->folders, folder);
	free(folder);
}

void touch_destroy(struct touch **touch)
{
	struct folder *folder, *next;
	if (!*touch)
		return;
	HASH_ITER (hh, (*touch)->folders, folder, next)
		drop(*touch, folder);
	close((*touch)->fd);
	free(*touch);
	*touch = NULL;
}

int touch_descriptor(const struct touch *touch)
{
	return touch ? touch->fd : -1;
}

/* ---- listening ------------------------------------------------------------------------------ */

struct listening {
	struct touch *touch;
	size_t number, count, joined; /* folders, and those that were not listened to before */
};

static void listen_to(void *context, int fd)
{
	struct listening *listening = context;
	struct folder *folder;
	char path[64];
	if (listening->count++ >= FOLDERS_MAX)
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int watch = inotify_add_watch(listening->touch->fd, path, SEEN | IN_ONLYDIR);
	if (watch < 0)
		return; /* no room for more: looks find what happens */
	HASH_FIND_INT(listening->touch->folders, &watch, folder);
	if (!folder) {
		folder = memory_new(1, sizeof *folder);
		folder->watch = watch;
		HASH_ADD_INT(listening->touch->folders, watch, folder);
		listening->joined++;
	}
	folder->number = listening->number;
	folder->is_git = listening->count == 1;
}

bool touch_listen(struct touch *touch, size_t number, const char *path)
{
	struct folder *folder, *next;
	struct listening listening = { .touch = touch, .number = number };
	bool listened = false;
	if (!touch)
		return false;
	HASH_ITER (hh, touch->folders, folder, next)
		if (folder->number == number) {
			folder->number = SIZE_MAX;
			listened = true;
		}
	still_look(path, clock_wall_ms(), listen_to, &listening);
	HASH_ITER (hh, touch->folders, folder, next)
		if (folder->number == SIZE_MAX) {
			inotify_rm_watch(touch->fd, folder->watch);
			drop(touch, folder);
		}
	return listened && listening.joined > 0;
}

/* ---- hearing -------------------------------------------------------------------------------- */

/* Git writes NAME.lock, and then moves it to NAME. */
static bool is_change(const struct folder *folder, const struct inotify_event *event)
{
	const char *name = event->len ? event->name : "";
	size_t size = strlen(name);
	if (folder->is_git)
		return strcmp(name, "packed-refs") == 0;
	return size < 5 || strcmp(name + size - 5, ".lock") != 0;
}

static const struct inotify_event *next_event(struct touch *touch)
{
	if (touch->next == touch->size) {
		ssize_t got = read(touch->fd, touch->events, sizeof touch->events);
		touch->size = got > 0 ? (size_t)got : 0;
		touch->next = 0;
	}
	if (touch->size == 0)
		return NULL;
	const struct inotify_event *event = (const void *)(touch->events + touch->next);
	touch->next += sizeof *event + event->len;
	return event;
}

bool touch_next(struct touch *touch, size_t *ret_number)
{
	const struct inotify_event *event;
	while (touch && (event = next_event(touch))) {
		struct folder *folder;
		HASH_FIND_INT(touch->folders, &event->wd, folder);
		if (folder && event->mask & IN_IGNORED) {
			drop(touch, folder); /* it is gone */
		} else if (folder && is_change(folder, event)) {
			*ret_number = folder->number;
			return true;
		}
	}
	return false;
}
