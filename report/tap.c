/* The Test Anything Protocol, versions 12 to 14. The tests of a subtest are the records, and the
 * line that sums them up is one only when it says more than they do. */
#include "base/scoped.h"
#include "report/parts.h"

#include <stdint.h>
#include <string.h>

enum { INDENT = 4, NOTES_MAX = 2 * REPORT_MESSAGE_MAX };

/* Lines of one indentation. */
struct level {
	size_t ran;
	bool has_plan;
	uint64_t planned;
	size_t children; /* first record of the subtest that no line summed up yet; SIZE_MAX: none
	                  */
	bool is_braced;  /* "ok 1 - name {": the line that sums up came first, as this record */
	size_t summary;
};

struct tap {
	struct report *report;
	size_t line;
	struct level levels[REPORT_DEPTH_MAX];
	size_t depth; /* of the line before */
	bool in_yaml;
	size_t timed;      /* record of the line before; SIZE_MAX: it made none */
	size_t last;       /* record that notes belong to; SIZE_MAX: none */
	struct text notes; /* what was said about it */
};

static enum err fail_at(const struct tap *tap, const char *what)
{
	return fail(ERR_MALFORMED, "line %zu: %s", tap->line, what);
}

/* ---- words --------------------------------------------------------------------------------- */

static bool starts_word(struct slice text, const char *word)
{
	size_t size = strlen(word);
	return text.size >= size && strncasecmp(text.data, word, size) == 0 &&
	       (text.size == size ||
	        !((text.data[size] | 32) >= 'a' && (text.data[size] | 32) <= 'z'));
}

static struct slice skip_digits(struct slice text)
{
	while (text.size && text.data[0] >= '0' && text.data[0] <= '9')
		text = slice_after(text, 1);
	return text;
}

/* What a line says after "ok" or "not ok". */
struct words {
	struct slice name, reason;
	bool ok, skip, todo;
};

/* Where "# SKIP" or "# todo" begins; NULL without one. */
static const char *find_directive(struct slice text, struct words *words)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '\\') {
			i++;
			continue;
		}
		if (text.data[i] != '#')
			continue;
		struct slice word = slice_trim(slice_after(text, i + 1));
		words->skip = word.size >= 4 && strncasecmp(word.data, "skip", 4) == 0;
		words->todo = starts_word(word, "todo");
		if (!words->skip && !words->todo)
			continue;
		while (word.size && word.data[0] != ' ' && word.data[0] != ':')
			word = slice_after(word, 1);
		words->reason = slice_trim(word);
		return text.data + i;
	}
	return NULL;
}

static bool read_words(struct slice line, struct words *words)
{
	*words = (struct words){ .ok = starts_word(line, "ok") && slice_starts(line, "ok") };
	if (!words->ok && !(slice_starts(line, "not ok") && starts_word(line, "not ok")))
		return false;
	struct slice text = slice_after(line, words->ok ? 2 : 6);
	if (text.size && text.data[0] != ' ' && text.data[0] != '\t')
		return false;
	struct slice number = slice_trim(text);
	text = slice_trim(skip_digits(number));
	if (text.size == number.size && text.size && text.data[0] != '-' && text.data[0] != '#')
		text = number;
	if (slice_starts(text, "-"))
		text = slice_trim(slice_after(text, 1));
	const char *directive = find_directive(text, words);
	words->name = slice_trim(directive ? slice_before(text, directive) : text);
	return true;
}

static bool read_plan(struct slice line, uint64_t *ret_planned, struct words *words)
{
	if (!slice_starts(line, "1.."))
		return false;
	struct slice digits = slice_after(line, 3), rest = skip_digits(digits);
	size_t count = digits.size - rest.size;
	if (count == 0 || count > 9)
		return false;
	*ret_planned = strtoull(digits.data, NULL, 10);
	*words = (struct words){ 0 };
	find_directive(rest, words);
	return true;
}

/* ---- records ------------------------------------------------------------------------------- */

