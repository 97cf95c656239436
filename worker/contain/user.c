/* Users of slots: see user.h. Who uses which range is a locked file in a folder of root's. */
#include "worker/contain/user.h"

#include "base/file.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "base/text.h"
#include "proto/message.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Far from the ids of people, services, containers and their subordinates; a container that knows
 * no such ids gets some from the upper end of people's. */
enum {
	FIRST = 1900000000,
	RANGES = 64, /* workers of one machine */
	FIRST_SMALL = 50000,
	RANGES_SMALL = 8,
	CAPABILITIES = 64,
};

#define FOLDER "/run/fettle"

bool user_can_drop(void)
{
	return geteuid() == 0 && prctl(PR_CAPBSET_READ, CAP_SETUID, 0, 0, 0) == 1 &&
	       prctl(PR_CAPBSET_READ, CAP_SETGID, 0, 0, 0) == 1 &&
	       prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0) == 1;
}

/* Does our user namespace know the id? */
static bool is_known(uint64_t uid)
{
	FILE *map = fopen("/proc/self/uid_map", "re");
	uint64_t first, outside, count;
	bool known = !map;
	while (map && !known &&
	       fscanf(map, "%" SCNu64 " %" SCNu64 " %" SCNu64, &first, &outside, &count) == 3)
		known = uid >= first && uid < first + count;
	if (map)
		fclose(map);
	return known;
}

uid_t user_first(void)
{
	return is_known(FIRST + RANGES * SLOTS_MAX) ? FIRST : FIRST_SMALL;
}

/* A range is free when nobody locks its file. `mine` asks for the one that names us. */
static bool take(const char *instance, uid_t first, bool mine, int *ret_lock)
{
	scoped(free_text) char *path = text_format(FOLDER "/users-%u", (unsigned)first);
	scoped(text_finish) struct text owner = { 0 };
	scoped(close_fd) int fd =
		open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (mine ? 0 : O_CREAT), 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
		return false;
	if (mine && (file_read(path, 256, &owner) != OK || !owner.data ||
	             strcmp(owner.data, instance) != 0))
		return false;
	if (!mine && (ftruncate(fd, 0) != 0 || file_write_all(fd, instance, strlen(instance))))
		return false;
	*ret_lock = fd;
	fd = -1;
	return true;
}

enum err user_take_range(const char *instance, uid_t *ret_first, int *ret_lock)
{
	uid_t first = user_first();
	enum err err = file_make_folder(FOLDER, 0755);
	if (err)
		return err;
	int ranges = first == FIRST ? RANGES : RANGES_SMALL;
	for (int i = 0; i < 2 * ranges; i++) {
		uid_t tried = first + (uid_t)(i % ranges * SLOTS_MAX);
		if (!take(instance, tried, i < ranges, ret_lock))
			continue;
		*ret_first = tried;
		return OK;
	}
	return fail(ERR_IN_USE, "every range of job users is taken; choose one with --job-uid");
}

/* What a job before kept in the kernel for its user: keys outlive processes. A sandbox has keyrings
 * of its own. */
static void forget_keys(void)
{
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	syscall(SYS_keyctl, KEYCTL_CLEAR, KEY_SPEC_USER_KEYRING);
}

enum err user_become(uid_t uid)
{
	for (int i = 0; i < CAPABILITIES; i++)
		prctl(PR_CAPBSET_DROP, i, 0, 0, 0); /* those that there are */
	if (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 ||
	    setresuid(uid, uid, uid) != 0)
		return fail(ERR_SYSTEM, "become user %u: %s", (unsigned)uid, strerror(errno));
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (!PLANTED(keys_stay))
		forget_keys();
	return OK; /* the capabilities went with the change of user */
}

enum err user_give(const char *path, uid_t uid)
{
	char *roots[] = { (char *)(uintptr_t)path, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	enum err err = OK;
	FTSENT *entry;
	if (!tree)
		return fail(ERR_SYSTEM, "read '%s': %s", path, strerror(errno));
	while (!err && (entry = fts_read(tree)))
		if (entry->fts_info != FTS_DP && lchown(entry->fts_path, uid, uid) != 0)
			err = fail(ERR_SYSTEM, "give '%s' to user %u: %s", entry->fts_path,
			           (unsigned)uid, strerror(errno));
	fts_close(tree);
	return err;
}
