/* The observer as a process, against a broker made of two sockets. */
#include "base/clock.h"
#include "base/process.h"
#include "base/scoped.h"
#include "proto/address.h"
#include "proto/wire.h"
#include "tests/observer/git.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static struct arena arena;
static struct wire_socket *admin, *updates;
static pid_t observer;
static const char *state_word = "ok";
static const char *folder;
static struct rec_mark mark; /* of refs/heads/main */
static size_t status_asked;
static struct rec_watch_result watched = { .version = 1 };
static uint64_t version = 1;
static char reported[1024]; /* the error of the first failing repository */

static void bind_broker(void)
{
	const struct address address = { .folder = (char *)folder };
	scoped(free_text) char *admin_door = address_endpoint(&address, DOOR_ADMIN);
	scoped(free_text) char *updates_door = address_endpoint(&address, DOOR_UPDATES);
	admin = wire_socket(ZMQ_ROUTER);
	updates = wire_socket(ZMQ_PULL);
	cr_assert_eq(wire_bind(admin, admin_door), OK);
	cr_assert_eq(wire_bind(updates, updates_door), OK);
}

static void start(void)
{
	git_sandbox_start();
	folder = git_path("broker");
	git_sh(".", "mkdir broker");
	bind_broker();
}

static void finish(void)
{
	if (observer) {
		kill(observer, SIGKILL);
		process_wait(observer);
	}
	wire_close(&admin);
	wire_close(&updates);
	git_sandbox_finish();
	arena_finish(&arena);
	wire_finish();
}

TestSuite(feed, .init = start, .fini = finish, .timeout = 60);

static pid_t run(const char *const *arguments)
{
	const char *argv[16] = { getenv("FETTLE_OBSERVER"), "--state", git_path("state") };
	size_t count = 3;
	for (; *arguments; arguments++)
		argv[count++] = *arguments;
	const struct process process = { .argv = argv, .in = -1, .out = -1, .err = 2, .keep = -1 };
	pid_t pid;
	cr_assert_eq(process_start(&process, &pid), OK);
	return pid;
}

static void start_observer(void)
{
	const char *const arguments[] = { "--broker", folder,           "--interval",
		                          "0.2s",     git_path("repo"), NULL };
	observer = run(arguments);
}

static void answer(const struct peer *peer, uint64_t id, enum record_type type, const void *record)
{
	scoped(text_finish) struct text body = { 0 };
	record_pack(type, record, &body);
	wire_send(admin, peer,
	          &(struct message){ .type = MESSAGE_reply,
	                             .reply = { .id = id, .result = { body.data, body.size } } });
}

static void note_report(const struct bytes *params)
{
	struct rec_report_params report = { 0 };
	cr_assert_eq(
		record_unpack(RECORD_report_params, params->data, params->size, &arena, &report),
		OK);
	for (size_t i = 0; i < report.repositories_count; i++)
		if (strcmp(report.repositories[i].state, "failing") == 0)
			snprintf(reported, sizeof reported, "%s: %s",
			         report.repositories[i].repository, report.repositories[i].error);
}

/* What the observer declares it is told to watch. */
static void keep_declared(const struct bytes *params)
{
	struct rec_declare_params declare = { 0 };
	cr_assert_eq(
		record_unpack(RECORD_declare_params, params->data, params->size, &arena, &declare),
		OK);
	watched = (struct rec_watch_result){ .version = ++version,
		                             .whole = true,
		                             .entries = declare.repositories,
		                             .entries_count = declare.repositories_count };
}

static void serve_admin(void)
{
	scoped(message_finish) struct message request = { 0 };
	struct peer peer;
	enum err refusal;
	if (wire_receive(admin, &peer, &request, &refusal) != WIRE_MESSAGE)
		return;
	uint64_t id = request.request.id;
	if (strcmp(request.request.method, "status") == 0) {
		struct rec_status_result status = { .version = "0",
			                            .state = state_word,
			                            .store = "x" };
		status_asked++;
		answer(&peer, id, RECORD_status_result, &status);
	} else if (strcmp(request.request.method, "marks") == 0) {
		struct rec_marks_result page = { .marks = &mark, .marks_count = mark.ref != NULL };
		answer(&peer, id, RECORD_marks_result, &page);
	} else if (strcmp(request.request.method, "declare") == 0) {
		keep_declared(&request.request.params);
		answer(&peer, id, RECORD_change_result, &(struct rec_change_result){ 0 });
	} else if (strcmp(request.request.method, "watch") == 0) {
		answer(&peer, id, RECORD_watch_result, &watched);
	} else {
		note_report(&request.request.params);
		answer(&peer, id, RECORD_no_params, &(struct rec_no_params){ 0 });
	}
}

/* Answer questions until an update comes or `until_ms` has passed; true with an update. */
static bool serve(int64_t until_ms, struct message *ret_update)
{
	while (clock_mono_ms() < until_ms) {
		zmq_pollitem_t items[2] = { { .socket = wire_handle(admin), .events = ZMQ_POLLIN },
			                    { .socket = wire_handle(updates),
			                      .events = ZMQ_POLLIN } };
		enum err refusal;
		zmq_poll(items, 2, 20);
		serve_admin();
		if (wire_receive(updates, NULL, ret_update, &refusal) == WIRE_MESSAGE)
			return true;
	}
	return false;
}

