/* The journal of a disk, and what a power cut makes of it. */
#include "tests/disk/disk.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SECTOR = 512 };

static struct disk_journal *mounted;
static bool is_looking;
static uint64_t power_cuts;
static char *root;
static struct {
	enum disk_fault fault;
	size_t at;
	bool hit, lasting;
} failure;

uint64_t disk_draw(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u); /* splitmix64 */
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void check(bool fine, const char *what)
{
	if (fine)
		return;
	perror(what);
	abort();
}

/* ---- names, as the page cache has them ------------------------------------------------------ */

static struct name *find_name(struct name *names, size_t count, uint32_t folder, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (names[i].folder == folder && strcmp(names[i].name, name) == 0)
			return &names[i];
	return NULL;
}

static void set_name(struct disk_journal *to, uint32_t folder, const char *name, uint32_t node)
{
	struct name *there = find_name(to->names, to->name_count, folder, name);
	if (there) {
		there->node = node;
		return;
	}
	memory_reserve((void **)&to->names, &to->name_capacity, to->name_count + 1,
	               sizeof *to->names);
	to->names[to->name_count++] = (struct name){ folder, memory_copy_text(name), node };
}

static void drop_name(struct disk_journal *of, uint32_t folder, const char *name)
{
	struct name *there = find_name(of->names, of->name_count, folder, name);
	if (!there)
		return;
	free(there->name);
	*there = of->names[--of->name_count];
}

static void apply_name(struct disk_journal *to, const struct change *change)
{
	switch (change->kind) {
	case CHANGE_CREATE:
	case CHANGE_FOLDER: set_name(to, change->folder, change->name, change->node); break;
	case CHANGE_MOVE:
		drop_name(to, change->from_folder, change->from_name);
		set_name(to, change->folder, change->name, change->node);
		break;
	case CHANGE_REMOVE: drop_name(to, change->folder, change->name); break;
	default: break;
	}
}

struct disk_path disk_find(const char *path)
{
	struct disk_path at = { 0 };
	size_t size = root ? strlen(root) : 0;
	if (!mounted || is_looking || strncmp(path, root, size) != 0 ||
	    (path[size] && path[size] != '/'))
		return at;
	at.is_here = at.exists = true;
	scoped(free_text) char *rest = memory_copy_text(path + size);
	char *state;
	for (char *part = strtok_r(rest, "/", &state); part; part = strtok_r(NULL, "/", &state)) {
		at.folder = at.node;
		snprintf(at.name, sizeof at.name, "%s", part);
		const struct name *found =
			find_name(mounted->names, mounted->name_count, at.folder, part);
		at.exists = found != NULL;
		at.node = found ? found->node : 0;
		if (!found)
			break;
	}
	return at;
}

/* ---- the journal ---------------------------------------------------------------------------- */

static uint32_t add_node(struct disk_journal *journal, bool is_folder)
{
	memory_reserve((void **)&journal->nodes, &journal->node_capacity, journal->node_count + 1,
	               sizeof *journal->nodes);
	journal->nodes[journal->node_count] = (struct node){ .is_folder = is_folder };
	return (uint32_t)journal->node_count++;
}

static bool is_content(const struct change *change)
{
	return change->kind == CHANGE_WRITE || change->kind == CHANGE_SIZE;
}

static bool is_naming(const struct change *change)
{
	return change->kind == CHANGE_CREATE || change->kind == CHANGE_FOLDER ||
	       change->kind == CHANGE_MOVE || change->kind == CHANGE_REMOVE;
}

static uint32_t add_change(struct disk_journal *journal, const struct change *made)
{
	memory_reserve((void **)&journal->changes, &journal->capacity, journal->count + 1,
	               sizeof *journal->changes);
	struct change *change = &journal->changes[journal->count++];
	*change = *made;
	change->name = memory_copy_text(made->name);
	change->from_name = memory_copy_text(made->from_name);
	change->data = made->data ? memory_copy(made->data, made->size) : NULL;
	if (change->kind == CHANGE_CREATE || change->kind == CHANGE_FOLDER)
		change->node = add_node(journal, change->kind == CHANGE_FOLDER);
	if (is_content(change)) {
		change->before = journal->nodes[change->node].newest;
		journal->nodes[change->node].newest = journal->count;
	}
	apply_name(journal, change);
	return change->node;
}

