/* Records of tests, and the texts they are cut from. */
#include "report/report.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "report/parts.h"

#include <string.h>

void report_finish(struct report *report)
{
	free(report->tests);
	arena_finish(&report->arena);
	*report = (struct report){ 0 };
}

/* ---- slices -------------------------------------------------------------------------------- */

struct slice slice_of(const char *text)
{
	return (struct slice){ text, text ? strlen(text) : 0 };
}

struct slice slice_of_text(const struct text *text)
{
	return (struct slice){ text->data, text->size };
}

struct slice slice_after(struct slice text, size_t size)
{
	return (struct slice){ text.data + size, text.size - size };
}

struct slice slice_before(struct slice text, const char *at)
{
	return (struct slice){ text.data, (size_t)(at - text.data) };
}

struct slice slice_from(struct slice text, const char *at)
{
	return slice_after(text, (size_t)(at - text.data));
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct slice slice_trim(struct slice text)
{
	while (text.size > 0 && is_space(text.data[0]))
		text = slice_after(text, 1);
	while (text.size > 0 && is_space(text.data[text.size - 1]))
		text.size--;
	return text;
}

bool slice_is(struct slice text, const char *word)
{
	return text.size == strlen(word) && (!text.size || memcmp(text.data, word, text.size) == 0);
}

bool slice_starts(struct slice text, const char *word)
{
	size_t size = strlen(word);
	return text.size >= size && (!size || memcmp(text.data, word, size) == 0);
}

bool slice_line(struct slice *rest, struct slice *ret_line)
{
	if (rest->size == 0)
		return false;
	const char *end = memchr(rest->data, '\n', rest->size);
	*ret_line = end ? slice_before(*rest, end) : *rest;
	*rest = slice_after(*rest, ret_line->size + (end != NULL));
	if (ret_line->size > 0 && ret_line->data[ret_line->size - 1] == '\r')
		ret_line->size--;
	return true;
}

const char *slice_find(struct slice text, const char *word)
{
	return text.size ? memmem(text.data, text.size, word, strlen(word)) : NULL;
}

/* A comma with a point or another comma behind it groups digits; a single one is a point. */
int64_t report_time_ms(struct slice text, double unit_ms)
{
	text = slice_trim(text);
	const char *comma = text.size ? memrchr(text.data, ',', text.size) : NULL;
	bool is_point = comma && !memchr(text.data, '.', text.size) &&
	                memchr(text.data, ',', text.size) == comma;
	double value = 0, scale = 0;
	for (size_t i = 0; i < text.size; i++) {
		char c = text.data[i];
		if (c == '.' || (c == ',' && is_point)) {
			if (scale > 0)
				return 0;
			scale = 1;
		} else if (c >= '0' && c <= '9') {
			value = value * 10 + (c - '0');
			scale *= 10;
		} else if (c != ',') {
			break;
		}
	}
	double ms = value / (scale > 0 ? scale : 1) * unit_ms;
	return ms > 0 && ms < 1e15 ? (int64_t)(ms + 0.5) : 0;
}

/* ---- records ------------------------------------------------------------------------------- */

const char *report_copy(struct report *report, struct slice text, size_t most)
{
	scoped(text_finish) struct text shown = { 0 };
	text = slice_trim(text);
	if (text.size > most)
		text.size = text_cut(text.data, text.size, most);
	text_add_printable(&shown, text.data, text.size);
	return shown.size ? arena_copy(&report->arena, shown.data, shown.size) : NULL;
}

static bool is_failure(const char *outcome)
{
	return strcmp(outcome, REPORT_FAILED) == 0 || strcmp(outcome, REPORT_ERROR) == 0;
}

enum err report_add(struct report *report, const struct finding *finding)
{
	if (report->count >= TEST_RECORDS_MAX)
		return fail(ERR_MALFORMED, "more than %d tests", TEST_RECORDS_MAX);
	report->text_size += finding->name.size + finding->suite.size;
	if (report->text_size > REPORT_TEXT_MAX)
		return fail(ERR_MALFORMED, "the names of its tests are over %d MiB",
		            REPORT_TEXT_MAX >> 20);
	memory_reserve((void **)&report->tests, &report->capacity, report->count + 1,
	               sizeof *report->tests);
	const char *name = report_copy(report, finding->name, REPORT_NAME_MAX);
	struct rec_test *test = &report->tests[report->count++];
	*test = (struct rec_test){
		.suite = report_copy(report, finding->suite, REPORT_NAME_MAX),
		.name = name ? name : "(without a name)",
		.outcome = finding->outcome,
		.time_ms = finding->time_ms,
	};
	report->failed += is_failure(test->outcome);
	report->skipped += strcmp(test->outcome, REPORT_SKIPPED) == 0;
	report_set_message(report, report->count - 1, finding->message);
	return OK;
}

void report_set_outcome(struct report *report, size_t index, const char *outcome)
{
	struct rec_test *test = &report->tests[index];
	report->failed -= is_failure(test->outcome);
	report->skipped -= strcmp(test->outcome, REPORT_SKIPPED) == 0;
	test->outcome = outcome;
	report->failed += is_failure(test->outcome);
	report->skipped += strcmp(test->outcome, REPORT_SKIPPED) == 0;
}

void report_set_message(struct report *report, size_t index, struct slice message)
{
	struct rec_test *test = &report->tests[index];
	if (test->message || !message.size || report->messages >= REPORT_MESSAGES_MAX)
		return;
	test->message = report_copy(report, message, REPORT_MESSAGE_MAX);
	report->messages++;
}

/* UTF-16 begins with its mark; UTF-8 may. */
static bool is_xml(struct slice text)
{
	if (slice_starts(text, "\xff\xfe") || slice_starts(text, "\xfe\xff"))
		return true;
	if (slice_starts(text, "\xef\xbb\xbf"))
		text = slice_after(text, 3);
	return slice_starts(slice_trim(text), "<");
}

enum err report_read(struct report *report, const char *data, size_t size)
{
	struct slice text = { data, size };
	if (size > REPORT_SIZE_MAX)
		return fail(ERR_MALFORMED, "larger than %d MiB", REPORT_SIZE_MAX >> 20);
	if (slice_trim(text).size == 0)
		return fail(ERR_MALFORMED, "it is empty");
	return is_xml(text) ? junit_read(report, data, size) : tap_read(report, data, size);
}
