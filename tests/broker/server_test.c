/* The whole broker in one process, with a real worker's socket: results that come twice, or say
 * something else the second time. */
#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "broker/server.h"
#include "broker/store_sqlite.h"
#include "proto/wire.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

enum { PATIENCE_MS = 20000 };

static char folder[64];
static struct broker_settings settings = { .heartbeat_ms = 1000, .liveness = 30 };
static struct server server;
static int stop_pipe[2]; /* in place of signals */
static pthread_t loop;
static struct wire_socket *worker, *observer, *listener;

static void *run(void *unused)
{
	(void)unused;
	return server_run(&server) == OK ? &server : NULL;
}

static struct wire_socket *connect_to(int type, enum door door, const struct address *ipc)
{
	struct wire_socket *socket = wire_socket(type);
	scoped(free_text) char *endpoint = address_endpoint(ipc, door);
	cr_assert_eq(wire_connect(socket, endpoint), OK);
	return socket;
}

/* A subscription travels: until it has arrived, events are lost on the listener. The loop does not
 * run yet, so the socket is ours. */
static void wait_for_subscription(void)
{
	zmq_pollitem_t item = { .socket = wire_handle(listener), .events = ZMQ_POLLIN };
	int heard = 0;
	for (int tries = 0; !heard && tries < PATIENCE_MS / 10; tries++) {
		zmq_send(wire_handle(server.events), "no event", 8, 0);
		heard = zmq_poll(&item, 1, 10);
	}
	cr_assert_eq(heard, 1, "the listener hears nothing");
}

static void start(void)
{
	int signals;
	scoped(address_finish) struct address ipc = { 0 };
	snprintf(folder, sizeof folder, "/tmp/fettle-server-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(wire_start(&signals), OK);
	close(signals);
	cr_assert_eq(pipe2(stop_pipe, O_NONBLOCK | O_CLOEXEC), 0);
	cr_assert_eq(address_parse(folder, &ipc), OK);
	settings.state = folder;
	server = (struct server){ .settings = &settings, .signals = stop_pipe[0] };
	server.core = core_new(&(struct core_settings){ 1000, 30, 9000, 1000, 0 });
	cr_assert_eq(store_open(folder, "this run", &server.store), OK, "%s", error_text());
	cr_assert_eq(server_open(&server, &ipc, NULL), OK, "%s", error_text());
	store_start(server.store);
	worker = connect_to(ZMQ_DEALER, DOOR_WORKERS, &ipc);
	observer = connect_to(ZMQ_PUSH, DOOR_UPDATES, &ipc);
	listener = connect_to(ZMQ_SUB, DOOR_EVENTS, &ipc);
	wait_for_subscription();
	cr_assert_eq(pthread_create(&loop, NULL, run, NULL), 0);
}

static void stop_loop(void)
{
	struct signalfd_siginfo stop = { .ssi_signo = SIGTERM };
	void *good = NULL;
	cr_assert_eq(write(stop_pipe[1], &stop, sizeof stop), (ssize_t)sizeof stop);
	cr_assert_eq(pthread_join(loop, &good), 0);
	cr_assert_not_null(good);
}

static void stop_broker(void)
{
	stop_loop();
	store_destroy(&server.store);
}

static void finish(void)
{
	wire_close(&worker);
	wire_close(&observer);
	wire_close(&listener);
	server_close(&server);
	core_destroy(&server.core);
	close(stop_pipe[0]);
	close(stop_pipe[1]);
	cr_assert_eq(file_remove_tree(folder), OK);
}

TestSuite(server, .init = start, .fini = finish);

/* The next message of a type; others pass by. */
static void await(struct wire_socket *socket, enum message_type wanted, const char *kind,
                  struct message *ret_message)
{
	for (;;) {
		enum err refusal;
		struct message message = { 0 };
		zmq_pollitem_t item = { .socket = wire_handle(socket), .events = ZMQ_POLLIN };
		cr_assert_eq(zmq_poll(&item, 1, PATIENCE_MS), 1, "no %s",
		             message_type_text(wanted));
		if (wire_receive(socket, NULL, &message, &refusal) == WIRE_MESSAGE &&
		    message.type == wanted && (!kind || strcmp(message.event.kind, kind) == 0)) {
			*ret_message = message;
			return;
		}
		message_finish(&message);
	}
}

static void say(struct wire_socket *socket, const struct message *message)
{
	zmq_pollitem_t item = { .socket = wire_handle(socket), .events = ZMQ_POLLOUT };
	cr_assert_eq(zmq_poll(&item, 1, PATIENCE_MS), 1);
	cr_assert_eq(wire_send(socket, NULL, message), OK, "%s", error_text());
}

static void push_commit(void)
{
	static const char *const steps[] = { "make" };
	static const char commit_id[] = "1234567890123456789012345678901234567890";
	struct rec_spec spec = { .name = "unit", .steps = steps, .steps_count = 1 };
	struct rec_commit commit = { .commit = commit_id, .jobs = &spec, .jobs_count = 1 };
	struct message update = { .type = MESSAGE_update,
		                  .update = { .repository = "app",
		                              .url = "/app",
		                              .ref = "refs/heads/main",
		                              .from = ZERO_COMMIT,
		                              .to = commit_id,
		                              .tip = commit_id,
		                              .commits = &commit,
		                              .commits_count = 1 } };
	say(observer, &update);
}

static void take_job(void)
{
	struct message answer;
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = "w1",
		                            .session = "0123456789abcdef",
		                            .instance = "0123456789abcdef",
		                            .version = "1",
		                            .slots = 1 } };
	struct message ready = { .type = MESSAGE_ready, .ready = { .slots = 1 } };
	say(worker, &hello);
	await(worker, MESSAGE_welcome, NULL, &answer);
	message_finish(&answer);
	await(listener, MESSAGE_event, "joined", &answer);
	message_finish(&answer);
	say(worker, &ready);
	push_commit();
	await(worker, MESSAGE_offer, NULL, &answer);
	cr_assert_eq(answer.offer.job, 1);
	message_finish(&answer);
}

