/* What a peer may not say: each refusal is told with a code and a reason, and changes nothing. A
 * well-behaved worker holds a job all the while, against a real broker. */
#include "tests/fleet/peer.h"

#include "base/clock.h"
#include "base/scoped.h"
#include "proto/wire.h"
#include "tests/fleet/broker_process.h"
#include "tests/proto/sample.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

enum { PATIENCE_MS = 20000, QUIET_MS = 150, REPEATS = 1000, WINDOW = 30 };

static struct broker_process broker;
static struct fleet *fleet;
static struct fleet_worker *honest;
static uint64_t held_job, verdicts;
static struct rec_status_result expected = { .queued = 2, .leased = 1, .accepted = 1 };

static void on_started(void *user, struct fleet_worker *worker, const struct msg_offer *offer)
{
	(void)user;
	(void)worker;
	held_job = offer->job;
}

static void on_received(void *user, struct fleet_worker *worker, const struct message *message)
{
	(void)user;
	(void)worker;
	cr_assert_neq(message->type, MESSAGE_error, "the honest worker was refused");
	cr_assert_neq(message->type, MESSAGE_cancel, "the honest worker's job was cancelled");
	verdicts += message->type == MESSAGE_result_ok;
}

static struct rec_status_result status(void)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_status_result result;
	cr_assert_eq(fleet_ask(fleet, "status", RECORD_no_params, NULL, RECORD_status_result,
	                       &arena, &result, clock_mono_ms() + PATIENCE_MS),
	             OK, "%s", error_text());
	result.version = result.state = result.store = result.events = NULL;
	result.depth = NULL;
	result.repositories = NULL;
	return result;
}

static bool holds(void *unused)
{
	(void)unused;
	return held_job != 0;
}

/* Three jobs: one is held, two need a label that nobody offers. */
static const char *label_of(void *user, size_t commit, size_t job)
{
	(void)user;
	(void)commit;
	return job == 0 ? NULL : "rare";
}

static void start(void)
{
	struct fleet_hooks hooks = { .started = on_started, .received = on_received };
	struct fleet_chain chain = { .repository = "r",
		                     .ref = "refs/heads/main",
		                     .number = 1,
		                     .commits = 1,
		                     .jobs = 3,
		                     .label = label_of };
	cr_assert_eq(broker_process_init(&broker, BROKER_PROGRAM), OK);
	cr_assert_eq(broker_process_start(&broker, NULL), OK);
	cr_assert_eq(fleet_new(&broker.address, 10, &hooks, &fleet), OK, "%s", error_text());
	honest = fleet_worker_add(fleet,
	                          &(struct fleet_worker_settings){ .name = "honest", .slots = 1 });
	cr_assert_eq(fleet_push(fleet, &chain, clock_mono_ms() + PATIENCE_MS), OK, "%s",
	             error_text());
	cr_assert(fleet_wait(fleet, holds, NULL, clock_mono_ms() + PATIENCE_MS));
}

static void expect_verdict(uint64_t job, enum outcome outcome)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_log_params params = { .job = job };
	struct rec_log_result log;
	cr_assert_eq(fleet_ask(fleet, "log", RECORD_log_params, &params, RECORD_log_result, &arena,
	                       &log, clock_mono_ms() + PATIENCE_MS),
	             OK, "%s", error_text());
	cr_assert_eq(log.outcome, outcome);
	cr_assert_eq(log.size, 0);
}

static bool has_verdict(void *unused)
{
	(void)unused;
	return verdicts == 1;
}

/* Whatever was said: the job is still held, nothing was taken in, and it ends as its worker says.
 */
static void stop(void)
{
	struct rec_status_result now = status();
	cr_assert_eq(now.leased, expected.leased);
	cr_assert_eq(now.queued, expected.queued);
	cr_assert_eq(now.accepted, expected.accepted);
	cr_assert_eq(now.finished, expected.finished);
	cr_assert_eq(now.lost_leases, 0);
	fleet_worker_end(honest, held_job, 1, OUTCOME_failed, 0);
	cr_assert(fleet_wait(fleet, has_verdict, NULL, clock_mono_ms() + PATIENCE_MS));
	expect_verdict(held_job, OUTCOME_failed);
	fleet_destroy(&fleet);
	cr_assert_eq(broker_process_stop(&broker, SIGTERM), 0, "the broker did not end well");
	broker_process_finish(&broker);
}

TestSuite(refusals, .init = start, .fini = stop, .timeout = 60);

/* ---- the one who misbehaves ---------------------------------------------------------------- */

