/* Real checkouts: each job gets the files of its commit, whatever the one before it did. */
#include "worker/checkout.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/scoped.h"
#include "tests/worker/bench.h"
#include "worker/checkout/mounts.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static struct bench bench;
static struct rec_spec spec;

static void setup(void)
{
	bench_begin(&bench);
	bench_use_nothing(&bench); /* jobs clone the repository, to compare */
	bench.overlay = true;
}

static void teardown(void)
{
	bench_end(&bench);
}

TestSuite(checkout, .init = setup, .fini = teardown, .timeout = 100);

/* A test that is skipped gets no teardown. */
static void skip(const char *why)
{
	bench_end(&bench);
	cr_skip("%s", why);
}

/* Overlays may not be allowed; what is about them is skipped then, with a line that says so. */
static void need_overlay(void)
{
	scoped(free_text) char *folder = text_format("%s/probe", bench.state);
	if (mounts_probe(folder) != OK)
		skip("no overlays here");
}

/* A job of one step on the newest commit; its outcome, with the log kept. */
static enum outcome run_step(const char *step, char **ret_log)
{
	const char *steps[] = { step };
	struct msg_offer offer = bench_offer(&bench, steps, 1, &spec);
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	*ret_log = bench_log(&bench);
	return result.result.outcome;
}

static void expect_passes(const char *step, const char *why)
{
	scoped(free_text) char *log = NULL;
	enum outcome outcome = run_step(step, &log);
	cr_expect_eq(outcome, OUTCOME_passed, "%s: %s\n%.3000s", why, outcome_text(outcome), log);
}

static void expect_error(const char *reason)
{
	const char *steps[] = { "true" };
	struct msg_offer offer = bench_offer(&bench, steps, 1, &spec);
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	scoped(free_text) char *log = bench_log(&bench);
	const char *got = result.result.reason ? result.result.reason : "";
	cr_expect_eq(result.result.outcome, OUTCOME_error, "%s", log);
	cr_expect(strstr(got, reason), "no '%s' in: %s\n%s", reason, got, log);
}

/* Compares all names, kinds, rights, links and bytes with what git's own clone has. */
static void expect_as_cloned(const char *why)
{
	scoped(free_text) char *step = text_format(
		"export LC_ALL=C; git clone -q %s ../tmp/fresh 2>/dev/null\n"
		"git -C ../tmp/fresh checkout -q --detach $FETTLE_COMMIT\n"
		"list() { (cd \"$1\"; find . -path ./.git -prune -o -printf '%%y %%m %%l %%P\\0' |"
		" sort -z | tr '\\0' '\\n'); }\n"
		"list . > ../tmp/ours; list ../tmp/fresh > ../tmp/theirs; diff ../tmp/ours "
		"../tmp/theirs\n"
		"diff -r --no-dereference -x .git . ../tmp/fresh\n"
		"test -z \"$(git status --porcelain --ignored)\"\n"
		"test \"$(git rev-parse HEAD)\" = $FETTLE_COMMIT; git log --oneline >/dev/null\n"
		"rm .git/index; git reset -q; git diff --exit-code HEAD",
		bench.repository);
	expect_passes(step, why);
}

/* ---- what a job does ----------------------------------------------------------------------- */

static const char *const deeds[] = {
	"git gc --quiet --prune=now",
	"echo evil > greeting; git -c user.name=a -c user.email=b commit -qam x; git branch x",
	"git checkout -q --orphan none; git rm -rqf .; git repack -adq; git prune --expire=now",
	"rm -rf .git * .[a-z]*",
	"chmod -R 000 . .git",
	"test $(id -u) != 0 || chown -R 1:1 .",
	"for f in HEAD config index objects/info/alternates; do echo evil > .git/$f; done",
	("for f in HEAD config index objects/info/alternates; do rm -rf .git/$f; mkdir .git/$f; "
	 "done"),
	("mkdir -p .git/hooks; for h in post-checkout pre-commit reference-transaction; do"
	 " printf '#!/bin/sh\\ntouch ../../../evil\\n' > .git/hooks/$h; done; chmod +x "
	 ".git/hooks/*"),
	("git config core.fsmonitor 'touch ../../../evil'; git config core.worktree /; "
	 "git config core.hooksPath ../../../hooks; git config filter.x.smudge false"),
	("echo '* text eol=crlf' > .gitattributes; mkdir -p .git/info;"
	 " echo '* filter=x' > .git/info/attributes; echo greeting > .git/info/exclude"),
	"mkfifo pipe; ln -s / root; ln greeting other; mkdir -p d/d/d; rm folder/inner",
	"mv folder elsewhere; mv greeting folder; ln -s elsewhere greeting",
	"touch -d 1999-01-01 greeting folder folder/inner; printf hellO > greeting",
};