static void say_result(uint64_t job, enum outcome outcome, enum message_type wanted)
{
	struct message answer;
	struct message result = { .type = MESSAGE_result,
		                  .result = { .job = job, .attempt = 1, .outcome = outcome } };
	say(worker, &result);
	await(worker, wanted, NULL, &answer);
	message_finish(&answer);
}

static int64_t count(const char *query)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *statement = NULL;
	scoped(free_text) char *path = text_format("%s/fettle.db", folder);
	cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
	cr_assert_eq(sqlite3_prepare_v2(db, query, -1, &statement, NULL), SQLITE_OK);
	cr_assert_eq(sqlite3_step(statement), SQLITE_ROW);
	int64_t found = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return found;
}

Test(server, a_repeated_result_gets_the_same_answer_and_a_contradicting_one_is_kept)
{
	struct message event;
	take_job();
	say_result(1, OUTCOME_passed, MESSAGE_result_ok);
	for (int i = 0; i < 20; i++)
		say_result(1, OUTCOME_passed, MESSAGE_result_ok);
	say_result(1, OUTCOME_failed, MESSAGE_stale);
	await(listener, MESSAGE_event, "refused", &event);
	cr_assert_str_eq(event.event.reason, "contradicting result: recorded is passed, attempt 1 "
	                                     "of w1");
	cr_assert_str_eq(event.event.worker, "w1");
	cr_assert_str_eq(event.event.name, "unit");
	message_finish(&event);
	say_result(7, OUTCOME_passed, MESSAGE_stale);
	await(listener, MESSAGE_event, "refused", &event);
	cr_assert_str_eq(event.event.reason, "unknown result: recorded is no such job");
	message_finish(&event);
	say_result(1, OUTCOME_passed, MESSAGE_result_ok);
	stop_broker();
	cr_assert_eq(count("SELECT count(*) FROM jobs WHERE id = 1 AND outcome = 'passed'"), 1);
	cr_assert_eq(count("SELECT count(*) FROM jobs"), 1);
	cr_assert_eq(count("SELECT count(*) FROM audit"), 2);
	cr_assert_eq(count("SELECT count(*) FROM audit WHERE what = 'contradicting' AND who = 'w1' "
	                   "AND said = 'failed'"),
	             1);
}

/* A batch of a full disk is known to the loop while the store tries it again; to free it twice, at
 * the end, would be the end of the process. */
Test(server, what_is_tried_again_at_the_end_is_the_stores)
{
	stop_loop();
	struct store_task *task = store_task_new(QUESTION_BATCH);
	task->batch = batch_new();
	server.stuck = task;
	server.retry_ms = INT64_MAX;
	store_ask(server.store, &task);
	cr_assert_null(task);
	store_destroy(&server.store);
	server_close(&server); /* here, so that it is this test that fails */
	server = (struct server){ .core = server.core };
}