static struct wire_socket *enter(enum door door, int type)
{
	scoped(free_text) char *endpoint = address_endpoint(&broker.address, door);
	struct wire_socket *socket = wire_socket(type);
	cr_assert_eq(wire_connect(socket, endpoint), OK);
	return socket;
}

static void say_packed(struct wire_socket *socket, const struct bytes *body)
{
	int64_t until_ms = clock_mono_ms() + PATIENCE_MS;
	while (wire_send_packed(socket, NULL, body) != OK) {
		cr_assert_lt(clock_mono_ms(), until_ms, "%s", error_text());
		fleet_turn(fleet, clock_mono_ms() + 5);
	}
}

static void say(struct wire_socket *socket, const struct message *message)
{
	scoped(text_finish) struct text body = { 0 };
	message_pack(message, &body);
	say_packed(socket, &(struct bytes){ body.data, body.size });
}

/* The next message that is no heartbeat; type NONE when nothing comes for `quiet_ms`. */
static struct message hear(struct wire_socket *socket, int64_t quiet_ms)
{
	int64_t until_ms = clock_mono_ms() + quiet_ms;
	for (;;) {
		struct message message;
		enum err refusal;
		enum wire_result got = wire_receive(socket, NULL, &message, &refusal);
		if (got == WIRE_MESSAGE && message.type != MESSAGE_heartbeat)
			return message;
		message_finish(&message);
		if (got == WIRE_MESSAGE)
			continue;
		cr_assert_eq(got, WIRE_NOTHING, "%s", error_text());
		if (clock_mono_ms() >= until_ms)
			return (struct message){ 0 };
		fleet_turn(fleet, clock_mono_ms() + 2);
	}
}

static void expect(struct wire_socket *socket, enum message_type type)
{
	scoped(message_finish) struct message message = hear(socket, PATIENCE_MS);
	cr_assert_eq(message.type, type, "%s, not %s", message_type_text(message.type),
	             message_type_text(type));
}

static void expect_silence(struct wire_socket *socket)
{
	scoped(message_finish) struct message message = hear(socket, QUIET_MS);
	cr_assert_eq(message.type, MESSAGE_NONE, "%s", message_type_text(message.type));
}

static void expect_error(struct wire_socket *socket, const char *code)
{
	scoped(message_finish) struct message message = hear(socket, PATIENCE_MS);
	cr_assert_eq(message.type, MESSAGE_error, "%s", message_type_text(message.type));
	cr_assert_str_eq(message.error.code, code);
	cr_assert(message.error.reason && *message.error.reason, "a refusal without a reason");
}

static void say_hello(struct wire_socket *socket, const char *name,
                      const struct rec_holding *holding)
{
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = name,
		                            .session = "0123456789abcdef",
		                            .instance = "0123456789abcdef",
		                            .version = "1",
		                            .slots = 1,
		                            .holding = holding,
		                            .holding_count = holding != NULL } };
	say(socket, &hello);
}

/* A worker that is welcome and takes no offers. */
static struct wire_socket *enter_as_worker(void)
{
	struct wire_socket *socket = enter(DOOR_WORKERS, ZMQ_DEALER);
	say_hello(socket, "other", NULL);
	expect(socket, MESSAGE_welcome);
	return socket;
}

static struct message result_of(uint64_t job, uint32_t attempt)
{
	return (struct message){
		.type = MESSAGE_result,
		.result = { .job = job, .attempt = attempt, .outcome = OUTCOME_passed }
	};
}

static struct message log_of(uint64_t job, uint32_t attempt)
{
	return (struct message){
		.type = MESSAGE_log,
		.log = { .job = job, .attempt = attempt, .bytes = { "forged\n", 7 } }
	};
}

/* ---- about jobs ---------------------------------------------------------------------------- */

static void say_about(struct wire_socket *socket, uint64_t job, uint32_t attempt,
                      enum message_type answer)
{
	struct message result = result_of(job, attempt), log = log_of(job, attempt);
	say(socket, &result);
	expect(socket, answer);
	say(socket, &log);
	expect(socket, answer);
}

Test(refusals, results_and_logs_of_anothers_lease_are_stale)
{
	struct wire_socket *socket = enter_as_worker();
	say_about(socket, held_job, 1, MESSAGE_stale);
	wire_close(&socket);
}

Test(refusals, results_and_logs_of_attempts_that_never_were_are_stale)
{
	struct wire_socket *socket = enter_as_worker();
	say_about(socket, held_job, 2, MESSAGE_stale);
	say_about(socket, 999999, 1, MESSAGE_stale);
	say_about(socket, ID_MAX, ATTEMPT_MAX, MESSAGE_stale);
	say_about(socket, held_job + 1, 1, MESSAGE_stale); /* queued, never offered */
	wire_close(&socket);
}

