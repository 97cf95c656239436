/* A disk that can lose power. Everything below one folder, on a memory file system, is the disk;
 * calls.c sees every call of this process that changes it, SQLite's own ones too. The folder is
 * what the page cache shows. The journal of these calls tells what of it would survive: bytes once
 * their file was synced, names once their folder was; of the rest a cut keeps, drops or tears what
 * it likes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum change_kind {
	CHANGE_NOTHING, /* a file was opened */
	CHANGE_CREATE,  /* a name for a new file */
	CHANGE_FOLDER,  /* a name for a new folder */
	CHANGE_MOVE,
	CHANGE_REMOVE,
	CHANGE_WRITE,
	CHANGE_SIZE,
	CHANGE_SYNC,
	CHANGE_SYNC_ALL, /* of every file and folder */
};

/* One call. Files and folders are numbers: 0 is the disk's own folder. */
struct change {
	enum change_kind kind;
	bool failed;
	uint32_t node;                /* opened, named, written, synced */
	uint32_t folder, from_folder; /* of the name, and of the name before a move */
	char *name, *from_name;
	uint64_t offset, size;
	void *data;
	size_t before; /* the change before this one of the same file, plus 1; 0: none */
};

struct name {
	uint32_t folder;
	char *name;
	uint32_t node;
};

struct node {
	bool is_folder;
	size_t newest; /* change of its content, plus 1; 0: none */
};

struct disk_journal {
	struct change *changes;
	size_t count, capacity;
	size_t base; /* these were there when it was mounted: durable */
	struct node *nodes;
	size_t node_count, node_capacity;
	struct name *names; /* as the page cache has them now */
	size_t name_count, name_capacity;
};

enum disk_fault {
	FAULT_NONE,
	FAULT_EIO,    /* once; what a failed sync did not write is never written */
	FAULT_ENOSPC, /* whatever takes space, until disk_heal() */
	FAULT_EDQUOT, /* the same, of a user who has no more */
	FAULT_EMFILE, /* every open, until disk_heal() */
	FAULT_SHORT,  /* a write takes half of its bytes, once */
	FAULT_COUNT
};

enum cut {
	CUT_KILL, /* no cut at all: the process died, the page cache lives */
	CUT_NONE_KEPT,
	CUT_ALL_KEPT,
	CUT_TORN,           /* each unsynced write kept, dropped or torn; names up to some moment */
	CUT_TORN_BY_FOLDER, /* the same, and each folder has a moment of its own */
	CUT_COUNT
};

static inline bool disk_is_sync(enum change_kind kind)
{
	return kind == CHANGE_SYNC || kind == CHANGE_SYNC_ALL;
}

const char *disk_fault_text(enum disk_fault fault);
const char *disk_cut_text(enum cut cut);

/* From here on every change below `root` goes to the journal, which must outlive the mount. One
 * disk is mounted at a time. */
void disk_mount(struct disk_journal *journal, const char *root);
void disk_unmount(void);

/* Between these the calls are no business of the disk: somebody only looks. */
void disk_look(bool looking);

/* Calls on the disk since it was mounted. */
size_t disk_calls(void);

/* Calls up to the newest sync of a file of this name; 0: there was none. */
size_t disk_synced(const char *name);

/* The call number `at` fails. */
void disk_fail(enum disk_fault fault, size_t at);
bool disk_has_failed(void);
/* There is space, there are descriptors again. */
void disk_heal(void);

/* Make `folder` what a cut before call number `at` leaves. */
void disk_cut(const struct disk_journal *journal, size_t at, enum cut how, uint64_t seed,
              const char *folder);

/* So far, in this process; kills are none. */
uint64_t disk_power_cuts(void);

const struct change *disk_change(const struct disk_journal *journal, size_t at);
bool disk_may_fail(const struct change *change, enum disk_fault fault);
void disk_print(const struct disk_journal *journal, size_t at);
void disk_journal_finish(struct disk_journal *journal);

/* The next number of a random sequence. */
uint64_t disk_draw(uint64_t *state);

/* ---- calls.c tells ---- */
struct disk_path {
	bool is_here; /* on the disk */
	uint32_t folder, node;
	bool exists;
	char name[256];
};

/* Where a path leads; `is_here` false when it is none of ours. */
struct disk_path disk_find(const char *path);

/* A call is about to be made: 0 to go on, else the errno to fail with. `ret_short`: only half. */
int disk_enter(const struct change *change, bool *ret_short);

/* It was made. Takes copies. */
void disk_note(const struct change *change);