void disk_note(const struct change *change)
{
	add_change(mounted, change);
}

static void take_file(struct disk_journal *journal, const char *path, uint32_t node)
{
	scoped(text_finish) struct text content = { 0 };
	check(file_read(path, (size_t)1 << 30, &content) == OK, path);
	if (content.size)
		add_change(journal, &(struct change){ .kind = CHANGE_WRITE,
		                                      .node = node,
		                                      .data = content.data,
		                                      .size = content.size });
}

/* What is there already is durable. */
static void take_folder(struct disk_journal *journal, const char *path, uint32_t node)
{
	DIR *folder = opendir(path);
	check(folder != NULL, path);
	for (struct dirent *entry; (entry = readdir(folder));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		bool is_folder = entry->d_type == DT_DIR;
		scoped(free_text) char *inside = text_format("%s/%s", path, entry->d_name);
		struct change change = { .kind = is_folder ? CHANGE_FOLDER : CHANGE_CREATE,
			                 .folder = node,
			                 .name = entry->d_name };
		uint32_t added = add_change(journal, &change);
		is_folder ? take_folder(journal, inside, added) : take_file(journal, inside, added);
	}
	closedir(folder);
}

void disk_mount(struct disk_journal *journal, const char *path)
{
	*journal = (struct disk_journal){ 0 };
	add_node(journal, true);
	take_folder(journal, path, 0);
	journal->base = journal->count;
	mounted = journal;
	root = memory_copy_text(path);
	memset(&failure, 0, sizeof failure);
}

void disk_unmount(void)
{
	mounted = NULL;
	free(root);
	root = NULL;
}

void disk_look(bool looking)
{
	is_looking = looking;
}

size_t disk_calls(void)
{
	return mounted ? mounted->count - mounted->base : 0;
}

static bool is_named(uint32_t node, const char *name)
{
	for (size_t i = 0; i < mounted->name_count; i++)
		if (mounted->names[i].node == node && strcmp(mounted->names[i].name, name) == 0)
			return true;
	return false;
}

size_t disk_synced(const char *name)
{
	for (size_t calls = disk_calls(); calls > 0; calls--) {
		const struct change *change = disk_change(mounted, calls - 1);
		if (change->kind == CHANGE_SYNC && is_named(change->node, name))
			return calls;
	}
	return 0;
}

const struct change *disk_change(const struct disk_journal *journal, size_t at)
{
	return &journal->changes[journal->base + at];
}

void disk_journal_finish(struct disk_journal *journal)
{
	for (size_t i = 0; i < journal->count; i++) {
		free(journal->changes[i].name);
		free(journal->changes[i].from_name);
		free(journal->changes[i].data);
	}
	for (size_t i = 0; i < journal->name_count; i++)
		free(journal->names[i].name);
	free(journal->changes);
	free(journal->names);
	free(journal->nodes);
	*journal = (struct disk_journal){ 0 };
}

/* ---- faults --------------------------------------------------------------------------------- */

const char *disk_fault_text(enum disk_fault fault)
{
	static const char *const words[] = { "", "eio", "enospc", "edquot", "emfile", "short" };
	return words[fault];
}

const char *disk_cut_text(enum cut cut)
{
	static const char *const words[] = { "kill", "none", "all", "torn", "folders" };
	return words[cut];
}

void disk_fail(enum disk_fault fault, size_t at)
{
	failure.fault = fault;
	failure.at = at;
	failure.hit = failure.lasting = false;
}

bool disk_has_failed(void)
{
	return failure.hit;
}

void disk_heal(void)
{
	failure.lasting = false;
}

bool disk_may_fail(const struct change *change, enum disk_fault fault)
{
	bool opens = change->kind == CHANGE_NOTHING || change->kind == CHANGE_CREATE;
	switch (fault) {
	case FAULT_EIO: return true;
	case FAULT_ENOSPC:
	case FAULT_EDQUOT:
		return change->kind == CHANGE_WRITE || change->kind == CHANGE_CREATE ||
		       change->kind == CHANGE_FOLDER || change->kind == CHANGE_MOVE;
	case FAULT_EMFILE: return opens;
	case FAULT_SHORT: return change->kind == CHANGE_WRITE && change->size > 1;
	case FAULT_NONE:
	case FAULT_COUNT: break;
	}
	return false;
}

