/* Trees are counted by the size that each one's file `bytes` says; its time is that of its last
 * use. */
#include "worker/checkout/room.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "base/text.h"
#include "proto/message.h"
#include "worker/checkout/git.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

struct found {
	char *folder;
	uint64_t bytes;
	struct timespec used;
};

struct list {
	struct found *items;
	size_t count, capacity;
	uint64_t bytes;
};

enum err room_note(const char *folder, uint64_t bytes)
{
	scoped(free_text) char *line = text_format("%" PRIu64 "\n", bytes);
	return git_write_file(folder, "bytes", line);
}

/* Of a tree whose update was killed nothing is known; it is the first to go. */
static void add_found(struct list *list, char *folder)
{
	scoped(free_text) char *path = text_format("%s/bytes", folder);
	scoped(text_finish) struct text content = { 0 };
	struct stat status;
	memory_reserve((void **)&list->items, &list->capacity, list->count + 1,
	               sizeof *list->items);
	struct found *found = &list->items[list->count++];
	*found = (struct found){ .folder = folder };
	if (file_read(path, 32, &content) != OK || stat(path, &status) != 0)
		return;
	found->bytes = strtoull(content.data ? content.data : "", NULL, 10);
	found->used = status.st_mtim;
	list->bytes += found->bytes;
}

static int compare_use(const void *left, const void *right)
{
	const struct timespec *a = &((const struct found *)left)->used;
	const struct timespec *b = &((const struct found *)right)->used;
	if (a->tv_sec != b->tv_sec)
		return a->tv_sec < b->tv_sec ? -1 : 1;
	return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

static void find_trees(struct list *list, const char *trees, const char *but)
{
	DIR *folder = opendir(trees);
	struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		struct stat status;
		char *path = text_format("%s/%s", trees, entry->d_name);
		if (entry->d_name[0] == '.' || strcmp(path, but) == 0 ||
		    lstat(path, &status) != 0 || !S_ISDIR(status.st_mode))
			free(path);
		else
			add_found(list, path);
	}
	if (folder)
		closedir(folder);
	if (list->count)
		qsort(list->items, list->count, sizeof *list->items, compare_use);
}

/* Unless a job uses it. */
static void remove_tree(struct list *list, const struct found *found)
{
	scoped(close_fd) int lock = -1;
	scoped(free_text) char *path = text_format("%s.lock", found->folder);
	if (file_lock(path, &lock) != OK)
		return;
	if (file_remove_tree(found->folder) != OK) {
		log_at(LOG_LEVEL_WARN, "tree not removed reason=\"%s\"", error_text());
		return;
	}
	list->bytes -= found->bytes;
	log_at(LOG_LEVEL_INFO, "tree removed folder=%s bytes=%" PRIu64, found->folder,
	       found->bytes);
}

void room_make(const struct rec_orders *orders, const char *folder, uint64_t bytes)
{
	struct list list = { 0 };
	if (!orders->trees_max)
		return;
	find_trees(&list, orders->trees, folder);
	for (size_t i = 0; i < list.count; i++)
		if (list.bytes + bytes > orders->trees_max)
			remove_tree(&list, &list.items[i]);
	for (size_t i = 0; i < list.count; i++)
		free(list.items[i].folder);
	free(list.items);
}
