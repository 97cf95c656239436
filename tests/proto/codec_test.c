/* What is packed is what is unpacked, for every row of messages.def. */
#include "tests/proto/sample.h"

#include "base/scoped.h"

#include <criterion/criterion.h>
#include <string.h>

Test(codec, every_row_of_the_table_is_sound)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		const struct schema *schema = subject_at(i).schema;
		size_t count = 0;
		for (const struct field *field = schema->fields; field->kind; field++, count++) {
			const char *where = field->name;
			cr_assert(strlen(where) < 64 && strcmp(where, "type") != 0, "%s", where);
			cr_assert_leq(field->least, field->most, "%s.%s", schema->name, where);
			cr_assert(*field->doc, "%s.%s", schema->name, where);
			enum field_kind kind =
				field->kind == KIND_words ? field->word_kind : field->kind;
			if (kind == KIND_name || kind == KIND_commit || kind == KIND_ref)
				cr_assert_leq(field->most, REF_SIZE_MAX, "%s", where);
			if (kind == KIND_u32)
				cr_assert_leq(field->most, UINT32_MAX, "%s", where);
			if (kind == KIND_ms || kind == KIND_u64)
				cr_assert_leq(field->most, INT64_MAX, "%s", where);
			for (const struct field *other = schema->fields; other < field; other++)
				cr_assert_str_neq(other->name, where, "%s", schema->name);
		}
		cr_assert_leq(count, 64, "%s", schema->name);
	}
}

static void goes_round(enum sample kind)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		scoped(text_finish) struct text body = { 0 }, again = { 0 };
		sample_pack(subject, kind, &body);
		cr_assert_eq(sample_unpack(subject, body.data, body.size, &again), OK, "%s: %s",
		             subject.schema->name, error_text());
		cr_assert_eq(again.size, body.size, "%s", subject.schema->name);
		cr_assert(memcmp(again.data, body.data, body.size) == 0, "%s",
		          subject.schema->name);
	}
}

Test(codec, a_bare_message_comes_back_as_it_was)
{
	goes_round(SAMPLE_BARE);
}

Test(codec, a_full_message_comes_back_as_it_was)
{
	goes_round(SAMPLE_SMALL);
}

Test(codec, a_message_with_every_field_at_its_most_comes_back_as_it_was)
{
	goes_round(SAMPLE_LARGE);
}

Test(codec, values_and_the_keys_that_were_there_are_told)
{
	const struct rec_lease holding[] = { { .job = 7, .attempt = 2 },
		                             { .job = 9, .attempt = 1 } };
	struct message sent = { .type = MESSAGE_heartbeat,
		                .heartbeat = { .holding = holding, .holding_count = 2 } };
	scoped(text_finish) struct text body = { 0 };
	scoped(message_finish) struct message got = { 0 };
	message_pack(&sent, &body);
	cr_assert_eq(message_unpack(body.data, body.size, &got), OK, "%s", error_text());
	cr_assert_eq(got.type, MESSAGE_heartbeat);
	cr_assert_eq(got.heartbeat.keys, 1);
	cr_assert_eq(got.heartbeat.holding_count, 2);
	cr_assert_eq(got.heartbeat.holding[1].job, 9);
	cr_assert_eq(got.heartbeat.holding[0].attempt, 2);
}

Test(codec, an_optional_field_without_a_value_is_not_sent)
{
	struct message sent = { .type = MESSAGE_cancel,
		                .cancel = { .job = 1, .attempt = 1, .reason = "" } };
	scoped(text_finish) struct text body = { 0 };
	scoped(message_finish) struct message got = { 0 };
	message_pack(&sent, &body);
	cr_assert_eq(message_unpack(body.data, body.size, &got), OK);
	cr_assert_null(got.cancel.reason);
	cr_assert_eq(got.cancel.keys, 3);
}

