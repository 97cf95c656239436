/* The command line of bubblewrap: see sandbox.h. It needs no privileges, and has none: whoever
 * calls this became the job's user before. */
#include "worker/contain/sandbox.h"

#include "base/file.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"
#include "worker/contain/namespaces.h"
#include "worker/contain/user.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PROGRAM "bwrap"

enum { PROBE_MS = 10000 };

static void add_words(struct text_list *words, const char *const *list)
{
	for (; *list; list++)
		text_list_add(words, *list);
}

#define add(words, ...) add_words(words, (const char *const[]){ __VA_ARGS__, NULL })

/* Folders of the system that are links on some machines and not on others. */
static void add_system(struct text_list *words)
{
	static const char *const parts[] = {
		"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"
	};
	static const char *const more[] = { "/etc",         "/opt",
		                            "/sys",         "/var/lib/dpkg",
		                            "/var/lib/apt", "/var/cache/fontconfig",
		                            "/nix/store",   "/gnu/store" };
	char target[4096];
	add(words, "--ro-bind", "/usr", "/usr");
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		ssize_t size = readlink(parts[i], target, sizeof target - 1);
		target[size < 0 ? 0 : size] = 0;
		if (size > 0)
			add(words, "--symlink", target, parts[i]);
		else
			add(words, "--ro-bind-try", parts[i], parts[i]);
	}
	for (size_t i = 0; i < sizeof more / sizeof *more; i++)
		add(words, "--ro-bind-try", more[i], more[i]);
	if (access("/etc/fettle", F_OK) == 0)
		add(words, "--tmpfs", "/etc/fettle");
	char *names = realpath("/etc/resolv.conf", NULL); /* often in /run */
	if (names && strncmp(names, "/etc/", 5) != 0)
		add(words, "--ro-bind", names, names);
	free(names);
	add(words, "--proc", "/proc", "--dev", "/dev");
}

/* A file with this content over one of the system's. */
static void add_file(struct text_list *words, const char *content, const char *path)
{
	char number[32];
	int fd = memfd_create("fettle", 0);
	if (fd < 0 || file_write_all(fd, content, strlen(content)) != OK)
		return;
	lseek(fd, 0, SEEK_SET);
	snprintf(number, sizeof number, "%d", fd);
	add(words, "--perms", "0644", "--ro-bind-data", number, path);
}

/* The users of the system are none of the job's business, and its own is not among them. */
static void add_user(struct text_list *words, const struct sandbox *sandbox)
{
	unsigned uid = (unsigned)sandbox->uid;
	scoped(free_text) char *users =
		text_format("root:x:0:0:root:/root:/usr/sbin/nologin\n"
	                    "job:x:%u:%u:job:%s:/bin/sh\n"
	                    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
	                    uid, uid, sandbox->home);
	scoped(free_text) char *groups =
		text_format("root:x:0:\njob:x:%u:\nnogroup:x:65534:\n", uid);
	add_file(words, users, "/etc/passwd");
	add_file(words, groups, "/etc/group");
}

static void add_folders(struct text_list *words, const struct sandbox *sandbox)
{
	const char *tmp = sandbox->tmp, *home = sandbox->home, *work = sandbox->work;
	add(words, "--bind", tmp, "/tmp", "--bind", tmp, "/var/tmp", "--dir", "/run");
	add(words, "--bind", tmp, tmp, "--bind", home, home);
	if (sandbox->early)
		add(words, "--dir", work, "--dir", sandbox->readable);
	else
		add(words, "--bind", work, work, "--ro-bind", sandbox->readable, sandbox->readable);
	add(words, "--chdir", work);
}

static void add_namespaces(struct text_list *words, bool offline)
{
	add(words, PROGRAM, "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
	    "--unshare-cgroup-try", "--disable-userns", "--die-with-parent", "--new-session",
	    "--as-pid-1");
	if (offline)
		add(words, "--unshare-net");
}

enum err sandbox_exec(const struct sandbox *sandbox, const char *const *argv, char *const *env)
{
	scoped(text_list_finish) struct text_list words = { 0 };
	add_namespaces(&words, sandbox->offline);
	add_system(&words);
	if (sandbox->own_user)
		add_user(&words, sandbox);
	if (sandbox->work)
		add_folders(&words, sandbox);
	add(&words, "--remount-ro", "/", "--");
	for (; *argv; argv++)
		text_list_add(&words, *argv);
	text_list_end(&words);
	execvpe(PROGRAM, words.items, env);
	return fail(ERR_SYSTEM, "start " PROGRAM ": %s", strerror(errno));
}

/* ---- probe --------------------------------------------------------------------------------- */

static _Noreturn void try_it(uid_t uid, int output)
{
	static char *env[] = { NULL };
	struct sandbox sandbox = { .offline = true };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, 0);
	dup2(output, 1);
	dup2(output, 2);
	alarm(PROBE_MS / 1000);
	if ((!uid || user_become(uid) == OK) &&
	    sandbox_exec(&sandbox, (const char *const[]){ "/bin/true", NULL }, env) != OK)
		dprintf(2, "%s", error_text());
	_exit(127);
}

enum err sandbox_probe(uid_t uid)
{
	char said[300];
	int pipes[2];
	size_t size = 0;
	ssize_t got;
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return fail(ERR_SYSTEM, "pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0)
		try_it(uid, pipes[1]);
	close(pipes[1]);
	while (size < sizeof said - 1 &&
	       (got = read(pipes[0], said + size, sizeof said - 1 - size)) > 0)
		size += (size_t)got;
	close(pipes[0]);
	said[size] = 0;
	said[strcspn(said, "\n")] = 0;
	int status = pid < 0 ? 127 << 8 : process_wait(pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return OK;
	if (strstr(said, strerror(ENOENT)) && strstr(said, "start " PROGRAM))
		return fail(ERR_SYSTEM, "the program '" PROGRAM "' is missing; install the "
		                        "package bubblewrap");
	scoped(free_text) char *advice = namespaces_advice("/proc/sys", said, geteuid() == 0);
	return fail(ERR_SYSTEM, "%s", advice);
}
