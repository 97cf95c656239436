/* JSON as people's scripts read it. */
#include "cli/json.h"

#include "base/scoped.h"

#include <criterion/criterion.h>

static void written_is(void (*write)(struct json *json, const void *value), const void *value,
                       const char *wanted)
{
	scoped(free_text) char *got = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&got, &size);
	struct json json = json_start(file);
	write(&json, value);
	fclose(file);
	cr_assert_str_eq(got, wanted);
}

static void write_text(struct json *json, const void *value)
{
	json_text(json, value);
}

Test(json, texts_are_escaped)
{
	written_is(write_text, "plain", "\"plain\"");
	written_is(write_text, NULL, "null");
	written_is(write_text, "", "\"\"");
	written_is(write_text, "a\"b\\c", "\"a\\\"b\\\\c\"");
	written_is(write_text, "tab\tline\n", "\"tab\\tline\\n\"");
	written_is(write_text, "\033[31m\177", "\"\\u001b[31m\\u007f\"");
	written_is(write_text, "gr\xc3\xbc\xc3\x9f \xf0\x9f\x8d\x80",
	           "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x8d\x80\"");
}

Test(json, what_is_no_utf8_becomes_the_replacement_character)
{
	written_is(write_text, "a\xff", "\"a\\ufffd\"");
	written_is(write_text, "\xc3", "\"\\ufffd\"");
	written_is(write_text, "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
	written_is(write_text, "\xc0\x80", "\"\\ufffd\\ufffd\"");
}

Test(json, control_characters_beyond_ascii_are_escaped_too)
{
	written_is(write_text, "\xc2\x9b", "\"\\u009b\"");
	written_is(write_text, "\xc2\xa0", "\"\xc2\xa0\"");
}

static void write_bytes(struct json *json, const void *value)
{
	json_bytes(json, value, 3);
}

Test(json, bytes_may_hold_a_nul)
{
	written_is(write_bytes, "a\0b", "\"a\\u0000b\"");
}

static void write_attempt(struct json *json, const void *value)
{
	json_record(json, RECORD_attempt_row, value);
}

Test(json, every_key_of_a_record_is_always_there)
{
	const struct rec_attempt_row none = { .attempt = 1, .worker = "w" };
	written_is(write_attempt, &none,
	           "{\"attempt\": 1, \"worker\": \"w\", \"offered_at\": null, \"ended_at\": null, "
	           "\"end\": null, \"log_size\": 0}");
	const struct rec_attempt_row all = { .attempt = 2,
		                             .worker = "w",
		                             .offered_at = 1000,
		                             .ended_at = 2042,
		                             .end = "finished",
		                             .log_size = 9 };
	written_is(write_attempt, &all,
	           "{\"attempt\": 2, \"worker\": \"w\", \"offered_at\": "
	           "\"1970-01-01T00:00:01.000Z\", \"ended_at\": \"1970-01-01T00:00:02.042Z\", "
	           "\"end\": \"finished\", \"log_size\": 9}");
}

static void write_show(struct json *json, const void *value)
{
	json_record(json, RECORD_show_result, value);
}

Test(json, records_nest_and_lists_may_be_empty)
{
	written_is(write_show, &(struct rec_show_result){ 0 }, "{\"builds\": []}");
}

static void write_worker(struct json *json, const void *value)
{
	json_record(json, RECORD_worker_row, value);
}

Test(json, durations_are_numbers_and_words_are_lists)
{
	const char *const labels[] = { "a", "b" };
	const struct rec_worker_row worker = {
		.name = "w", .state = "idle", .labels = labels, .labels_count = 2, .silent_ms = 12
	};
	written_is(write_worker, &worker,
	           "{\"name\": \"w\", \"state\": \"idle\", \"host\": null, \"version\": null, "
	           "\"labels\": [\"a\", \"b\"], \"slots\": 0, \"busy\": 0, \"silent_ms\": 12, "
	           "\"drained_by\": null}");
}
