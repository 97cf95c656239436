/* The gate of a whole broker in one process: what becomes of it when the thread that checks keys
 * ends, and that doors are tried out before anybody can reach them. */
#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "broker/server.h"
#include "proto/handshake.h"
#include "proto/wire.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

enum { PATIENCE_MS = 20000 };

static char folder[64];
static struct key server_key, worker_key;
static struct gate *gate;

static void write_table(const char *content)
{
	scoped(free_text) char *path = text_format("%s/keys/allowed", folder);
	cr_assert_eq(file_write_durable(path, content, strlen(content)), OK);
}

static void start(void)
{
	int signals;
	snprintf(folder, sizeof folder, "/tmp/fettle-gate-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(wire_start(&signals), OK);
	close(signals);
	scoped(free_text) char *keys = text_format("%s/keys", folder);
	scoped(free_text) char *server = text_format("%s/keys/server", folder);
	cr_assert_eq(file_make_folder(keys, 0700), OK);
	cr_assert_eq(key_make(&server_key), OK);
	cr_assert_eq(key_make(&worker_key), OK);
	cr_assert_eq(key_write(server, &server_key), OK);
	scoped(free_text) char *line = text_format("worker w %s\n", worker_key.public_text);
	write_table(line);
	cr_assert_eq(gate_open(folder, &gate), OK, "%s", error_text());
	cr_assert_not_null(gate);
}

static void stop(void)
{
	gate_close(&gate);
	cr_assert_eq(file_remove_tree(folder), OK);
}

TestSuite(gate, .init = start, .fini = stop);

static void end_handler(void)
{
	cr_assert_eq(pthread_cancel(gate_thread(gate)), 0);
	zmq_pollitem_t item = { .fd = gate_end(gate), .events = ZMQ_POLLIN };
	cr_assert_eq(zmq_poll(&item, 1, PATIENCE_MS), 1, "its end is not heard");
}

static void use_key(struct wire_socket *socket, const struct key *key)
{
	void *handle = wire_handle(socket);
	zmq_setsockopt(handle, ZMQ_CURVE_SERVERKEY, server_key.public_text, KEY_SIZE + 1);
	zmq_setsockopt(handle, ZMQ_CURVE_PUBLICKEY, key->public_text, KEY_SIZE + 1);
	zmq_setsockopt(handle, ZMQ_CURVE_SECRETKEY, key->secret, KEY_SIZE + 1);
}

/* How a key fares at a guarded door. */
static enum handshake_state knock(const char *endpoint, const struct key *key)
{
	struct handshake watch = { 0 };
	struct wire_socket *socket = wire_socket(ZMQ_DEALER);
	void *handle = wire_handle(socket);
	use_key(socket, key);
	handshake_watch(&watch, socket);
	zmq_pollitem_t item = { .socket = watch.monitor, .events = ZMQ_POLLIN };
	cr_assert_eq(zmq_connect(handle, endpoint), 0);
	cr_assert_eq(zmq_poll(&item, 1, PATIENCE_MS), 1, "no handshake");
	enum handshake_state state = handshake_read(&watch);
	handshake_finish(&watch);
	wire_close(&socket);
	return state;
}

Test(gate, a_key_is_let_in_by_the_table_of_the_moment)
{
	struct wire_socket *door = wire_socket(ZMQ_ROUTER), *other = wire_socket(ZMQ_ROUTER);
	scoped(free_text) char *workers = text_format("ipc://%s/w.sock", folder);
	scoped(free_text) char *admin = text_format("ipc://%s/a.sock", folder);
	cr_assert_eq(gate_guard(gate, door, DOOR_WORKERS), OK, "%s", error_text());
	cr_assert_eq(gate_guard(gate, other, DOOR_ADMIN), OK, "%s", error_text());
	cr_assert_eq(zmq_bind(wire_handle(door), workers), 0);
	cr_assert_eq(zmq_bind(wire_handle(other), admin), 0);
	cr_expect_eq(gate_refused(gate), 0, "trials do not count");
	cr_expect_eq(knock(workers, &worker_key), HANDSHAKE_DONE);
	cr_expect_eq(knock(admin, &worker_key), HANDSHAKE_REFUSED);
	cr_expect_eq(gate_refused(gate), 1);
	cr_expect_not(gate_look(gate, false), "nothing changed");
	write_table("# nobody\n");
	cr_expect(gate_look(gate, false), "a key went");
	cr_expect_null(gate_find(gate, worker_key.public_text));
	cr_expect_eq(knock(workers, &worker_key), HANDSHAKE_REFUSED);
	wire_close(&door);
	wire_close(&other);
}

Test(gate, a_key_that_knocks_at_the_wrong_door_again_and_again_is_suspended)
{
	struct suspension found;
	struct effects out = { 0 };
	struct wire_socket *door = wire_socket(ZMQ_ROUTER);
	scoped(free_text) char *admin = text_format("ipc://%s/a.sock", folder);
	cr_assert_eq(gate_guard(gate, door, DOOR_ADMIN), OK, "%s", error_text());
	cr_assert_eq(zmq_bind(wire_handle(door), admin), 0);
	for (int i = 0; i < OFFENCES_MAX; i++) {
		cr_expect_not(suspension_find(gate_suspensions(gate), worker_key.public_text, 1000,
		                              &found));
		cr_expect_eq(knock(admin, &worker_key), HANDSHAKE_REFUSED);
		gate_blame_strays(gate, 1000, &out);
	}
	cr_assert(suspension_find(gate_suspensions(gate), worker_key.public_text, 1000, &found));
	cr_expect_str_eq(found.why, "a key of role worker has no business at the door `admin`");
	cr_expect_eq(out.count, 1, "it is told once");
	write_table("# nobody\n");
	gate_look(gate, true);
	cr_expect_eq(suspensions_count(gate_suspensions(gate)), 0, "a key that goes is forgotten");
	effects_finish(&out);
	wire_close(&door);
}

Test(gate, a_key_that_comes_again_and_again_has_to_wait)
{
	enum { AT_ONCE = 30, TRIES = 2 * AT_ONCE };
	struct wire_socket *door = wire_socket(ZMQ_ROUTER);
	scoped(free_text) char *workers = text_format("ipc://%s/w.sock", folder);
	int done = 0, later = 0;
	cr_assert_eq(gate_guard(gate, door, DOOR_WORKERS), OK, "%s", error_text());
	cr_assert_eq(zmq_bind(wire_handle(door), workers), 0);
	for (int i = 0; i < TRIES; i++) {
		enum handshake_state state = knock(workers, &worker_key);
		done += state == HANDSHAKE_DONE;
		later += state == HANDSHAKE_LATER;
	}
	cr_expect_eq(done + later, TRIES);
	cr_expect_geq(done, AT_ONCE);
	cr_expect_gt(later, 0);
	cr_expect_eq(gate_too_often(gate), (uint64_t)later);
	cr_expect_eq(gate_refused(gate), (uint64_t)later);
	wire_close(&door);
}

/* Something said through the door; whoever says it has been let in. */
static void say_through(struct wire_socket *client, struct wire_socket *door)
{
	char said[8];
	zmq_pollitem_t item = { .socket = wire_handle(door), .events = ZMQ_POLLIN };
	cr_assert_eq(zmq_send(wire_handle(client), "hello", 5, 0), 5);
	cr_assert_eq(zmq_poll(&item, 1, PATIENCE_MS), 1, "nothing came through");
	cr_assert_gt(zmq_recv(wire_handle(door), said, sizeof said, 0), 0); /* who */
	cr_assert_eq(zmq_recv(wire_handle(door), said, sizeof said, 0), 5);
}

Test(gate, after_many_handshakes_the_handler_begins_anew_and_nobody_notices)
{
	enum { KNOCKS = 260, WAITS_MAX = PATIENCE_MS };
	struct wire_socket *door = wire_socket(ZMQ_ROUTER), *client = wire_socket(ZMQ_DEALER);
	scoped(free_text) char *admin = text_format("ipc://%s/a.sock", folder);
	scoped(free_text) char *line = text_format("admin a %s\n", worker_key.public_text);
	write_table(line);
	gate_look(gate, true);
	cr_assert_eq(gate_guard(gate, door, DOOR_ADMIN), OK, "%s", error_text());
	cr_assert_eq(zmq_bind(wire_handle(door), admin), 0);
	use_key(client, &worker_key);
	cr_assert_eq(zmq_connect(wire_handle(client), admin), 0);
	say_through(client, door);
	cr_expect_eq(gate_renewals(gate), 0);
	for (int i = 0; i < KNOCKS; i++)
		cr_expect_eq(knock(admin, &worker_key), HANDSHAKE_DONE);
	for (int i = 0; i < WAITS_MAX && gate_renewals(gate) == 0; i++)
		zmq_poll(NULL, 0, 1);
	cr_expect_eq(gate_renewals(gate), 1);
	say_through(client, door);
	cr_expect_eq(knock(admin, &worker_key), HANDSHAKE_DONE);
	cr_expect_eq(gate_refused(gate), 0);
	wire_close(&client);
	wire_close(&door);
}

Test(gate, of_a_flood_some_is_heard_and_its_key_is_told_once_a_second)
{
	const struct allowed_key *key = gate_find(gate, worker_key.public_text);
	uint64_t heard = 0, told = 0;
	bool tell;
	for (int i = 0; i < 1000000; i++) {
		heard += gate_takes(gate, DOOR_WORKERS, key, 1000 + i / 500, &tell);
		told += tell;
	}
	cr_expect_eq(heard, 20000 + 19990, "two seconds of 10,000: %llu",
	             (unsigned long long)heard);
	cr_expect_eq(told, 2);
	cr_expect(gate_takes(gate, DOOR_ADMIN, key, 3000, &tell), "another door, another rate");
}

/* The next trial, to its end. */
static void try_next(void)
{
	static int64_t now_ms = 1000;
	zmq_pollitem_t item = { .fd = gate_end(gate), .events = ZMQ_POLLIN };
	now_ms += 60000;
	do
		gate_retry(gate, now_ms);
	while (gate_is_on_trial(gate) && zmq_poll(&item, 1, 1) == 0);
}

Test(gate, doors_are_tried_again_while_they_serve)
{
	struct wire_socket *door = wire_socket(ZMQ_ROUTER);
	scoped(free_text) char *workers = text_format("ipc://%s/w.sock", folder);
	cr_assert_eq(gate_guard(gate, door, DOOR_WORKERS), OK, "%s", error_text());
	cr_assert_eq(zmq_bind(wire_handle(door), workers), 0);
	gate_watch(gate, DOOR_WORKERS, workers);
	try_next();
	cr_expect_eq(gate_refused(gate), 0, "trials do not count");
	cr_expect_eq(knock(workers, &worker_key), HANDSHAKE_DONE, "the handler is there");
	wire_close(&door);
}

/* As libzmq does for keys where no handler is: in a context of its own there is none. */
Test(gate, a_door_that_lets_anybody_in_ends_the_handler)
{
	void *context = zmq_ctx_new(), *door = zmq_socket(context, ZMQ_ROUTER);
	scoped(free_text) char *workers = text_format("ipc://%s/w.sock", folder);
	scoped(free_text) char *admin = text_format("ipc://%s/a.sock", folder);
	scoped(free_text) char *path = text_format("%s/keys/server", folder);
	struct key server = { 0 };
	int on = 1;
	cr_assert_eq(key_read(path, &server), OK);
	cr_assert_eq(zmq_setsockopt(door, ZMQ_CURVE_SERVER, &on, sizeof on), 0);
	cr_assert_eq(zmq_setsockopt(door, ZMQ_CURVE_SECRETKEY, server.secret, KEY_SIZE + 1), 0);
	cr_assert_eq(zmq_bind(door, admin), 0);
	gate_watch(gate, DOOR_WORKERS, workers);
	gate_watch(gate, DOOR_ADMIN, admin);
	struct wire_socket *sound = wire_socket(ZMQ_ROUTER);
	cr_assert_eq(gate_guard(gate, sound, DOOR_WORKERS), OK, "%s", error_text());
	cr_assert_eq(zmq_bind(wire_handle(sound), workers), 0);
	zmq_pollitem_t item = { .fd = gate_end(gate), .events = ZMQ_POLLIN };
	try_next(); /* each has its turn */
	try_next();
	cr_expect_eq(zmq_poll(&item, 1, PATIENCE_MS), 1, "its end is heard");
	wire_close(&sound);
	zmq_close(door);
	zmq_ctx_term(context);
}

Test(gate, a_new_table_is_heard_of)
{
	zmq_pollitem_t item = { .fd = gate_changes(gate), .events = ZMQ_POLLIN };
	cr_assert_geq(item.fd, 0);
	cr_expect_not(gate_heard(gate), "nothing changed");
	write_table("# nobody\n");
	cr_assert_eq(zmq_poll(&item, 1, PATIENCE_MS), 1);
	cr_expect(gate_heard(gate));
	cr_expect(gate_look(gate, false));
	cr_expect_not(gate_heard(gate), "it was told once");
}

static void expect_rewritten(const char *line, const char *name)
{
	write_table(line);
	gate_look(gate, true);
	const struct text_list *names = gate_rewritten(gate);
	cr_assert_eq(names->count, name != NULL);
	if (name)
		cr_expect_str_eq(names->items[0], name);
}

/* They get no offers before they spoke. */
Test(gate, workers_whose_key_is_gone_or_for_other_repositories_are_named)
{
	scoped(free_text) char *same = text_format("worker w %s\n", worker_key.public_text);
	scoped(free_text) char *bound = text_format("worker w %s app\n", worker_key.public_text);
	expect_rewritten(same, NULL);
	expect_rewritten(bound, "w");
	expect_rewritten("# nobody\n", "w");
	expect_rewritten(bound, NULL);
}

Test(gate, a_bad_table_changes_nothing)
{
	write_table("worker nonsense\n");
	cr_expect_not(gate_look(gate, false));
	cr_expect_not_null(gate_find(gate, worker_key.public_text));
	scoped(free_text) char *path = text_format("%s/keys/allowed", folder);
	write_table("# nobody\n");
	cr_assert_eq(chmod(path, 0666), 0);
	cr_expect_not(gate_look(gate, true), "others may have written it");
	cr_expect_not_null(gate_find(gate, worker_key.public_text));
	cr_assert_eq(unlink(path), 0);
	cr_expect(gate_look(gate, false), "no table is an empty one");
	cr_expect_null(gate_find(gate, worker_key.public_text));
}

Test(gate, without_its_handler_a_door_does_not_open)
{
	struct wire_socket *door = wire_socket(ZMQ_ROUTER);
	end_handler();
	cr_expect_eq(gate_guard(gate, door, DOOR_WORKERS), ERR_SYSTEM);
	cr_expect_not_null(strstr(error_text(), "at the door `workers`"), "%s", error_text());
	wire_close(&door);
}

/* ---- with the whole broker ------------------------------------------------------------------ */

static struct broker_settings settings = { .heartbeat_ms = 100, .liveness = 30, .state = folder };
static struct server server;
static int pipe_of_signals[2]; /* in place of signals */
static pthread_t loop;

static void *run(void *unused)
{
	(void)unused;
	return server_run(&server) == ERR_SYSTEM &&
	                       strstr(error_text(), "the handler that checks keys has ended")
	               ? &server
	               : NULL;
}

static void start_broker(const struct address *tcp)
{
	scoped(address_finish) struct address ipc = { 0 };
	cr_assert_eq(pipe2(pipe_of_signals, O_NONBLOCK | O_CLOEXEC), 0);
	server = (struct server){ .settings = &settings, .gate = gate, .collect_ms = INT64_MAX };
	server.signals = pipe_of_signals[0];
	cr_assert_eq(address_parse(folder, &ipc), OK);
	server.core = core_new(&(struct core_settings){ 100, 30, 9000, 1000, 0 });
	cr_assert_eq(store_open(folder, "this run", &server.store), OK, "%s", error_text());
	cr_assert_eq(server_open(&server, &ipc, tcp), OK, "%s", error_text());
	store_start(server.store);
	cr_assert_eq(pthread_create(&loop, NULL, run, NULL), 0);
}

/* True: it ended because its handler did. */
static bool await_end(void)
{
	void *good = NULL;
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	cr_assert_eq(pthread_timedjoin_np(loop, &good, &until), 0, "the broker goes on");
	store_destroy(&server.store);
	server_close(&server);
	core_destroy(&server.core);
	close(pipe_of_signals[0]);
	close(pipe_of_signals[1]);
	return good != NULL;
}

Test(gate, the_end_of_the_handler_is_the_end_of_the_broker, .timeout = 60)
{
	start_broker(NULL);
	end_handler();
	cr_expect(await_end());
}

static bool is_free(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		                       .sin_port = htons((uint16_t)port),
		                       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool free = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
	close(fd);
	return free;
}

/* The first of four consecutive ports that nobody has: below those that the kernel gives to whoever
 * connects, and not where a test that began at the same time looks first. */
static uint16_t free_ports(void)
{
	enum { FIRST = 32000, PLACES = 1500, APART = 8 };
	for (int port = FIRST - (int)getpid() % PLACES * APART; port > 20000; port -= APART)
		if (is_free(port) && is_free(port + 1) && is_free(port + 2) && is_free(port + 3))
			return (uint16_t)port;
	cr_assert_fail("no four free ports");
	return 0;
}

static void await_handshake(struct handshake *watch, enum handshake_state wanted)
{
	zmq_pollitem_t item = { .socket = watch->monitor, .events = ZMQ_POLLIN };
	enum handshake_state state;
	do
		cr_assert_eq(zmq_poll(&item, 1, PATIENCE_MS), 1, "no handshake");
	while ((state = handshake_read(watch)) == HANDSHAKE_BROKEN);
	cr_expect_eq(state, wanted);
}

/* Subscribers say nothing that could be judged. */
Test(gate, a_subscriber_whose_key_is_taken_away_is_cut, .timeout = 60)
{
	char host[] = "127.0.0.1";
	struct address tcp = { .host = host, .port = free_ports() };
	struct handshake watch = { 0 };
	scoped(free_text) char *line = text_format("reader r %s\n", worker_key.public_text);
	scoped(free_text) char *events = address_endpoint(&tcp, DOOR_EVENTS);
	write_table(line);
	gate_look(gate, true);
	start_broker(&tcp);
	struct wire_socket *socket = wire_socket(ZMQ_SUB);
	use_key(socket, &worker_key);
	handshake_watch(&watch, socket);
	cr_assert_eq(zmq_connect(wire_handle(socket), events), 0);
	await_handshake(&watch, HANDSHAKE_DONE);
	write_table("# nobody\n");
	await_handshake(&watch, HANDSHAKE_REFUSED);
	handshake_finish(&watch);
	wire_close(&socket);
	end_handler();
	cr_expect(await_end());
}