static void prepare_files(void)
{
	bench_git(&bench, "mkdir folder && echo inner > folder/inner && ln -s greeting link &&"
	                  "echo run > tool && chmod +x tool && git add . && git commit -qm files");
}

static void expect_no_trace(const char *deed)
{
	scoped(free_text) char *log = NULL;
	scoped(free_text) char *evil = text_format("%s/evil", bench.state);
	run_step(deed, &log);
	expect_as_cloned(deed);
	cr_expect(access(evil, F_OK) != 0, "%s ran something", deed);
}

Test(checkout, nothing_that_a_job_does_reaches_the_next)
{
	prepare_files();
	for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
		expect_no_trace(deeds[i]);
}

Test(checkout, nothing_that_a_job_does_reaches_the_next_clone)
{
	bench.overlay = false;
	prepare_files();
	for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
		expect_no_trace(deeds[i]);
}

Test(checkout, a_job_can_reach_neither_mirror_nor_trees)
{
	need_overlay();
	prepare_files();
	expect_passes("test \"$(stat -f -c %T .)\" = overlayfs", "it sees an overlay");
	expect_passes("cd .git/objects; cd \"$(cat info/alternates)\"; find . -type f | grep pack\n"
	              "if touch evil pack/evil 2>/dev/null; then exit 1; fi\n"
	              "for f in pack/*; do if rm -f $f 2>/dev/null; then exit 1; fi; done\n"
	              "if chmod 000 . 2>/dev/null; then exit 1; fi",
	              "the mirror is read-only");
	expect_passes("test -z \"$(ls -A ../../../mirrors)\"; test -z \"$(ls -A ../../../trees)\"\n"
	              "if touch ../../../trees/evil 2>/dev/null; then exit 1; fi",
	              "mirrors and trees are hidden");
	expect_as_cloned("after that");
}

Test(checkout, git_in_a_job_works_as_in_a_clone)
{
	prepare_files();
	expect_passes(
		"git log --format=%s | head -1 | grep -x files; git show --stat >/dev/null\n"
		"git diff --exit-code; git status --porcelain | (! grep .)\n"
		"echo more >> greeting; git add .; git stash -q 2>/dev/null || true\n"
		"git -c user.name=a -c user.email=b commit -q --allow-empty -m mine\n"
		"git -c user.name=a -c user.email=b tag -am v1 v1; git describe | grep -x v1\n"
		"git fsck --no-dangling; git checkout -q HEAD~1; git diff --exit-code",
		"everyday commands");
}

/* ---- from commit to commit ----------------------------------------------------------------- */

static const char *const moves[] = {
	"rm -r folder && ln -s /nowhere folder",
	"rm folder && echo a file > folder",
	"rm folder && mkdir -p folder/folder && echo deep > folder/folder/file",
	"rm greeting && mkdir greeting && echo in > greeting/in",
	"rm -r greeting && ln -s tool greeting",
	"chmod -x tool && git update-index --chmod=-x tool",
	"chmod +x tool; mv tool TOOL && echo other > tool",
	"printf 'one\\r\\ntwo\\n' > mixed; printf 'a\\nb\\n' > text.txt",
	"echo '*.txt text eol=crlf' > .gitattributes",
	"echo '*.txt ident filter=missing export-subst' > .gitattributes",
	"mkdir -p sub/.x && echo '*.txt text eol=crlf' > sub/.gitattributes && echo 1 > sub/a.txt",
	"rm .gitattributes sub/.gitattributes",
	("printf 'x' > \"$(printf 'new\\nline')\"; printf 'y' > \"$(printf 'by\\377te "
	 "\\001\\033[1m')\""),
	"rm new* && echo q > \"- -' \\\"\\$(x) *?\"",
	("printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:0\\nsize 9\\n' > big &&"
	 " echo 'big filter=lfs diff=lfs merge=lfs -text' > .gitattributes"),
	"truncate -s 30M sparse; head -c 3000000 /dev/urandom > random",
	("rm sparse random; p=p; for i in 1 2 3 4; do p=$p/$(printf 'n%.0s' $(seq 200)); done;"
	 " mkdir -p $p && echo far > $p/away"),
	"git rm -rqf . && echo only > left",
	"git checkout -q HEAD~4 -- .",
};

