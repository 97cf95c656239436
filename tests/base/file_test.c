/* Files and folders: durable writes, removal of hostile trees, locks. */
#include "base/file.h"
#include "base/scoped.h"
#include "tests/base/folder.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char *folder;

static void start(void)
{
	folder = folder_enter();
}

TestSuite(file, .init = start, .fini = folder_leave);

static void holds(const char *path, const char *wanted)
{
	scoped(text_finish) struct text content = { 0 };
	cr_assert_eq(file_read(path, 1000, &content), OK, "%s", error_text());
	cr_assert_str_eq(content.data, wanted);
}

Test(file, a_durable_write_replaces_the_whole_file)
{
	cr_assert_eq(file_write_durable("f", "long content", 12), OK, "%s", error_text());
	cr_assert_eq(file_write_durable("f", "new", 3), OK);
	holds("f", "new");
	cr_assert_neq(access("f.new", F_OK), 0);
	scoped(free_text) char *path = text_format("%s/g", folder);
	cr_assert_eq(file_write_durable(path, "", 0), OK);
}

Test(file, a_write_that_fails_leaves_nothing_beside)
{
	cr_assert_eq(mkdir("taken", 0755), 0);
	cr_assert_eq(mkdir("taken/full", 0755), 0);
	cr_assert_eq(file_write_durable("taken", "x", 1), ERR_SYSTEM);
	cr_assert_neq(access("taken.new", F_OK), 0);
	cr_assert_eq(file_write_durable("missing/f", "x", 1), ERR_SYSTEM);
}

Test(file, reading_is_bounded_and_of_regular_files_only)
{
	scoped(text_finish) struct text content = { 0 };
	cr_assert_eq(file_write_durable("f", "12345", 5), OK);
	cr_assert_eq(file_read("f", 5, &content), OK);
	cr_assert_eq(file_read("f", 4, &content), ERR_SYSTEM);
	cr_assert_eq(file_read("missing", 5, &content), ERR_SYSTEM);
	cr_assert_eq(file_read(".", 5, &content), ERR_SYSTEM);
	cr_assert_eq(mkfifo("pipe", 0600), 0);
	cr_assert_eq(file_read("pipe", 5, &content), ERR_SYSTEM, "must not wait for a writer");
	cr_assert_eq(file_read("/dev/zero", 5, &content), ERR_SYSTEM);
}

static unsigned mode_of(const char *path)
{
	struct stat status;
	cr_assert_eq(stat(path, &status), 0);
	return status.st_mode & 0777;
}

Test(file, folders_are_made_with_their_parents)
{
	cr_assert_eq(file_make_folder("a/b//c", 0700), OK, "%s", error_text());
	cr_assert_eq(file_make_folder("a/b/c", 0700), OK, "again is fine");
	cr_assert_eq(mode_of("a/b/c"), 0700);
	cr_assert_eq(file_make_folder("/", 0700), OK);
	cr_assert_eq(file_write_durable("file", "", 0), OK);
	cr_assert_eq(file_make_folder("file", 0700), ERR_SYSTEM);
	cr_assert_eq(file_make_folder("file/x", 0700), ERR_SYSTEM);
	cr_assert_eq(file_make_folder("", 0700), ERR_SYSTEM);
}

Test(file, a_slash_at_the_end_does_not_open_a_private_folder)
{
	cr_assert_eq(file_make_folder("x/private//", 0700), OK, "%s", error_text());
	cr_assert_eq(mode_of("x/private"), 0700);
}

static void make_hostile_tree(void)
{
	cr_assert_eq(file_make_folder("outside", 0755), OK);
	cr_assert_eq(file_write_durable("outside/kept", "kept", 4), OK);
	cr_assert_eq(chmod("outside", 0500), 0);
	cr_assert_eq(file_make_folder("tree/closed/inner", 0755), OK);
	cr_assert_eq(file_write_durable("tree/closed/inner/f", "", 0), OK);
	cr_assert_eq(symlink("../outside", "tree/link"), 0);
	cr_assert_eq(symlink("missing", "tree/dangling"), 0);
	cr_assert_eq(mkfifo("tree/pipe", 0), 0);
	cr_assert_eq(chmod("tree/closed/inner", 0), 0);
	cr_assert_eq(chmod("tree/closed", 0), 0);
	cr_assert_eq(chmod("tree", 0500), 0);
}

