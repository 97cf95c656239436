/* Whose a slot's group is. Plain folders stand for groups: who has one is told by a lock. */
#include "worker/contain/cgroup.h"

#include "base/file.h"
#include "base/scoped.h"
#include "base/text.h"
#include "worker/contain/group.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char tree[64];
static char slot[96];

static void setup(void)
{
	snprintf(tree, sizeof tree, "/tmp/fettle-groups-XXXXXX");
	cr_assert_not_null(mkdtemp(tree));
	snprintf(slot, sizeof slot, "%s/slot-1", tree);
	cr_assert_eq(mkdir(slot, 0755), 0);
}

static void teardown(void)
{
	cr_expect_eq(file_remove_tree(tree), OK);
}

TestSuite(cgroup, .init = setup, .fini = teardown, .timeout = 20);

static enum err take(struct cgroup *cgroup)
{
	const char *const folders[CGROUP_USES] = { tree, NULL, NULL };
	return cgroup_open(folders, 1, cgroup);
}

/* A process that holds the slot's group until somebody has tried twice to have it. */
static pid_t start_holder(void)
{
	int ready[2];
	char events[4096];
	cr_assert_eq(pipe(ready), 0);
	pid_t pid = fork();
	if (pid) {
		close(ready[1]);
		cr_assert_eq(read(ready[0], events, 1), 1);
		close(ready[0]);
		return pid;
	}
	int lock = group_lock(slot), watch = inotify_init1(IN_CLOEXEC);
	if (lock < 0 || inotify_add_watch(watch, slot, IN_OPEN) < 0 || write(ready[1], "1", 1) != 1)
		_exit(1);
	for (int tries = 0; tries < 2; tries++)
		if (read(watch, events, sizeof(struct inotify_event)) <= 0)
			_exit(2);
	_exit(0);
}

Test(cgroup, the_group_of_one_that_is_about_to_be_gone_is_waited_for)
{
	struct cgroup cgroup;
	int status;
	pid_t holder = start_holder();
	cr_expect_eq(take(&cgroup), OK, "%s", error_text());
	cgroup_close(&cgroup);
	cr_assert_eq(waitpid(holder, &status, 0), holder);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "holder: %d", status);
}

Test(cgroup, the_group_of_one_that_lives_is_not_taken)
{
	struct cgroup cgroup;
	scoped(close_fd) int lock = group_lock(slot);
	cr_assert_geq(lock, 0);
	cr_expect_eq(take(&cgroup), ERR_IN_USE);
	cr_expect(strstr(error_text(), "is in use"), "%s", error_text());
}

/* As workers do that start at the same time: whoever has the lock removes the folder and makes it
 * anew. Exit code 1: it had that of a folder which was not there any more. */
static void take_turns(void)
{
	enum { TURNS = 3000 };
	struct stat held, there;
	for (int turn = 0; turn < TURNS;) {
		int lock = group_lock(slot);
		if (lock < 0)
			continue;
		if (fstat(lock, &held) || stat(slot, &there) || held.st_ino != there.st_ino)
			_exit(1);
		if (rmdir(slot) || mkdir(slot, 0755))
			_exit(2);
		close(lock);
		turn++;
	}
	_exit(0);
}

Test(cgroup, who_has_the_lock_has_the_folder_that_is_there)
{
	enum { WORKERS = 4 };
	pid_t pids[WORKERS];
	int status;
	for (int i = 0; i < WORKERS; i++)
		if ((pids[i] = fork()) == 0)
			take_turns();
	for (int i = 0; i < WORKERS; i++) {
		cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", status);
	}
}