static void make_move(const char *move)
{
	scoped(free_text) char *command =
		text_format("%s; git add -A && git commit -qm move", move);
	bench_git(&bench, command);
}

Test(checkout, the_tree_moves_through_every_kind_of_change)
{
	prepare_files();
	for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
		make_move(moves[i]);
		expect_as_cloned(moves[i]);
	}
	bench_git(&bench, "git reset -q --hard HEAD~9");
	expect_as_cloned("back");
}

Test(checkout, submodules_are_not_followed)
{
	prepare_files();
	bench_git(&bench, "printf '[submodule \"x\"]\\n path = x\\n url = ../../../evil\\n' >"
	                  " .gitmodules; git update-index --add --cacheinfo"
	                  " 160000,0123456789012345678901234567890123456789,x;"
	                  "git add .gitmodules; git commit -qm submodule");
	expect_passes("test -d x; test -z \"$(ls -A x)\"; test -z \"$(git status --porcelain)\"",
	              "an empty folder");
	bench_git(&bench, "git rm -qf --cached x; rm -rf x; echo file > x; git add x;"
	                  "git commit -qm file");
	expect_as_cloned("a file in its place");
}

/* The number of a file's inode in the tree; a file that is written again gets another. */
static uint64_t inode_of(const char *name)
{
	scoped(free_text) char *log = NULL;
	scoped(free_text) char *step = text_format("stat -c 'inode %%i' %s", name);
	cr_assert_eq(run_step(step, &log), OUTCOME_passed, "%s", log);
	const char *found = strstr(log, "\ninode ");
	cr_assert_not_null(found);
	return strtoull(found + 7, NULL, 10);
}

Test(checkout, what_did_not_change_is_not_written_again)
{
	need_overlay();
	prepare_files();
	uint64_t kept = inode_of("tool");
	cr_expect_eq(inode_of("tool"), kept, "the same commit");
	bench_git(&bench, "echo two > greeting && git commit -qam second");
	expect_as_cloned("the second commit");
	cr_expect_eq(inode_of("tool"), kept, "the next commit");
	bench_git(&bench, "ln ../trees/*/tree/tool ../held"); /* else the next may get its number */
	cr_expect_neq(inode_of("tool"), kept, "this could not have failed");
}

Test(checkout, a_path_that_no_disk_takes_is_an_error_and_the_tree_goes_on)
{
	prepare_files();
	expect_as_cloned("before");
	bench_git(
		&bench,
		"b=$(echo x | git hash-object -w --stdin);"
		"t=$(printf \"100644 blob $b\\tend\\n\" | git mktree);"
		"for i in $(seq 30); do"
		" t=$(printf \"040000 tree $t\\t$(printf 'n%.0s' $(seq 200))\\n\" | git mktree);"
		"done; c=$(git commit-tree -p HEAD -m far $t); git update-ref refs/heads/main $c");
	expect_error("checkout of");
	bench_git(&bench, "git reset -q --soft HEAD~1; git commit -q --allow-empty -m near");
	expect_as_cloned("after");
}

/* ---- damage -------------------------------------------------------------------------------- */

