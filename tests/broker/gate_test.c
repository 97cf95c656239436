/* The gate of a whole broker in one process: what becomes of it when the thread that checks keys
 * ends, and that doors are tried out before anybody can reach them. */
#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "broker/server.h"
#include "proto/handshake.h"
#include "proto/wire.h"

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

/* How a key fares at a guarded door. */
static enum handshake_state knock(const char *endpoint, const struct key *key)
{
	struct handshake watch = { 0 };
	zsock_t *socket = wire_socket(ZMQ_DEALER);
	void *handle = wire_handle(socket);
	zmq_setsockopt(handle, ZMQ_CURVE_SERVERKEY, server_key.public_text, KEY_SIZE + 1);
	zmq_setsockopt(handle, ZMQ_CURVE_PUBLICKEY, key->public_text, KEY_SIZE + 1);
	zmq_setsockopt(handle, ZMQ_CURVE_SECRETKEY, key->secret, KEY_SIZE + 1);
	handshake_watch(&watch, socket);
	zmq_pollitem_t item = { .socket = watch.monitor, .events = ZMQ_POLLIN };
	cr_assert_eq(zmq_connect(handle, endpoint), 0);
	cr_assert_eq(zmq_poll(&item, 1, PATIENCE_MS), 1, "no handshake");
	enum handshake_state state = handshake_read(&watch);
	handshake_finish(&watch);
	zsock_destroy(&socket);
	return state;
}

Test(gate, a_key_is_let_in_by_the_table_of_the_moment)
{
	zsock_t *door = wire_socket(ZMQ_ROUTER), *other = wire_socket(ZMQ_ROUTER);
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
	zsock_destroy(&door);
	zsock_destroy(&other);
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
	zsock_t *door = wire_socket(ZMQ_ROUTER);
	end_handler();
	cr_expect_eq(gate_guard(gate, door, DOOR_WORKERS), ERR_SYSTEM);
	cr_expect_not_null(strstr(error_text(), "at the door `workers`"), "%s", error_text());
	zsock_destroy(&door);
}

static void *run(void *server)
{
	return server_run(server) == ERR_SYSTEM &&
	                       strstr(error_text(), "the handler that checks keys has ended")
	               ? server
	               : NULL;
}

Test(gate, the_end_of_the_handler_is_the_end_of_the_broker, .timeout = 60)
{
	int pipe_of_signals[2];
	pthread_t loop;
	void *good = NULL;
	scoped(address_finish) struct address ipc = { 0 };
	struct broker_settings settings = { .heartbeat_ms = 1000, .liveness = 3, .state = folder };
	struct server server = { .settings = &settings, .gate = gate };
	cr_assert_eq(pipe2(pipe_of_signals, O_NONBLOCK | O_CLOEXEC), 0);
	server.signals = pipe_of_signals[0];
	cr_assert_eq(address_parse(folder, &ipc), OK);
	server.core = core_new(&(struct core_settings){ 1000, 3, 9000, 1000, 0 });
	cr_assert_eq(store_open(folder, "this run", &server.store), OK, "%s", error_text());
	cr_assert_eq(server_open(&server, &ipc, NULL), OK, "%s", error_text());
	store_start(server.store);
	cr_assert_eq(pthread_create(&loop, NULL, run, &server), 0);
	end_handler();
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	cr_assert_eq(pthread_timedjoin_np(loop, &good, &until), 0, "the broker goes on");
	cr_expect_not_null(good);
	store_destroy(&server.store);
	server_close(&server);
	core_destroy(&server.core);
	close(pipe_of_signals[0]);
	close(pipe_of_signals[1]);
}
