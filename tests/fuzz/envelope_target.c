/* The strict decoder, for all that somebody may say: the first byte is the door, the rest is what
 * came through. What is accepted can be shown, and is the same when it is sent on. */
#include "tests/fuzz/draw.h"
#include "tests/fuzz/fuzz.h"

#include "proto/schema.h"

#include <string.h>

/* What each end of a door sends, and the records that travel in it: parameters of questions on
 * their way to the broker, results on their way back. */
enum role { FROM_WORKER, TO_WORKER, FROM_OBSERVER, QUESTION, REPLY, EVENT, RECORD_ALONE, ROLES };

static const enum record_type params[] = {
	RECORD_no_params,     RECORD_page_params,      RECORD_marks_params,
	RECORD_report_params, RECORD_repos_params,     RECORD_watch_entry,
	RECORD_repo_params,   RECORD_poke_params,      RECORD_cancel_params,
	RECORD_rerun_params,  RECORD_worker_params,    RECORD_pause_params,
	RECORD_resume_params, RECORD_why_params,       RECORD_declare_params,
	RECORD_watch_params,  RECORD_show_params,      RECORD_log_params,
	RECORD_tests_params,  RECORD_artifacts_params, RECORD_artifact_params,
	RECORD_events_params, RECORD_backup_params,    RECORD_gc_params,
	RECORD_lift_params,
};

static const enum record_type results[] = {
	RECORD_status_result, RECORD_marks_result, RECORD_watch_result,
	RECORD_repos_result,  RECORD_show_result,  RECORD_log_result,
};

/* A record takes more memory than its bytes: the largest one of a table, at once. */
enum { RECORD_ROOM = 4096 };

static void check_record(enum record_type type, const void *data, size_t size)
{
	static union {
		char bytes[RECORD_ROOM];
		uint64_t aligned;
	} record, again;
	struct arena arena = { 0 };
	struct text line = { 0 }, first = { 0 }, second = { 0 };
	fuzz_demand(schema_of_record(type)->size <= sizeof record);
	if (record_unpack(type, data, size, &arena, &record) == OK) {
		record_print(type, &record, &line);
		fuzz_demand(line.size == 0 || text_is_utf8(line.data, line.size));
		record_pack(type, &record, &first);
		fuzz_demand(record_unpack(type, first.data, first.size, &arena, &again) == OK);
		record_pack(type, &again, &second);
		fuzz_demand(first.size == second.size);
		fuzz_demand(memcmp(first.data, second.data, first.size) == 0);
	}
	text_finish(&line);
	text_finish(&first);
	text_finish(&second);
	arena_finish(&arena);
}

/* What was taken in is the same for whoever gets it from us. */
static void check_same(const struct message *message)
{
	struct text line = { 0 }, first = { 0 }, second = { 0 };
	struct message again;
	message_print(message, &line);
	fuzz_demand(text_is_utf8(line.data, line.size));
	fuzz_demand(!memchr(line.data, '\n', line.size));
	message_pack(message, &first);
	fuzz_demand(message_unpack(first.data, first.size, &again) == OK);
	fuzz_demand(again.type == message->type);
	message_pack(&again, &second);
	fuzz_demand(first.size == second.size);
	fuzz_demand(memcmp(first.data, second.data, first.size) == 0);
	message_finish(&again);
	text_finish(&line);
	text_finish(&first);
	text_finish(&second);
}

/* The door's own reading of it. */
static void check_inside(enum role role, const struct message *message)
{
	if (role == QUESTION && message->type == MESSAGE_request)
		for (size_t i = 0; i < sizeof params / sizeof *params; i++)
			check_record(params[i], message->request.params.data,
			             message->request.params.size);
	if (role == REPLY && message->type == MESSAGE_reply)
		for (size_t i = 0; i < sizeof results / sizeof *results; i++)
			check_record(results[i], message->reply.result.data,
			             message->reply.result.size);
}

/* "status_result", a newline, and its bytes: they stay the same record when others are added. */
static void check_named_record(struct draw *draw)
{
	for (enum record_type type = 0; type < RECORD_TYPE_COUNT; type++) {
		const char *name = schema_of_record(type)->name;
		size_t size = strlen(name);
		if (draw->left > size && memcmp(draw->data, name, size) == 0 &&
		    draw->data[size] == '\n')
			check_record(type, draw->data + size + 1, draw->left - size - 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct draw draw = { data, size };
	enum role role = (enum role)draw_below(&draw, ROLES);
	struct message message;
	if (role == RECORD_ALONE) {
		check_named_record(&draw);
		return 0;
	}
	enum err err = message_unpack(draw.data, draw.left, &message);
	fuzz_demand(err == OK || err == ERR_MALFORMED || err == ERR_NOT_FOUND);
	if (err) {
		fuzz_demand(message.type == MESSAGE_NONE);
		fuzz_demand(strlen(error_text()) < 1024);
		return 0;
	}
	check_same(&message);
	check_inside(role, &message);
	message_finish(&message);
	return 0;
}