static const char *const damages[] = {
	("printf hellO > greeting.n; touch -r greeting greeting.n; cat greeting.n > greeting;"
	 " touch -r greeting.n greeting; rm greeting.n"),
	"echo more > extra",
	"mkdir empty",
	"rm greeting",
	"chmod 600 tool",
	"ln -sf /nowhere link",
	"rm ../state",
	": > ../state",
	"sed -i 's/ [0-9a-f]*$/ 0/' ../state", /* another start of the machine */
	"head -c 100 .git/index > i; cat i > .git/index; rm i",
	"rm -r .git",
	"touch .git/index.lock",
	"rm ../state; echo half > greeting; touch .git/index.lock .git/HEAD.lock; rm folder/inner",
	"cd ..; mv tree x; ln -s x tree",
	"cd ..; rm -r tree; echo > tree",
};

Test(checkout, a_damaged_tree_is_made_anew)
{
	need_overlay();
	prepare_files();
	expect_as_cloned("before");
	for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
		scoped(free_text) char *command = text_format("cd ../trees/*/tree; %s", damages[i]);
		bench_git(&bench, command);
		expect_as_cloned(damages[i]);
		bench_git(&bench, command);
		bench_git(&bench, "date +%N >> greeting; git commit -qam next");
		expect_as_cloned(damages[i]);
	}
}

Test(checkout, a_tree_in_use_is_left_alone)
{
	need_overlay();
	prepare_files();
	expect_passes("test \"$(stat -f -c %T .)\" = overlayfs", "before");
	scoped(free_text) char *trees = text_format("%s/trees", bench.state);
	scoped(free_text) char *mark =
		text_format("find %s -name '*.lock' | grep . > ../lock", trees);
	bench_git(&bench, mark);
	scoped(text_finish) struct text path = { 0 };
	scoped(free_text) char *list = text_format("%s/lock", bench.state);
	scoped(close_fd) int lock = -1;
	cr_assert_eq(file_read(list, 4096, &path), OK);
	path.data[path.size - 1] = 0;
	cr_assert_eq(file_lock(path.data, &lock), OK, "%s", error_text());
	expect_passes("test \"$(stat -f -c %T .)\" != overlayfs", "a clone meanwhile");
	expect_as_cloned("the clone");
	close_fd(&lock);
	expect_passes("test \"$(stat -f -c %T .)\" = overlayfs", "after");
}

static bool is_mounted_here(void)
{
	scoped(text_finish) struct text mounts = { 0 };
	cr_assert_eq(file_read("/proc/self/mounts", 10000000, &mounts), OK);
	return strstr(mounts.data, bench.state);
}

Test(checkout, a_killed_supervisor_leaves_nothing_mounted)
{
	need_overlay();
	const char *steps[] = { "echo \"sleeps $$\"; echo > new; exec sleep 1000" };
	struct msg_offer offer = bench_offer(&bench, steps, 1, &spec);
	bench_start(&bench, &offer, 500);
	bench_wait_for_log(&bench, "\nsleeps ");
	cr_expect(!is_mounted_here(), "others see the mounts of a job");
	kill(bench.pid, SIGKILL);
	bench_wait(&bench);
	bench_expect_gone(&bench, "sleeps");
	cr_expect(!is_mounted_here());
	cr_expect_eq(file_remove_tree(bench.folder), OK, "%s", error_text());
	expect_as_cloned("the next job");
}

/* ---- fetches ------------------------------------------------------------------------------- */

/* The next jobs are for another commit than the newest. */
static void choose(const char *revision)
{
	scoped(text_finish) struct text commit = { 0 };
	scoped(free_text) char *path = text_format("%s/chosen", bench.state);
	scoped(free_text) char *command = text_format("git rev-parse %s > ../chosen", revision);
	bench_git(&bench, command);
	cr_assert_eq(file_read(path, 100, &commit), OK);
	memcpy(bench.commit, commit.data, COMMIT_SIZE);
}

Test(checkout, a_burst_of_commits_is_fetched_once)
{
	expect_passes("grep -x hello greeting", "before");
	bench_git(&bench, "for i in 1 2 3; do echo $i > greeting; git commit -qam $i; done");
	choose("HEAD~2");
	expect_passes("grep -x 1 greeting", "the first of three");
	bench_git(&bench, "find ../mirrors -name '*.pack' | sort > ../packs");
	choose("HEAD~1");
	expect_passes("grep -x 2 greeting", "the second");
	choose("HEAD");
	expect_passes("grep -x 3 greeting", "the third");
	bench_git(&bench, "find ../mirrors -name '*.pack' | sort | diff - ../packs");
}