Test(codec, a_time_before_zero_is_packed_as_none)
{
	struct message sent = {
		.type = MESSAGE_result,
		.result = { .job = 1, .attempt = 1, .outcome = OUTCOME_passed, .duration_ms = -5 }
	};
	scoped(text_finish) struct text body = { 0 };
	scoped(message_finish) struct message got = { 0 };
	message_pack(&sent, &body);
	cr_assert_eq(message_unpack(body.data, body.size, &got), OK);
	cr_assert_eq(got.result.duration_ms, 0);
	cr_assert_eq(got.result.outcome, OUTCOME_passed);
}

Test(codec, an_empty_record_body_reads_as_an_empty_map)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_page_params page = { .limit = 9 };
	cr_assert_eq(record_unpack(RECORD_page_params, "", 0, &arena, &page), OK);
	cr_assert_eq(page.limit, 0);
	struct rec_show_params show = { .commit = "untouched" };
	cr_assert_eq(record_unpack(RECORD_show_params, "", 0, &arena, &show), ERR_MALFORMED);
	cr_assert_str_eq(show.commit, "untouched");
}

Test(codec, outcomes_have_words_and_one_is_green)
{
	for (int i = OUTCOME_NONE + 1; i < OUTCOME_COUNT; i++) {
		enum outcome outcome = OUTCOME_NONE;
		cr_assert(outcome_from_text(outcome_text((enum outcome)i), &outcome));
		cr_assert_eq((int)outcome, i);
		cr_assert_eq(outcome_is_green(outcome), i == OUTCOME_passed);
	}
	enum outcome outcome = OUTCOME_lost;
	cr_assert_not(outcome_from_text("", &outcome));
	cr_assert_not(outcome_from_text("Passed", &outcome));
	cr_assert_eq(outcome, OUTCOME_lost);
}

static void prints(const struct message *message, const char *wanted)
{
	scoped(text_finish) struct text line = { 0 };
	message_print(message, &line);
	cr_assert_str_eq(line.data, wanted);
}

Test(print, a_message_is_one_line)
{
	const struct rec_lease holding[] = { { .job = 7, .attempt = 2 },
		                             { .job = 9, .attempt = 1 } };
	prints(&(struct message){ 0 }, "none");
	prints(&(struct message){ .type = MESSAGE_drain }, "drain");
	prints(&(struct message){ .type = MESSAGE_ready }, "ready slots=0");
	prints(&(struct message){ .type = MESSAGE_heartbeat,
	                          .heartbeat = { .holding = holding, .holding_count = 2 } },
	       "heartbeat holding=[{job=7 attempt=2} {job=9 attempt=1}]");
	prints(&(struct message){ .type = MESSAGE_log,
	                          .log = { .job = 1, .attempt = 1, .bytes = { "abc", 3 } } },
	       "log job=1 attempt=1 offset=0 bytes=(3 bytes)");
	prints(&(struct message){ .type = MESSAGE_result,
	                          .result = { .job = 1,
	                                      .attempt = 3,
	                                      .outcome = OUTCOME_timed_out,
	                                      .reason = "over\x1b[2J 10m\xff" } },
	       "result job=1 attempt=3 outcome=timed_out reason=over?[2J 10m?");
	prints(&(struct message){ .type = MESSAGE_error,
	                          .error = { .code = "a\nb", .reason = "c\td" } },
	       "error code=a b reason=c d");
}

Test(print, every_message_prints)
{
	for (int type = MESSAGE_NONE + 1; type < MESSAGE_TYPE_COUNT; type++) {
		scoped(text_finish) struct text body = { 0 }, line = { 0 };
		scoped(message_finish) struct message message = { 0 };
		sample_pack(subject_at(type - 1), SAMPLE_SMALL, &body);
		cr_assert_eq(message_unpack(body.data, body.size, &message), OK);
		message_print(&message, &line);
		const char *name = message_type_text((enum message_type)type);
		cr_assert(strncmp(line.data, name, strlen(name)) == 0);
		cr_assert(text_is_utf8(line.data, line.size));
		const struct schema *schema = schema_of_message((enum message_type)type);
		for (const struct field *field = schema->fields; field->kind; field++)
			cr_assert(strstr(line.data, field->name), "%s in %s", field->name,
			          line.data);
	}
}
