/* The admin socket: whatever people named things, an answer fits a frame, for one that does not is
 * never sent, and an observer that gets no answer feeds nothing. */
#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "broker/server.h"
#include "proto/wire.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char folder[64];
static struct broker_settings settings;
static struct server server;
static struct wire_socket *client;

static void start(void)
{
	int signals;
	scoped(address_finish) struct address ipc = { 0 };
	snprintf(folder, sizeof folder, "/tmp/fettle-admin-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(wire_start(&signals), OK);
	close(signals);
	cr_assert_eq(address_parse(folder, &ipc), OK);
	settings.state = folder;
	server = (struct server){ .settings = &settings };
	server.core = core_new(&(struct core_settings){ 1000, 3, 9000, 1000, 0 });
	cr_assert_eq(store_open(folder, "this run", &server.store), OK, "%s", error_text());
	cr_assert_eq(server_open(&server, &ipc, NULL), OK, "%s", error_text());
	client = wire_socket(ZMQ_DEALER);
	scoped(free_text) char *endpoint = address_endpoint(&ipc, DOOR_ADMIN);
	cr_assert_eq(wire_connect(client, endpoint), OK);
}

static void finish(void)
{
	wire_close(&client);
	store_destroy(&server.store);
	server_close(&server);
	core_destroy(&server.core);
	cr_assert_eq(file_remove_tree(folder), OK);
}

TestSuite(admin, .init = start, .fini = finish);

static void wait_for(struct wire_socket *socket, short events)
{
	zmq_pollitem_t item = { .socket = wire_handle(socket), .events = events };
	cr_assert_eq(zmq_poll(&item, 1, 5000), 1);
}

/* Ask, and let the broker take the question. */
static void ask_as(const char *who, uint64_t id, const char *method, enum record_type type,
                   const void *params)
{
	struct peer peer;
	enum err refusal;
	scoped(text_finish) struct text packed = { 0 };
	scoped(message_finish) struct message question = { 0 };
	record_pack(type, params, &packed);
	struct message request = { .type = MESSAGE_request,
		                   .request = { .id = id,
		                                .method = method,
		                                .params = { packed.data, packed.size },
		                                .client = who,
		                                .who = who } };
	wait_for(client, ZMQ_POLLOUT);
	cr_assert_eq(wire_send(client, NULL, &request), OK, "%s", error_text());
	wait_for(server.admin, ZMQ_POLLIN);
	cr_assert_eq(wire_receive(server.admin, &peer, &question, &refusal), WIRE_MESSAGE);
	admin_receive(&server, &peer, &question);
}

static void ask(const char *method, enum record_type type, const void *params)
{
	ask_as(NULL, 1, method, type, params);
}

static void read_answer(enum record_type type, struct arena *arena, void *result)
{
	enum err refusal;
	scoped(message_finish) struct message reply = { 0 };
	wait_for(client, ZMQ_POLLIN);
	cr_assert_eq(wire_receive(client, NULL, &reply, &refusal), WIRE_MESSAGE);
	cr_assert_eq(reply.type, MESSAGE_reply);
	cr_assert_eq(record_unpack(type, reply.reply.result.data, reply.reply.result.size, arena,
	                           result),
	             OK, "%s", error_text());
}

Test(admin, status_is_answered_however_long_the_urls_are)
{
	enum { COUNT = 150 };
	static char url[TEXT_MAX + 1], error[1025], names[COUNT][16];
	struct rec_watched watched[COUNT];
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_no_params nothing;
	struct rec_status_result status;
	memset(url, 'u', TEXT_MAX);
	memset(error, 'e', 1024);
	for (int observer = 0; observer < 3; observer++) {
		scoped(free_text) char *name = text_format("o%d", observer);
		for (int i = 0; i < COUNT; i++) {
			snprintf(names[i], sizeof names[i], "r%d-%d", observer, i);
			watched[i] = (struct rec_watched){ .repository = names[i],
				                           .url = url,
				                           .state = "failing",
				                           .error = error };
		}
		ask("report", RECORD_report_params,
		    &(struct rec_report_params){ .observer = name,
		                                 .repositories = watched,
		                                 .repositories_count = COUNT });
		read_answer(RECORD_no_params, &arena, &nothing);
	}
	ask("status", RECORD_no_params, &(struct rec_no_params){ 0 });
	read_answer(RECORD_status_result, &arena, &status);
	cr_assert_str_eq(status.state, "ok");
	cr_assert_gt(status.repositories_count, 0);
}

Test(admin, status_shows_the_repositories_that_fail_first)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_no_params nothing;
	struct rec_status_result status;
	const struct rec_watched watched[] = {
		{ .repository = "one", .url = "/one", .state = "watched" },
		{ .repository = "two", .url = "/two", .state = "failing", .error = "gone" },
		{ .repository = "three", .url = "/three", .state = "watched" },
	};
	ask("report", RECORD_report_params,
	    &(struct rec_report_params){
		    .observer = "o", .repositories = watched, .repositories_count = 3 });
	read_answer(RECORD_no_params, &arena, &nothing);
	for (uint32_t limit = 0; limit < 5; limit++) {
		ask("status", RECORD_status_params, &(struct rec_status_params){ .limit = limit });
		read_answer(RECORD_status_result, &arena, &status);
		cr_assert_eq(status.repositories_count, limit == 0 || limit > 3 ? 3 : limit);
		cr_expect_eq(status.repositories_rows, 3);
		cr_expect_str_eq(status.repositories[0].repository, "two");
	}
}