Test(checkout, a_commit_is_had_without_its_ref)
{
	const char *steps[] = { "test \"$(git rev-parse HEAD)\" = $FETTLE_COMMIT" };
	const char *const commands[] = {
		"git branch topic", "git commit -q --allow-empty -m next; git branch -D -q topic"
	};
	scoped(free_text) char *url = text_format("file://%s", bench.repository);
	for (size_t i = 0; i < 4; i++) {
		bench_git(&bench, commands[i % 2]);
		struct msg_offer offer = bench_offer(&bench, steps, 1, &spec);
		offer.ref = "refs/heads/topic";
		offer.url = i < 2 ? offer.url : url;
		scoped(message_finish) struct message result = bench_run(&bench, &offer);
		scoped(free_text) char *log = bench_log(&bench);
		cr_expect_eq(result.result.outcome, OUTCOME_passed, "%s", log);
		cr_expect_eq(i == 3, strstr(log, "fetching this commit alone") != NULL, "%s", log);
	}
}

/* From now on `calls` in the state folder has a line for each git that a worker starts. */
static void list_calls_of_git(void)
{
	const char *path = getenv("PATH");
	scoped(free_text) char *longer = text_format("%s/bin:%s", bench.state, path);
	scoped(free_text) char *command = text_format("mkdir ../bin; printf '#!/bin/sh\\necho $* "
	                                              ">> %s/calls\\nPATH=%s exec git \"$@\"\\n'"
	                                              " > ../bin/git; chmod +x ../bin/git",
	                                              bench.state, path);
	bench_git(&bench, command);
	setenv("PATH", longer, 1);
}

/* Two processes, where nothing is special about the repository. */
Test(checkout, a_path_is_fetched_from_without_git_fetch)
{
	static const struct {
		const char *before;
		bool by_fetch;
	} cases[] = {
		{ "true", true }, /* the first commit of a ref */
		{ "true", false },
		{ "git pack-refs --all", false }, /* then its newest commit is in no file */
		{ "git checkout -qb other; git symbolic-ref refs/heads/main refs/heads/other",
		  false },
		{ "git gc -q", false },
		{ "git checkout -q --orphan new; git commit -qm new; git branch -qD other;"
		  "git symbolic-ref refs/heads/main refs/heads/new;"
		  "git reflog expire --expire=now --all; git gc -q --prune=now",
		  true }, /* what the mirror has is not there any more */
		{ "git rev-parse HEAD > .git/shallow", true },
	};
	list_calls_of_git();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		scoped(free_text) char *command =
			text_format("echo %zu > greeting; git commit -qam next; %s; rm -f ../calls",
		                    i, cases[i].before);
		scoped(free_text) char *step = text_format("grep -x %zu greeting", i);
		bench_git(&bench, command);
		expect_passes(step, cases[i].before);
		bench_git(&bench,
		          cases[i].by_fetch
		                  ? "grep -q ^fetch ../calls"
		                  : "grep -q pack-objects ../calls; ! grep ^fetch ../calls");
	}
	expect_as_cloned("after all that");
}

static void check_out_topic(const char *before, bool by_fetch)
{
	const char *steps[] = {
		"test \"$(git rev-parse HEAD)\" = $FETTLE_COMMIT; git log; git fsck"
	};
	scoped(free_text) char *command =
		text_format("%s; git commit -q --allow-empty -m topic; rm -f ../calls", before);
	bench_git(&bench, command);
	choose("HEAD");
	struct msg_offer offer = bench_offer(&bench, steps, 1, &spec);
	offer.ref = "refs/heads/topic";
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_eq(result.result.outcome, OUTCOME_passed, "%s: %s", before, log);
	cr_expect_null(strstr(log, "error"), "%s: %s", before, log);
	bench_git(&bench, by_fetch ? "grep -q ^fetch ../calls" : "! grep ^fetch ../calls");
}