int disk_enter(const struct change *change, bool *ret_short)
{
	static const int codes[] = { [FAULT_EIO] = EIO,
		                     [FAULT_ENOSPC] = ENOSPC,
		                     [FAULT_EDQUOT] = EDQUOT,
		                     [FAULT_EMFILE] = EMFILE,
		                     [FAULT_SHORT] = 0 };
	bool now = !failure.hit && failure.fault && disk_calls() == failure.at;
	*ret_short = false;
	if (!now && !failure.lasting)
		return 0;
	if (!disk_may_fail(change, failure.fault))
		return 0;
	failure.hit = true;
	failure.lasting = failure.fault != FAULT_EIO && failure.fault != FAULT_SHORT;
	*ret_short = failure.fault == FAULT_SHORT;
	return codes[failure.fault];
}

/* ---- a cut ---------------------------------------------------------------------------------- */

/* Per change: does it survive? */
struct survey {
	const struct disk_journal *journal;
	size_t end; /* changes before the cut */
	enum cut how;
	uint64_t random;
	bool *durable;
};

static bool is_kept_whole(struct survey *survey)
{
	return survey->how == CUT_ALL_KEPT || survey->how == CUT_KILL;
}

/* The nodes that a change synced end before *ret_end. */
static size_t first_synced(const struct disk_journal *journal, const struct change *change,
                           size_t *ret_end)
{
	bool all = change->kind == CHANGE_SYNC_ALL;
	size_t first = all ? 0 : change->node;
	*ret_end = all ? journal->node_count : first + (change->kind == CHANGE_SYNC);
	return first;
}

/* The next sync of a file after a write tells: a good one made it durable, a failed one lost it. */
static void survey_contents(struct survey *survey)
{
	const struct disk_journal *journal = survey->journal;
	enum { NEVER, GOOD, FAILED } *next = memory_new(journal->node_count, sizeof(*next));
	for (size_t i = survey->end; i-- > 0;) {
		const struct change *change = &journal->changes[i];
		size_t end, node = first_synced(journal, change, &end);
		for (; node < end; node++)
			next[node] = change->failed ? FAILED : GOOD;
		if (is_content(change))
			survey->durable[i] = i < journal->base || next[change->node] == GOOD;
	}
	free(next);
}

/* Names survive in the order in which they changed: all that a sync of their folder saw, then those
 * up to some moment. A move between folders is one change in both. */
static void survey_names(struct survey *survey)
{
	const struct disk_journal *journal = survey->journal;
	size_t *kept =
		memory_new(journal->node_count, sizeof *kept); /* changes of a folder before */
	size_t moment = survey->how == CUT_NONE_KEPT ? 0
	                : is_kept_whole(survey)      ? survey->end
	                                        : disk_draw(&survey->random) % (survey->end + 1);
	for (size_t i = 0; i < journal->node_count; i++) {
		kept[i] = moment > journal->base ? moment : journal->base;
		if (survey->how == CUT_TORN_BY_FOLDER)
			moment = disk_draw(&survey->random) % (survey->end + 1);
	}
	for (size_t i = journal->base; i < survey->end; i++) {
		const struct change *change = &journal->changes[i];
		size_t end, node = first_synced(journal, change, &end);
		for (; node < end && !change->failed; node++)
			if (kept[node] < i)
				kept[node] = i;
	}
	for (size_t i = survey->end; i-- > 0;) {
		const struct change *change = &journal->changes[i];
		if (!is_naming(change))
			continue;
		uint32_t from = change->kind == CHANGE_MOVE ? change->from_folder : change->folder;
		survey->durable[i] = i < kept[change->folder] || i < kept[from];
		if (survey->durable[i] && kept[change->folder] <= i)
			kept[change->folder] = i + 1;
		if (survey->durable[i] && kept[from] <= i)
			kept[from] = i + 1;
	}
	free(kept);
}

static void put_bytes(struct text *content, uint64_t offset, const void *data, size_t size)
{
	static const char zeros[SECTOR];
	while (content->size < offset + size) {
		size_t missing = offset + size - content->size;
		text_add_bytes(content, zeros, missing < SECTOR ? missing : SECTOR);
	}
	memcpy(content->data + offset, data, size);
}