static void join(int number, const char *const *labels, size_t labels_count)
{
	struct effects effects = { 0 };
	scoped(free_text) char *name = text_format("w%03d", number);
	struct message hello = { .type = MESSAGE_hello,
		                 .hello = { .name = name,
		                            .session = "0123456789abcdef",
		                            .instance = "0123456789abcdef",
		                            .version = "1",
		                            .labels = labels,
		                            .labels_count = labels_count,
		                            .slots = 1 } };
	struct event event = { .kind = EVENT_RECEIVED, .now_ms = 1, .message = &hello };
	event.peer.size = 1;
	event.peer.id[0] = (uint8_t)number;
	event.peer.id[1] = (uint8_t)(number >> 8);
	core_step(server.core, &event, &effects);
	effects_finish(&effects);
}

Test(admin, workers_come_in_pages_that_fit)
{
	enum { WORKERS = 400, LABELS = 64 };
	static char texts[LABELS][NAME_MAX_ + 1];
	const char *labels[LABELS];
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_workers_result result = { 0 };
	struct rec_page_params page = { .limit = 1000 };
	size_t seen = 0;
	for (int i = 0; i < LABELS; i++) {
		memset(texts[i], 'a' + i % 26, NAME_MAX_);
		texts[i][0] = (char)('0' + i / 26);
		labels[i] = texts[i];
	}
	for (int i = 0; i < WORKERS; i++)
		join(i, labels, LABELS);
	do {
		ask("workers", RECORD_page_params, &page);
		read_answer(RECORD_workers_result, &arena, &result);
		for (size_t i = 0; i < result.workers_count; i++, seen++) {
			scoped(free_text) char *name = text_format("w%03zu", seen);
			cr_assert_str_eq(result.workers[i].name, name);
		}
		page.after = result.next;
	} while (result.next);
	cr_assert_eq(seen, WORKERS);
}

Test(admin, marks_of_long_refs_fit_a_frame)
{
	scoped(arena_finish) struct arena arena = { 0 };
	scoped(message_finish) struct message reply = { 0 };
	struct rec_marks_result marks;
	char ref[1001];
	for (int i = 0; i < 1500; i++) {
		int head = snprintf(ref, sizeof ref, "refs/heads/%04d", i);
		memset(ref + head, 'x', sizeof ref - 1 - (size_t)head);
		ref[sizeof ref - 1] = 0;
		core_restore_ref(server.core, "r", "/r", ref,
		                 "1234567890123456789012345678901234567890", false);
	}
	ask("marks", RECORD_marks_params, &(struct rec_marks_params){ .repository = "r" });
	const struct batch_item *sent = &server.filling->items[0]; /* leaves after what is saved */
	cr_assert_lt(sent->body.size, MESSAGE_SIZE_MAX);
	cr_assert_eq(message_unpack(sent->body.data, sent->body.size, &reply), OK);
	cr_assert_eq(record_unpack(RECORD_marks_result, reply.reply.result.data,
	                           reply.reply.result.size, &arena, &marks),
	             OK);
	cr_assert_str_eq(marks.next, marks.marks[marks.marks_count - 1].ref);
}

/* ---- the list of repositories: changes and answers leave when they are stored --------------- */

static void read_stored_answer(enum record_type type, struct arena *arena, void *result)
{
	scoped(message_finish) struct message reply = { 0 };
	cr_assert_gt(server.filling->count, 0, "no answer waits for the store");
	const struct batch_item *sent = &server.filling->items[server.filling->count - 1];
	cr_assert(sent->to_admin);
	cr_assert_lt(sent->body.size, MESSAGE_SIZE_MAX);
	cr_assert_eq(message_unpack(sent->body.data, sent->body.size, &reply), OK);
	cr_assert_eq(record_unpack(type, reply.reply.result.data, reply.reply.result.size, arena,
	                           result),
	             OK, "%s", error_text());
}