Test(checkout, a_new_branch_of_a_path_is_fetched_so_too)
{
	list_calls_of_git();
	check_out_topic("git checkout -q -b topic", true); /* nothing is there */
	bench_git(&bench, "find ../mirrors -path '*/refs/*' -type f -delete");
	check_out_topic("true", true); /* nobody knows what is there */
	bench_git(&bench,
	          "for ref in ../mirrors/*/refs/fettle/*; do mv $ref $ref-$(date +%N); done");
	check_out_topic("true", false);
	bench_git(&bench,
	          "for ref in ../mirrors/*/refs/fettle/*; do mv $ref $ref-$(date +%N); done");
	check_out_topic("git checkout -q --orphan lone; git commit -qm lone; git branch -M topic",
	                false);
	bench_git(&bench, "for ref in ../mirrors/*/refs/fettle/*; do echo $(git hash-object -t "
	                  "tree /dev/null)"
	                  " > $ref; mv $ref $ref-$(date +%N); done");
	check_out_topic("git gc -q --prune=now", true); /* what it has is not there */
}

/* A repository may say where its missing objects are; git would ask a program of its choice. */
Test(checkout, what_a_repository_lacks_is_not_fetched_for_it)
{
	expect_passes("true", "whole");
	bench_git(&bench, "echo lost > lost; git add .; git commit -qm lost;"
	                  "blob=$(git rev-parse HEAD:lost | sed 's,^..,&/,');"
	                  "git config core.repositoryFormatVersion 1;"
	                  "git config extensions.partialClone away;"
	                  "git config remote.away.promisor true; git config remote.away.url ..;"
	                  "git config remote.away.uploadpack \"touch '$PWD/../evil'; false\";"
	                  "rm -f .git/objects/$blob");
	expect_error("");
	bench_git(&bench, "! test -e ../evil");
}

Test(checkout, newer_commits_that_are_too_large_hold_up_nobody)
{
	bench.orders.fetch_max = 1000000;
	expect_passes("true", "before");
	bench_git(&bench, "git commit -q --allow-empty -m small;"
	                  "head -c 1100000 /dev/urandom > noise; git add .; git commit -qm noise");
	choose("HEAD~1");
	expect_as_cloned("before the large one");
	choose("HEAD");
	expect_error("repository too large: a fetch brings over 1000000 bytes");
}

/* An HTTP server that sends whoever comes elsewhere, and tells `requests` what was asked for; ends
 * with its parent. */
static pid_t redirect_all(int listener, int requests)
{
	static const char answer[] =
		"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n"
		"Location: /inside/info/refs?service=git-upload-pack\r\n\r\n";
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int peer; (peer = accept(listener, NULL, NULL)) >= 0; close(peer)) {
		char request[4096];
		ssize_t size = read(peer, request, sizeof request);
		if (size <= 0 || file_write_all(requests, request, (size_t)size) ||
		    file_write_all(peer, answer, strlen(answer)))
			_exit(1);
	}
	_exit(0);
}