static void put_torn(struct survey *survey, struct text *content, const struct change *change)
{
	for (uint64_t at = change->offset, end = at + change->size; at < end;) {
		uint64_t next = (at / SECTOR + 1) * SECTOR;
		next = next < end ? next : end;
		if (disk_draw(&survey->random) % 2)
			put_bytes(content, at, (char *)change->data + (at - change->offset),
			          next - at);
		at = next;
	}
}

static void set_content_size(struct text *content, uint64_t size)
{
	if (size > content->size)
		put_bytes(content, size, "", 0);
	else if (content->data)
		content->data[content->size = size] = 0;
}

static void put_change(struct survey *survey, struct text *content, size_t index,
                       uint64_t *size_seen)
{
	const struct change *change = &survey->journal->changes[index];
	bool keep = survey->durable[index] || is_kept_whole(survey);
	unsigned fate = keep                           ? 0
	                : survey->how == CUT_NONE_KEPT ? 1
	                                               : (unsigned)(disk_draw(&survey->random) % 3);
	if (change->kind == CHANGE_SIZE) {
		if (fate != 1)
			set_content_size(content, change->size);
		return;
	}
	if (change->offset + change->size > *size_seen)
		*size_seen = change->offset + change->size;
	if (fate == 0)
		put_bytes(content, change->offset, change->data, change->size);
	else if (fate == 2)
		put_torn(survey, content, change);
}

/* Also a file whose bytes were all dropped may have got its size, in zeros. */
static void build_file(struct survey *survey, uint32_t node, const char *path)
{
	const struct disk_journal *journal = survey->journal;
	scoped(text_finish) struct text content = { 0 };
	size_t count = 0, capacity = 0;
	size_t *order = NULL;
	uint64_t size_seen = 0;
	for (size_t i = journal->nodes[node].newest; i; i = journal->changes[i - 1].before) {
		if (i > survey->end)
			continue;
		memory_reserve((void **)&order, &capacity, count + 1, sizeof *order);
		order[count++] = i - 1;
	}
	while (count > 0)
		put_change(survey, &content, order[--count], &size_seen);
	free(order);
	if (!is_kept_whole(survey) && survey->how != CUT_NONE_KEPT &&
	    disk_draw(&survey->random) % 4 == 0 && size_seen > content.size)
		set_content_size(&content, size_seen);
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	check(fd >= 0 && file_write_all(fd, content.data, content.size) == OK, path);
}

static void build_folder(struct survey *survey, const struct disk_journal *names, uint32_t node,
                         const char *path)
{
	check(mkdir(path, 0755) == 0 || errno == EEXIST, path);
	for (size_t i = 0; i < names->name_count; i++) {
		const struct name *name = &names->names[i];
		if (name->folder != node)
			continue;
		scoped(free_text) char *inside = text_format("%s/%s", path, name->name);
		if (survey->journal->nodes[name->node].is_folder)
			build_folder(survey, names, name->node, inside);
		else
			build_file(survey, name->node, inside);
	}
}

void disk_cut(const struct disk_journal *journal, size_t at, enum cut how, uint64_t seed,
              const char *folder)
{
	struct survey survey = { .journal = journal,
		                 .end = journal->base + at,
		                 .how = how,
		                 .random = seed,
		                 .durable = memory_new(journal->count + 1, sizeof(bool)) };
	struct disk_journal names = { 0 };
	power_cuts += how != CUT_KILL;
	survey_contents(&survey);
	survey_names(&survey);
	for (size_t i = 0; i < survey.end; i++)
		if (survey.durable[i])
			apply_name(&names, &journal->changes[i]);
	check(file_remove_tree(folder) == OK, folder);
	build_folder(&survey, &names, 0, folder);
	free(survey.durable);
	disk_journal_finish(&names);
}

uint64_t disk_power_cuts(void)
{
	return power_cuts;
}

void disk_print(const struct disk_journal *journal, size_t at)
{
	static const char *const words[] = { "open",  "create", "mkdir", "rename",     "remove",
		                             "write", "size",   "sync",  "sync all of" };
	const struct change *change = disk_change(journal, at);
	const char *name = change->name ? change->name : "";
	for (size_t i = 0; !*name && i < journal->name_count; i++)
		if (journal->names[i].node == change->node)
			name = journal->names[i].name;
	printf("  call %zu: %s %s offset=%llu size=%llu%s\n", at, words[change->kind], name,
	       (unsigned long long)change->offset, (unsigned long long)change->size,
	       change->failed ? " FAILED" : "");
}