Test(refusals, who_said_no_hello_is_asked_who_it_is)
{
	struct wire_socket *socket = enter(DOOR_WORKERS, ZMQ_DEALER);
	say_about(socket, held_job, 1, MESSAGE_who_are_you);
	struct message ready = { .type = MESSAGE_ready, .ready = { .slots = 5 } };
	say(socket, &ready);
	expect(socket, MESSAGE_who_are_you);
	struct message goodbye = { .type = MESSAGE_goodbye };
	say(socket, &goodbye);
	expect_silence(socket);
	wire_close(&socket);
}

Test(refusals, a_hello_that_claims_anothers_lease_does_not_get_it)
{
	struct wire_socket *socket = enter(DOOR_WORKERS, ZMQ_DEALER);
	struct rec_holding claimed = { .job = held_job, .attempt = 1 };
	say_hello(socket, "other", &claimed);
	scoped(message_finish) struct message welcome = hear(socket, PATIENCE_MS);
	cr_assert_eq(welcome.type, MESSAGE_welcome);
	cr_assert_eq(welcome.welcome.keep_count, 0);
	cr_assert_eq(welcome.welcome.drop_count, 1);
	wire_close(&socket);
}

Test(refusals, a_heartbeat_that_names_anothers_lease_is_told_to_stop)
{
	struct wire_socket *socket = enter_as_worker();
	struct rec_lease named = { .job = held_job, .attempt = 1 };
	struct message heartbeat = { .type = MESSAGE_heartbeat,
		                     .heartbeat = { .holding = &named, .holding_count = 1 } };
	say(socket, &heartbeat);
	expect(socket, MESSAGE_cancel);
	wire_close(&socket);
}

Test(refusals, a_second_worker_of_the_name_is_refused)
{
	struct wire_socket *socket = enter(DOOR_WORKERS, ZMQ_DEALER);
	say_hello(socket, "honest", NULL);
	expect_error(socket, "name_taken");
	say_about(socket, held_job, 1, MESSAGE_who_are_you);
	wire_close(&socket);
}

/* ---- at the wrong door --------------------------------------------------------------------- */

static bool is_said_by_workers(const struct subject *subject)
{
	return strncmp(subject->schema->from_to, "W>", 2) == 0 ||
	       strcmp(subject->schema->from_to, "both") == 0;
}

/* Every declared message, bare and whole, that `said` here does not include. */
static size_t say_the_rest(struct wire_socket *socket,
                           bool (*is_fine)(const struct subject *subject), const char *code)
{
	size_t refused = 0;
	for (int i = 0; i < MESSAGE_TYPE_COUNT - 1; i++) {
		struct subject subject = subject_at(i);
		if (is_fine(&subject))
			continue;
		for (enum sample kind = SAMPLE_BARE; kind <= SAMPLE_SMALL; kind++) {
			scoped(text_finish) struct text body = { 0 };
			sample_pack(subject, kind, &body);
			say_packed(socket, &(struct bytes){ body.data, body.size });
			if (code)
				expect_error(socket, code);
			refused++;
		}
	}
	return refused;
}

static bool is_request(const struct subject *subject)
{
	return subject->type == MESSAGE_request;
}

static bool is_update(const struct subject *subject)
{
	return subject->type == MESSAGE_update;
}

Test(refusals, a_worker_that_says_what_others_say_is_refused)
{
	uint64_t before = status().refused;
	struct wire_socket *socket = enter_as_worker();
	size_t refused = say_the_rest(socket, is_said_by_workers, "refused");
	cr_assert_geq(refused, 20);
	cr_assert_eq(status().refused - before, refused);
	wire_close(&socket);
}

Test(refusals, the_admin_door_takes_requests_only)
{
	uint64_t before = status().refused;
	struct wire_socket *socket = enter(DOOR_ADMIN, ZMQ_DEALER);
	size_t refused = say_the_rest(socket, is_request, "not_a_request");
	cr_assert_eq(status().refused - before, refused);
	wire_close(&socket);
}

static bool are_refused(void *wanted)
{
	return status().refused == *(uint64_t *)wanted;
}

/* Nobody can be told there: it goes one way. It is counted. */
Test(refusals, the_updates_door_takes_updates_only)
{
	uint64_t wanted = status().refused;
	struct wire_socket *socket = enter(DOOR_UPDATES, ZMQ_PUSH);
	wanted += say_the_rest(socket, is_update, NULL);
	cr_assert(are_refused(&wanted) ||
	          fleet_wait(fleet, are_refused, &wanted, clock_mono_ms() + PATIENCE_MS));
	wire_close(&socket);
}