/* In a child without root's rights, when we have them: root ignores modes. */
static enum err remove_as_nobody(const char *path)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
			_exit(99);
		enum err err = file_remove_tree(path);
		if (err)
			fprintf(stderr, "%s\n", error_text());
		_exit((int)err);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return (enum err)WEXITSTATUS(status);
}

static void give_to_nobody(void)
{
	if (getuid() == 0)
		cr_assert_eq(system("chown -Rh 65534:65534 ."), 0);
}

Test(file, a_hostile_tree_is_removed_and_nothing_else)
{
	make_hostile_tree();
	give_to_nobody();
	cr_assert_eq(remove_as_nobody("tree"), OK);
	cr_assert_neq(access("tree", F_OK), 0);
	holds("outside/kept", "kept");
	cr_assert_eq(mode_of("outside"), 0500);
}

Test(file, removing_a_link_a_file_or_nothing)
{
	cr_assert_eq(mkdir("target", 0755), 0);
	cr_assert_eq(symlink("target", "link"), 0);
	cr_assert_eq(file_remove_tree("link"), OK);
	cr_assert_eq(access("target", F_OK), 0);
	cr_assert_eq(file_write_durable("f", "", 0), OK);
	cr_assert_eq(file_remove_tree("f"), OK);
	cr_assert_eq(file_remove_tree("f"), OK, "gone already is fine");
}

Test(file, what_cannot_be_removed_is_said)
{
	cr_assert_eq(file_make_folder("closed/inner", 0755), OK);
	give_to_nobody();
	cr_assert_eq(chmod("closed", 0500), 0);
	cr_assert_eq(remove_as_nobody("closed/inner"), ERR_SYSTEM);
	cr_assert_eq(access("closed/inner", F_OK), 0);
	cr_assert_eq(chmod("closed", 0755), 0);
}

Test(file, a_deep_tree_is_removed)
{
	scoped(text_finish) struct text path = { 0 };
	for (int i = 0; i < 400; i++)
		text_add(&path, "d/");
	cr_assert_eq(file_make_folder(path.data, 0755), OK, "%s", error_text());
	struct rlimit few = { 100, 100 }; /* fewer than levels */
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	cr_assert_eq(file_make_folder("d/deep-0/full", 0755), OK);
	cr_assert_eq(file_remove_tree("d"), OK, "%s", error_text());
	cr_assert_neq(access("d", F_OK), 0);
}

Test(file, a_lock_keeps_others_out_until_it_is_closed)
{
	int first = -1, second = -1;
	cr_assert_eq(file_lock("lock", &first), OK);
	cr_assert_eq(file_lock("lock", &second), ERR_IN_USE);
	cr_assert_eq(second, -1);
	cr_assert(strstr(error_text(), "lock"));
	close(first);
	cr_assert_eq(file_lock("lock", &second), OK);
	close(second);
	cr_assert_eq(file_lock("missing/lock", &second), ERR_SYSTEM);
}

Test(file, a_lock_ends_with_its_process)
{
	int ready[2], status, fd = -1;
	char byte;
	cr_assert_eq(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int mine;
		if (file_lock("lock", &mine) != OK || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	cr_assert_eq(file_lock("lock", &fd), ERR_IN_USE);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	cr_assert_eq(file_lock("lock", &fd), OK);
	close(fd);
	close(ready[0]);
	close(ready[1]);
}

Test(file, a_full_disk_is_told_apart)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(file_write_all(fd, "x", 1), ERR_FULL);
	close(fd);
	cr_assert_eq(file_write_all(-1, "x", 1), ERR_SYSTEM);
}