/* What was said after a test is why it failed. */
static void end_notes(struct tap *tap)
{
	if (tap->last != SIZE_MAX)
		report_set_message(tap->report, tap->last, slice_of_text(&tap->notes));
	tap->last = SIZE_MAX;
	text_clear(&tap->notes);
}

static enum err add(struct tap *tap, const struct words *words, struct slice name)
{
	struct finding finding = {
		.name = name,
		.outcome = words->skip || (words->todo && !words->ok) ? REPORT_SKIPPED
		           : words->ok                                ? REPORT_PASSED
		                                                      : REPORT_FAILED,
		.message = words->reason,
	};
	enum err err = report_add(tap->report, &finding);
	if (!err && strcmp(finding.outcome, REPORT_FAILED) == 0)
		tap->last = tap->report->count - 1;
	return err;
}

/* The records from `first` on are a subtest of this name. */
static void set_suite(struct tap *tap, size_t first, const char *name)
{
	struct report *report = tap->report;
	for (size_t i = first; i < report->count; i++) {
		const char *inner = report->tests[i].suite;
		scoped(free_text) char *suite =
			text_format("%s%s%s", name, inner ? " > " : "", inner ? inner : "");
		report->tests[i].suite = report_copy(report, slice_of(suite), REPORT_NAME_MAX);
	}
}

/* Its tests are there; what is left to say is that all of them do not count, or that something else
 * in it failed. */
static enum err sum_up(struct tap *tap, size_t first, const struct words *words)
{
	struct report *report = tap->report;
	size_t failed = 0;
	scoped(arena_finish) struct arena arena = { 0 };
	for (size_t i = first; i < report->count; i++) {
		bool fails = strcmp(report->tests[i].outcome, REPORT_FAILED) == 0;
		if (fails && (words->todo || words->skip))
			report_set_outcome(report, i, REPORT_SKIPPED);
		failed += fails;
	}
	if (words->name.size)
		set_suite(tap, first, arena_copy(&arena, words->name.data, words->name.size));
	bool is_news = !words->ok && !words->todo && !words->skip && failed == 0;
	return is_news ? add(tap, words, words->name) : OK;
}

/* ---- levels -------------------------------------------------------------------------------- */

static enum err check_plan(const struct tap *tap, const struct level *level)
{
	if (!level->has_plan || level->planned == level->ran)
		return OK;
	return fail(ERR_MALFORMED, "line %zu: %llu tests were planned, and %zu ran", tap->line,
	            (unsigned long long)level->planned, level->ran);
}

/* Lines of this depth begin, or go on. */
static enum err move_to(struct tap *tap, size_t depth)
{
	enum err err = OK;
	if (depth >= REPORT_DEPTH_MAX)
		return fail_at(tap, "subtests are nested too deeply");
	while (tap->depth < depth) {
		struct level *level = &tap->levels[tap->depth];
		if (level->children == SIZE_MAX)
			level->children = tap->report->count;
		tap->levels[++tap->depth] = (struct level){ .children = SIZE_MAX };
	}
	while (!err && tap->depth > depth)
		err = check_plan(tap, &tap->levels[tap->depth--]);
	return err;
}

static enum err take_test(struct tap *tap, const struct words *words)
{
	struct level *level = &tap->levels[tap->depth];
	size_t first = level->children;
	struct slice name = words->name;
	tap->timed = SIZE_MAX;
	level->ran++;
	level->children = SIZE_MAX;
	if (first != SIZE_MAX && first < tap->report->count)
		return sum_up(tap, first, words);
	level->is_braced = name.size && name.data[name.size - 1] == '{';
	if (level->is_braced)
		name = slice_trim((struct slice){ name.data, name.size - 1 });
	level->summary = tap->timed = tap->report->count;
	return add(tap, words, name);
}

/* "}" ends a subtest whose own line came before it. */
static void end_braces(struct tap *tap)
{
	struct level *level = &tap->levels[tap->depth];
	if (level->children != SIZE_MAX)
		set_suite(tap, level->children, tap->report->tests[level->summary].name);
	level->children = SIZE_MAX;
	level->is_braced = false;
}