/* ---- updates that contradict themselves ---------------------------------------------------- */

static const char *const one_step[] = { "true" };

static void push_commits(struct wire_socket *socket, const char *to,
                         const struct rec_commit *commits, size_t count)
{
	struct message update = { .type = MESSAGE_update,
		                  .update = { .repository = "bad",
		                              .url = "/bad",
		                              .ref = "refs/heads/main",
		                              .from = ZERO_COMMIT,
		                              .to = to,
		                              .tip = to,
		                              .commits = commits,
		                              .commits_count = count } };
	say(socket, &update);
}

Test(refusals, an_update_that_makes_no_sense_is_refused_whole)
{
	const char *one = "1111111111111111111111111111111111111111";
	const char *two = "2222222222222222222222222222222222222222";
	struct rec_spec good = { .name = "a", .steps = one_step, .steps_count = 1 };
	struct rec_spec without_steps = { .name = "b" };
	struct rec_spec twins[] = { good, good }, mixed[] = { good, without_steps };
	struct rec_commit fine = { .commit = one, .jobs = &good, .jobs_count = 1 };
	struct rec_commit with_twins = { .commit = two, .jobs = twins, .jobs_count = 2 };
	struct rec_commit with_mixed = { .commit = two, .jobs = mixed, .jobs_count = 2 };
	uint64_t wanted = status().refused + 6;
	struct wire_socket *socket = enter(DOOR_UPDATES, ZMQ_PUSH);
	push_commits(socket, two, (struct rec_commit[]){ fine, with_twins }, 2);
	push_commits(socket, two, (struct rec_commit[]){ fine, with_mixed }, 2);
	push_commits(socket, one, (struct rec_commit[]){ fine, fine }, 2);
	push_commits(socket, two, &fine, 1);        /* ends elsewhere */
	push_commits(socket, one, NULL, 0);         /* moves the mark over nothing */
	push_commits(socket, ZERO_COMMIT, NULL, 0); /* from nothing to nothing */
	cr_assert(are_refused(&wanted) ||
	          fleet_wait(fleet, are_refused, &wanted, clock_mono_ms() + PATIENCE_MS));
	wire_close(&socket);
}

/* ---- too much of it ------------------------------------------------------------------------ */

static struct rec_lease take_rare_job(struct wire_socket *socket)
{
	static const char *const labels[] = { "rare" };
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = "rare",
		                            .session = "0123456789abcdef",
		                            .instance = "0123456789abcdef",
		                            .version = "1",
		                            .labels = labels,
		                            .labels_count = 1,
		                            .slots = 1 } };
	say(socket, &hello);
	expect(socket, MESSAGE_welcome);
	struct message ready = { .type = MESSAGE_ready, .ready = { .slots = 1 } };
	say(socket, &ready);
	scoped(message_finish) struct message offer = hear(socket, PATIENCE_MS);
	cr_assert_eq(offer.type, MESSAGE_offer);
	return (struct rec_lease){ .job = offer.offer.job, .attempt = offer.offer.attempt };
}

Test(refusals, a_thousand_results_that_contradict_each_other_are_one_verdict)
{
	struct wire_socket *socket = enter(DOOR_WORKERS, ZMQ_DEALER);
	struct rec_lease lease = take_rare_job(socket);
	size_t acknowledged = 0, stale = 0, offers = 0;
	/* Not all at once: who does not listen is not answered, its queue being full. */
	for (size_t said = 0; acknowledged + stale < REPEATS;) {
		for (; said < REPEATS && said < acknowledged + stale + WINDOW; said++) {
			struct message result = result_of(lease.job, lease.attempt);
			if (said % 2)
				result.result.outcome = OUTCOME_failed;
			say(socket, &result);
		}
		scoped(message_finish) struct message message = hear(socket, PATIENCE_MS);
		cr_assert_neq(message.type, MESSAGE_NONE, "%zu answers", acknowledged + stale);
		acknowledged += message.type == MESSAGE_result_ok;
		stale += message.type == MESSAGE_stale;
		offers += message.type == MESSAGE_offer;
	}
	/* What was recorded is acknowledged each time; what says something else is stale. */
	cr_assert_eq(acknowledged, REPEATS / 2);
	cr_assert_eq(stale, REPEATS / 2);
	cr_assert_leq(offers, 1);
	expect_verdict(lease.job, OUTCOME_passed);
	expected.finished = 1; /* and the next one is its, too */
	expected.leased = 2;
	expected.queued = 0;
	wire_close(&socket);
}