static size_t take_update(int64_t within_ms)
{
	scoped(message_finish) struct message message = { 0 };
	cr_assert(serve(clock_mono_ms() + within_ms, &message), "no update came");
	cr_assert_str_eq(message.update.from, mark.commit ? mark.commit : ZERO_COMMIT);
	mark.ref = "refs/heads/main";
	mark.commit = arena_copy_text(&arena, message.update.to);
	return message.update.commits_count;
}

static void stop_observer(int signal)
{
	kill(observer, signal);
	int status = process_wait(observer);
	observer = 0;
	if (signal == SIGTERM)
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}

Test(feed, commits_are_fed_as_they_come)
{
	git_make("repo");
	git_commits("repo", 1);
	start_observer();
	cr_assert_eq(take_update(10000), 1);
	git_commits("repo", 5);
	size_t fed = 0;
	while (fed < 5)
		fed += take_update(10000);
	cr_assert_eq(fed, 5);
	stop_observer(SIGTERM);
}

Test(feed, an_observer_that_was_killed_leaves_no_hole)
{
	git_make("repo");
	git_commits("repo", 1);
	start_observer();
	take_update(10000);
	git_commits("repo", 1);
	struct message update = { 0 };
	cr_assert(serve(clock_mono_ms() + 10000, &update)); /* lost: the mark stays */
	message_finish(&update);
	stop_observer(SIGKILL);
	const char *tip = git_commits("repo", 1);
	start_observer();
	size_t fed = 0;
	while (fed < 2)
		fed += take_update(10000);
	cr_assert_eq(fed, 2);
	cr_assert_str_eq(mark.commit, tip);
	stop_observer(SIGTERM);
}

Test(feed, a_full_broker_is_not_fed)
{
	struct message update = { 0 };
	git_make("repo");
	git_commits("repo", 1);
	state_word = "store_full";
	start_observer();
	int64_t deadline = clock_mono_ms() + 20000;
	while (status_asked < 2 && clock_mono_ms() < deadline)
		cr_assert_not(serve(clock_mono_ms() + 20, &update));
	cr_assert_eq(status_asked, 2);
	state_word = "ok";
	take_update(10000);
	stop_observer(SIGTERM);
}

Test(feed, a_broker_that_comes_back_is_fed)
{
	git_make("repo");
	git_commits("repo", 1);
	start_observer();
	take_update(10000);
	wire_close(&admin);
	wire_close(&updates);
	git_sh(".", "rm -f broker/*");
	git_commits("repo", 1);
	bind_broker();
	cr_assert_eq(take_update(20000), 1);
	stop_observer(SIGTERM);
}

/* A port that accepts and says nothing: libgit2 itself would wait for ever. */
static void listen_silently(int *ret_fd, char url[64])
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
	cr_assert_eq(listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&address, &size);
	snprintf(url, 64, "http://127.0.0.1:%d/silent", ntohs(address.sin_port));
	*ret_fd = fd;
}

Test(feed, a_server_that_hangs_stops_nobody_else)
{
	char url[64];
	struct message update = { 0 };
	scoped(close_fd) int server = -1;
	listen_silently(&server, url);
	git_make("repo");
	git_commits("repo", 1);
	const char *const arguments[] = { "--broker", folder,           "--interval",
		                          "0.2s",     "--poll-timeout", "2s",
		                          url,        git_path("repo"), NULL };
	observer = run(arguments);
	take_update(10000);
	int64_t deadline = clock_mono_ms() + 20000;
	while (!strstr(reported, "silent: no answer within 2000 ms") && clock_mono_ms() < deadline)
		if (serve(clock_mono_ms() + 20, &update))
			message_finish(&update);
	cr_assert_not_null(strstr(reported, "no answer within 2000 ms"), "%s", reported);
	git_commits("repo", 1);
	take_update(10000);
	stop_observer(SIGTERM);
}

static int exit_code(const char *const *arguments)
{
	int status = process_wait(run(arguments));
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(feed, arguments_that_can_never_be_right_end_it)
{
	cr_assert_eq(exit_code((const char *[]){ "--intervall", "5s", "/x", NULL }), 2);
	cr_assert_eq(exit_code((const char *[]){ "--policy", "some", "/x", NULL }), 2);
	cr_assert_eq(exit_code((const char *[]){ "ext::sh", NULL }), 2);
	cr_assert_eq(exit_code((const char *[]){ "--broker", "a:b:c", "/x", NULL }), 2);
	cr_assert_eq(exit_code((const char *[]){ "--help", NULL }), 0);
}

Test(feed, a_state_folder_belongs_to_one_observer)
{
	git_make("repo");
	git_commits("repo", 1);
	start_observer();
	take_update(10000);
	cr_assert_eq(exit_code((const char *[]){ "/x", NULL }), 2);
	stop_observer(SIGTERM);
}
