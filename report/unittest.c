/* What `python3 -m unittest -v` prints: a line for each test, then a block for each that failed. */
#include "base/scoped.h"
#include "report/parts.h"

#include <string.h>

enum { BLOCKS_MAX = 500, PART_MAX = 256 };

/* "test_one (module.Class.test_one)", or with the parameters of a subtest behind it. */
struct title {
	struct slice name, suite, more;
	struct slice rest; /* of the line */
};

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || (unsigned char)c >= 0x80;
}

static size_t word_size(struct slice text, bool dotted)
{
	size_t size = 0;
	while (size < text.size && (is_word(text.data[size]) || (dotted && text.data[size] == '.')))
		size++;
	return size;
}

/* In parentheses or brackets right behind the suite, before " ... ". */
static struct slice read_more(struct slice *rest)
{
	const char *dots = slice_find(*rest, " ... ");
	struct slice more = slice_trim(dots ? slice_before(*rest, dots) : *rest);
	if (more.size == 0 || more.size > PART_MAX || (more.data[0] != '(' && more.data[0] != '['))
		return (struct slice){ 0 };
	*rest = dots ? slice_from(*rest, dots) : slice_after(*rest, rest->size);
	return more;
}

static bool read_title(struct slice line, struct title *title)
{
	line = slice_trim(line);
	*title = (struct title){ .name = { line.data, word_size(line, false) } };
	line = slice_after(line, title->name.size);
	if (!title->name.size || !slice_starts(line, " ("))
		return false;
	line = slice_after(line, 2);
	title->suite = (struct slice){ line.data, word_size(line, true) };
	line = slice_after(line, title->suite.size);
	if (!title->suite.size || !slice_starts(line, ")"))
		return false;
	title->rest = slice_after(line, 1);
	title->more = read_more(&title->rest);
	/* Since 3.11 the name comes again at the end. */
	size_t tail = title->name.size + 1;
	if (title->suite.size > tail && title->suite.data[title->suite.size - tail] == '.' &&
	    memcmp(title->suite.data + title->suite.size - tail + 1, title->name.data,
	           title->name.size) == 0)
		title->suite.size -= tail;
	return true;
}

static void name_of(const struct title *title, struct text *name)
{
	text_add_bytes(name, title->name.data, title->name.size);
	if (title->more.size) {
		text_add(name, " ");
		text_add_bytes(name, title->more.data, title->more.size);
	}
}

/* ---- the line of a test -------------------------------------------------------------------- */

static const struct verdict {
	const char *word, *outcome;
} verdicts[] = {
	{ "ok", REPORT_PASSED },
	{ "FAIL", REPORT_FAILED },
	{ "ERROR", REPORT_ERROR },
	{ "expected failure", REPORT_PASSED },
	{ "unexpected success", REPORT_FAILED },
};

/* "skipped 'why'" carries a reason. */
static const char *read_verdict(struct slice said, struct slice *ret_message)
{
	said = slice_trim(said);
	*ret_message = (struct slice){ 0 };
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
		if (slice_is(said, verdicts[i].word))
			return verdicts[i].outcome;
	if (!slice_starts(said, "skipped"))
		return NULL;
	*ret_message = slice_trim(slice_after(said, strlen("skipped")));
	if (ret_message->size >= 2 && ret_message->data[0] == '\'') {
		ret_message->data++;
		ret_message->size -= 2;
	}
	return REPORT_SKIPPED;
}

static const char *last_dots(struct slice line)
{
	const char *found = NULL, *next;
	while ((next = slice_find(line, " ... "))) {
		found = next;
		line = slice_from(line, next + 1);
	}
	return found;
}

/* What a test prints stands between its title and its verdict. */
static const char *find_verdict(struct slice line, struct slice *ret_message)
{
	const char *dots = last_dots(line);
	return read_verdict(dots ? slice_from(line, dots + 5) : line, ret_message);
}

static enum err add(struct report *report, const struct title *title, const char *outcome,
                    struct slice message)
{
	scoped(text_finish) struct text name = { 0 };
	name_of(title, &name);
	struct finding finding = { .suite = title->suite,
		                   .name = slice_of_text(&name),
		                   .outcome = outcome,
		                   .message = message };
	return report_add(report, &finding);
}

/* Up to the first block, whose line of '=' is taken. */
static void read_lines(struct report *report, struct slice *rest)
{
	struct title title = { 0 }, next;
	struct slice line, message;
	enum err err = OK;
	bool open = false; /* its verdict has not come yet */
	while (!err && slice_line(rest, &line)) {
		if (slice_starts(line, "======"))
			return;
		struct slice said = line;
		if (read_title(line, &next)) {
			title = next;
			said = next.rest;
			open = true;
		}
		const char *outcome = open ? find_verdict(said, &message) : NULL;
		if (!outcome)
			continue;
		err = add(report, &title, outcome, message);
		open = false;
	}
}

/* ---- the block of a failure ---------------------------------------------------------------- */

/* The last thing said: what follows the last traceback. */
static struct slice last_words(struct slice body)
{
	struct slice rest = body, line, words = body;
	bool was_indented = false;
	while (slice_line(&rest, &line)) {
		bool is_indented = slice_starts(line, " ");
		if (was_indented && !is_indented && line.size)
			words = slice_from(body, line.data);
		if (line.size)
			was_indented = is_indented;
	}
	return slice_trim(words);
}

/* Lines up to the next rule; *ret_more is false when no other block follows. */
static struct slice read_body(struct slice *rest, bool *ret_more)
{
	struct slice body = { rest->data, 0 }, line;
	*ret_more = false;
	while (slice_line(rest, &line)) {
		*ret_more = slice_starts(line, "======");
		if (*ret_more || slice_starts(line, "------"))
			return slice_before(body, line.data);
		body.size = (size_t)(line.data + line.size - body.data);
	}
	return body;
}

static struct rec_test *find(struct report *report, size_t first, const struct title *title)
{
	scoped(text_finish) struct text name = { 0 };
	name_of(title, &name);
	for (size_t i = first; i < report->count; i++) {
		struct rec_test *test = &report->tests[i];
		if (strcmp(test->name, name.data) == 0 && test->suite &&
		    slice_is(title->suite, test->suite))
			return test;
	}
	return NULL;
}

/* A block without a test is of what stands around tests: setUpClass and its like. */
static void take_block(struct report *report, size_t first, struct slice head, struct slice body)
{
	bool is_error = slice_starts(head, "ERROR: ");
	struct title title;
	if (!is_error && !slice_starts(head, "FAIL: "))
		return;
	if (!read_title(slice_after(head, is_error ? 7 : 6), &title))
		return;
	struct slice words = last_words(body);
	struct rec_test *test = find(report, first, &title);
	if (test)
		report_set_message(report, (size_t)(test - report->tests), words);
	else
		add(report, &title, is_error ? REPORT_ERROR : REPORT_FAILED, words);
}

void report_read_unittest(struct report *report, const char *data, size_t size)
{
	size_t first = report->count;
	struct slice rest = { data, size }, head;
	read_lines(report, &rest);
	bool more = rest.size > 0;
	for (int i = 0; more && i < BLOCKS_MAX && slice_line(&rest, &head); i++) {
		struct slice rule;
		if (!slice_line(&rest, &rule))
			return;
		while (!slice_starts(rule, "------") && slice_line(&rest, &rule))
			; /* a docstring */
		struct slice body = read_body(&rest, &more);
		take_block(report, first, head, body);
	}
}