static void expect_refusal(const char *code, const char *reason)
{
	scoped(message_finish) struct message reply = { 0 };
	const struct batch_item *sent = &server.filling->items[server.filling->count - 1];
	cr_assert(sent->to_admin);
	cr_assert_eq(message_unpack(sent->body.data, sent->body.size, &reply), OK);
	cr_assert_str_eq(reply.reply.code, code);
	cr_assert_str_eq(reply.reply.reason, reason);
}

Test(admin, a_change_of_the_list_is_answered_when_it_is_stored)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_change_result change;
	struct rec_watch_entry app = { .name = "app", .url = "/r" };
	ask("repo_add", RECORD_watch_entry, &app);
	cr_assert_eq(server.filling->items[0].effect.kind, EFFECT_SAVE_WATCH);
	read_stored_answer(RECORD_change_result, &arena, &change);
	cr_assert_eq(change.changed, 1);
	app.url = "/other";
	ask("repo_add", RECORD_watch_entry, &app);
	expect_refusal("bad_request", "repository 'app' is in the list with other settings (/r); "
	                              "remove it first, or choose another name");
	app.url = "ext::sh -c x";
	ask("repo_add", RECORD_watch_entry, &app);
	expect_refusal("bad_request",
	               "repository 'ext::sh -c x': remote helpers (::) are not used");
	ask("repo_remove", RECORD_repo_params, &(struct rec_repo_params){ .repository = "lib" });
	expect_refusal("not_found", "no repository 'lib' in the list");
}

Test(admin, a_list_of_long_entries_comes_in_pages_that_fit)
{
	enum { COUNT = 300 };
	static char url[3000];
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_watch_result page;
	struct rec_watch_params params = { .observer = "o", .instance = "0123456789abcdef" };
	size_t seen = 0, pages = 0;
	memset(url, 'u', sizeof url - 1);
	url[0] = '/';
	for (int i = 0; i < COUNT; i++) {
		scoped(free_text) char *name = text_format("r%03d", i);
		ask("repo_add", RECORD_watch_entry,
		    &(struct rec_watch_entry){ .name = name, .url = url });
	}
	do {
		ask("watch", RECORD_watch_params, &params);
		read_stored_answer(RECORD_watch_result, &arena, &page);
		cr_assert(page.whole);
		for (size_t i = 0; i < page.entries_count; i++, seen++) {
			scoped(free_text) char *name = text_format("r%03zu", seen);
			cr_assert_str_eq(page.entries[i].name, name);
		}
		params.after = page.next;
		pages++;
	} while (page.next);
	cr_assert_eq(seen, COUNT);
	cr_assert_gt(pages, 1);
}

static size_t count(enum effect_kind kind)
{
	size_t found = 0;
	for (size_t i = 0; i < server.filling->count; i++)
		found += server.filling->items[i].effect.kind == kind;
	return found;
}

Test(admin, a_change_that_is_asked_for_again_is_done_once)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_change_result change;
	const struct rec_watch_entry app = { .name = "app", .url = "/r" };
	for (int i = 0; i < 3; i++) {
		ask_as("ada", 7, "repo_add", RECORD_watch_entry, &app);
		read_stored_answer(RECORD_change_result, &arena, &change);
		cr_assert_eq(change.changed, 1);
	}
	cr_assert_eq(count(EFFECT_SAVE_WATCH), 1);
	cr_assert_eq(count(EFFECT_SAVE_CHANGE), 1);
	ask_as("ada", 8, "repo_add", RECORD_watch_entry, &app);
	read_stored_answer(RECORD_change_result, &arena, &change);
	cr_assert_eq(change.changed, 0);
	ask_as("bob", 7, "repo_add", RECORD_watch_entry, &app);
	read_stored_answer(RECORD_change_result, &arena, &change);
	cr_assert_eq(change.changed, 0);
}

/* What was refused stays refused for who asks again: the answer was on its way. */
Test(admin, a_refusal_is_repeated_too)
{
	const struct rec_repo_params lib = { .repository = "lib" };
	ask_as("ada", 7, "repo_pause", RECORD_repo_params, &lib);
	expect_refusal("not_found", "no repository 'lib' in the list");
	ask_as("ada", 8, "repo_add", RECORD_watch_entry,
	       &(struct rec_watch_entry){ .name = "lib", .url = "/r" });
	ask_as("ada", 7, "repo_pause", RECORD_repo_params, &lib);
	expect_refusal("not_found", "no repository 'lib' in the list");
	cr_assert_eq(count(EFFECT_SAVE_CHANGE), 2);
}