static enum err take_plan(struct tap *tap, uint64_t planned, const struct words *words)
{
	struct level *level = &tap->levels[tap->depth];
	if (level->has_plan)
		return fail_at(tap, "a second plan");
	if (planned > TEST_RECORDS_MAX)
		return fail_at(tap, "too many tests are planned");
	level->has_plan = true;
	level->planned = planned;
	if (tap->depth > 0 || planned > 0 || !words->skip)
		return OK;
	return add(tap, words, slice_of("all tests"));
}

/* ---- lines --------------------------------------------------------------------------------- */

static void add_note(struct tap *tap, struct slice note)
{
	if (tap->last == SIZE_MAX || tap->notes.size + note.size + 1 > NOTES_MAX)
		return;
	if (tap->notes.size)
		text_add(&tap->notes, "\n");
	text_add_bytes(&tap->notes, note.data, note.size);
}

static void read_yaml(struct tap *tap, struct slice line)
{
	static const char duration[] = "duration_ms:";
	struct slice word = slice_trim(line);
	if (slice_is(word, "...")) {
		tap->in_yaml = false;
		return;
	}
	if (slice_starts(word, duration) && tap->timed != SIZE_MAX)
		tap->report->tests[tap->timed].time_ms =
			report_time_ms(slice_after(word, sizeof duration - 1), 1);
	add_note(tap, word);
}

/* A line that is not TAP is what a test printed. */
static enum err read_tap_line(struct tap *tap, struct slice line, size_t indent)
{
	struct words words;
	uint64_t planned;
	bool is_test = read_words(line, &words);
	bool is_plan = !is_test && read_plan(line, &planned, &words);
	bool ends_braces = slice_is(slice_trim(line), "}");
	if (indent % INDENT || !(is_test || is_plan || ends_braces))
		return OK;
	size_t depth = indent / INDENT;
	if (ends_braces && (depth > tap->depth || !tap->levels[depth].is_braced))
		return OK;
	end_notes(tap);
	enum err err = move_to(tap, depth);
	if (err)
		return err;
	if (ends_braces)
		end_braces(tap);
	else
		err = is_test ? take_test(tap, &words) : take_plan(tap, planned, &words);
	return err;
}

static enum err read_line(struct tap *tap, struct slice line)
{
	size_t indent = 0;
	if (tap->in_yaml) {
		read_yaml(tap, line);
		return OK;
	}
	while (indent < line.size && line.data[indent] == ' ')
		indent++;
	line = slice_after(line, indent);
	if (slice_starts(line, "Bail out!"))
		return fail(ERR_MALFORMED, "line %zu: %.*s", tap->line,
		            (int)(line.size < 200 ? line.size : 200), line.data);
	if (slice_starts(line, "#")) {
		struct slice note = slice_trim(slice_after(line, 1));
		if (!starts_word(note, "subtest"))
			add_note(tap, note);
		return OK;
	}
	tap->in_yaml = indent % INDENT == 2 && slice_is(slice_trim(line), "---");
	return tap->in_yaml ? OK : read_tap_line(tap, line, indent);
}

static enum err read_end(struct tap *tap)
{
	const struct level *top = &tap->levels[0];
	end_notes(tap);
	enum err err = move_to(tap, 0);
	if (err)
		return err;
	if (!top->has_plan && top->ran == 0)
		return fail(ERR_MALFORMED, "no TAP: neither a plan nor a test is in it");
	if (!top->has_plan)
		return fail_at(tap, "it ends without a plan (1..N)");
	return check_plan(tap, top);
}

enum err tap_read(struct report *report, const char *data, size_t size)
{
	struct tap tap = { .report = report,
		           .timed = SIZE_MAX,
		           .last = SIZE_MAX,
		           .levels[0].children = SIZE_MAX };
	struct slice rest = { data, size }, line;
	enum err err = OK;
	if (slice_starts(rest, "\xef\xbb\xbf"))
		rest = slice_after(rest, 3);
	while (!err && slice_line(&rest, &line)) {
		tap.line++;
		err = read_line(&tap, line);
	}
	if (!err)
		err = read_end(&tap);
	text_finish(&tap.notes);
	return err;
}