static int listen_here(uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
	cr_assert_eq(listen(listener, 8), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return listener;
}

Test(checkout, a_redirect_is_not_followed)
{
	const char *steps[] = { "true" };
	uint16_t port;
	char requests[65536] = "";
	scoped(close_fd) int listener = listen_here(&port);
	scoped(close_fd) int seen = memfd_create("requests", MFD_CLOEXEC);
	pid_t server = redirect_all(listener, seen);
	scoped(free_text) char *url = text_format("http://127.0.0.1:%d/repo", port);
	struct msg_offer offer = bench_offer(&bench, steps, 1, &spec);
	offer.url = url;
	scoped(message_finish) struct message result = bench_run(&bench, &offer);
	kill(server, SIGKILL);
	process_wait(server);
	cr_assert_gt(pread(seen, requests, sizeof requests - 1, 0), 0);
	cr_expect(strstr(requests, "GET /repo/info/refs"), "%s", requests);
	cr_expect_null(strstr(requests, "/inside/"), "%s", requests);
	cr_expect_eq(result.result.outcome, OUTCOME_error);
	cr_expect(strstr(result.result.reason, "cannot fetch"), "%s", result.result.reason);
}

/* ---- caps ---------------------------------------------------------------------------------- */

Test(checkout, too_many_files_are_an_error)
{
	prepare_files();
	bench.orders.files_max = 4;
	expect_as_cloned("as many as allowed");
	bench_git(&bench, "echo 5 > fifth; git add .; git commit -qm fifth");
	expect_error("repository too large: over 4 files");
	bench_git(&bench, "git rm -q greeting; git commit -qm fewer");
	expect_as_cloned("fewer again");
}

Test(checkout, a_tree_of_trees_of_trees_is_an_error)
{
	bench.orders.files_max = 1000;
	bench_git(&bench,
	          "b=$(echo x | git hash-object -w --stdin); m=100644; k=blob;"
	          "for i in $(seq 12); do"
	          " b=$(for n in 0 1 2 3 4 5 6 7 8 9; do printf \"$m $k $b\\t$n\\n\"; done |"
	          " git mktree); m=040000; k=tree; done;"
	          "c=$(git commit-tree -p HEAD -m bomb $b); git update-ref refs/heads/main $c");
	expect_error("repository too large: over 1000 files");
}

Test(checkout, too_many_bytes_are_an_error_before_they_are_written)
{
	bench.orders.bytes_max = 1000000;
	bench_git(&bench, "truncate -s 999994 zeros; git add .; git commit -qm zeros");
	expect_as_cloned("as many as allowed");
	bench_git(&bench, "truncate -s 999995 zeros; git commit -qam more");
	expect_error("repository too large: 1000001 bytes of files, at most 1000000");
	bench_git(&bench, "git rm -q zeros; git commit -qm fewer");
	expect_as_cloned("fewer again");
}

Test(checkout, a_fetch_that_brings_too_much_is_ended)
{
	bench.orders.fetch_max = 1000000;
	expect_as_cloned("a small fetch");
	bench_git(&bench, "head -c 1100000 /dev/urandom > noise; git add .; git commit -qm noise");
	expect_error("repository too large: a fetch brings over 1000000 bytes");
	bench_git(&bench, "test -z \"$(find ../mirrors -name 'tmp_*')\"");
	bench_git(&bench, "git reset -q --hard HEAD~1; git commit -q --allow-empty -m small");
	expect_as_cloned("a small fetch again");
}

Test(checkout, packs_of_many_fetches_are_joined)
{
	for (int i = 0; i < 45; i++) {
		bench_git(&bench, "date +%N >> greeting; git commit -qam more");
		expect_passes("true", "a fetch");
	}
	bench_git(&bench, "test $(find ../mirrors -name '*.pack' | wc -l) -lt 30");
	expect_as_cloned("after that");
}

Test(checkout, trees_not_used_for_long_make_room)
{
	need_overlay();
	bench.orders.trees_max = 5 * 1024 * 1024;
	bench_git(&bench, "head -c 2000000 /dev/urandom > noise; git add .; git commit -qm noise");
	for (uint32_t slot = 0; slot < 4; slot++) {
		bench.orders.slot = slot;
		expect_as_cloned("a slot");
	}
	bench_git(&bench,
	          "test \"$(cd ../trees; echo *.[0-9])\" = \"$(cd ../trees; echo *.2 *.3)\"");
}

/* ---- users --------------------------------------------------------------------------------- */

/* What a supervisor does, in a child of ours that may be another user. */
static int check_out(uint32_t process_uid, uint32_t uid, bool overlay, const char *step)
{
	scoped(free_text) char *mirrors = text_format("%s/mirrors", bench.state);
	scoped(free_text) char *trees = text_format("%s/trees", bench.state);
	scoped(free_text) char *log = text_format("%s/log", bench.folder);
	scoped(free_text) char *work = text_format("%s/work", bench.folder);
	scoped(free_text) char *mirror_at = text_format("%s/mirror", bench.folder);
	struct msg_offer offer = bench_offer(&bench, NULL, 0, &spec);
	struct rec_orders orders = { .mirrors = mirrors, .trees = overlay ? trees : NULL };
	struct checkout checkout = {
		.offer = &offer, .orders = &orders, .folder = bench.folder, .uid = uid
	};
	static char path[] = "PATH=/usr/bin:/bin", config[] = "GIT_CONFIG_GLOBAL=/dev/null";
	char *const env[] = { path, config, NULL };
	struct run_command command = {
		.argv = (const char *const[]){ "sh", "-ec", step, NULL },
		.env = env,
		.folder = work,
		.uid = uid,
		.state = bench.state,
		.seen = (const char *const[]){ work, mirror_at, NULL },
	};
	struct run run;
	int status = -1;
	if (process_uid &&
	    (setgroups(0, NULL) != 0 || setresgid(process_uid, process_uid, process_uid) != 0 ||
	     setresuid(process_uid, process_uid, process_uid) != 0))
		return 1;
	prctl(PR_SET_DUMPABLE, 1); /* as after exec */
	if (run_init(&run, -1, log) != OK)
		return 2;
	run.deadline_ms = clock_mono_ms() + 60000;
	run.orphan_ms = 60000;
	enum err err = checkout_commit(&checkout, &run);
	if (err)
		fprintf(stderr, "%s\n", error_text());
	else if (!run_command(&run, &command, &status))
		status = -1;
	run_clear(&run);
	checkout_leave(&checkout);
	run_finish(&run);
	return err ? 3 : status ? 4 : 0;
}

static void expect_check_out(uint32_t process_uid, uint32_t uid, bool overlay, const char *step)
{
	cr_assert_eq(file_remove_tree(bench.folder), OK);
	cr_assert_eq(file_make_folder(bench.folder, 0755), OK);
	cr_assert_eq(chmod(bench.state, 0755), 0);
	if (process_uid)
		bench_git(&bench, "chown -R 65534:65534 ..");
	pid_t pid = fork();
	if (pid == 0)
		_exit(check_out(process_uid, uid, overlay, step));
	int status = process_wait(pid);
	scoped(free_text) char *log = bench_log(&bench);
	cr_expect_eq(status, 0, "status %x, log:\n%s", (unsigned)status, log);
}

static const char owned[] =
	"test $(id -u) = 61234; test \"$(find . ! -user 61234 -o ! -group 61234)\" = ''\n"
	"git status --porcelain | (! grep .); git log -1 --format=%s | grep -x files\n"
	"echo mine > greeting; rm -r folder; chmod 700 .; git -c user.name=a -c user.email=b "
	"commit -qam mine";

Test(checkout, the_files_belong_to_the_user_of_the_job)
{
	if (getuid() != 0)
		skip("needs root");
	prepare_files();
	for (int overlay = 0; overlay < 2; overlay++) {
		expect_check_out(0, 61234, overlay, owned);
		bench_git(&bench, "echo next >> greeting; git commit -qam files");
		expect_check_out(0, 61234, overlay, owned);
		expect_check_out(0, 61234, overlay, owned);
		bench_git(&bench, "git -C ../trees/*/tree status >/dev/null 2>&1 || true");
	}
	expect_as_cloned("for another user"); /* whose files the tree had are not believed */
}

Test(checkout, an_ordinary_user_can_have_all_of_it)
{
	if (getuid() != 0)
		skip("needs root to become an ordinary user");
	need_overlay();
	prepare_files();
	static const char step[] =
		"test $(id -u) = 65534; test \"$(stat -f -c %T .)\" = overlayfs\n"
		"test -z \"$(ls -A ../../../trees)\"; git status --porcelain | (! grep .)\n"
		"if touch ../mirror/evil 2>/dev/null; then exit 1; fi\n"
		"if umount . 2>/dev/null; then exit 1; fi\n"
		"rm -rf folder greeting; mkdir folder; mv tool folder; chmod 000 folder";
	expect_check_out(65534, 0, true, step);
	bench_git(&bench, "echo next >> greeting; git -c safe.directory='*' commit -qam files");
	expect_check_out(65534, 0, true, step);
	expect_check_out(65534, 0, false, "test $(id -u) = 65534; git status --porcelain");
}
