/* JUnit XML, which nobody ever defined: what its writers agree on is read, the rest is passed over.
 * Expat reads the XML; a DOCTYPE is refused, so there are no entities but XML's own. */
#include "base/memory.h"
#include "base/scoped.h"
#include "report/parts.h"

#include <expat.h>
#include <string.h>

enum { CHARACTER_MAX = 4 };

struct junit {
	struct report *report;
	XML_Parser parser;
	size_t depth;
	struct text suites[REPORT_DEPTH_MAX + 1]; /* names of the suites that are open, from 1 */
	size_t suite_depth;

	/* The test that is open. */
	bool in_case;
	struct text suite, name;
	struct text message, detail; /* an attribute, and what the element holds */
	int64_t time_ms;
	const char *outcome;
	bool is_todo;      /* it may fail */
	size_t text_depth; /* of the element that says more; 0: none does */

	enum err err;
	char *why;
};

static void stop(struct junit *junit, const char *why)
{
	if (junit->err)
		return;
	junit->err = ERR_MALFORMED;
	junit->why = memory_copy_text(why);
	XML_StopParser(junit->parser, XML_FALSE);
}

static const char *attribute(const char **attributes, const char *name)
{
	for (size_t i = 0; attributes[i]; i += 2)
		if (strcmp(attributes[i], name) == 0)
			return attributes[i + 1];
	return NULL;
}

static const char *local_name(const char *name)
{
	const char *colon = strrchr(name, ':');
	return colon ? colon + 1 : name;
}

/* A character more than is kept, so that none is cut in two here. */
static void set(struct text *text, const char *content, size_t most)
{
	text_clear(text);
	if (content)
		text_add_bytes(text, content, strnlen(content, most + CHARACTER_MAX));
}

/* ---- tests --------------------------------------------------------------------------------- */

/* Most writers begin the detail with the message. */
static void join_message(struct junit *junit)
{
	struct slice message = slice_trim(slice_of_text(&junit->message));
	struct slice detail = slice_trim(slice_of_text(&junit->detail));
	if (!detail.size)
		return;
	if (!message.size || memmem(detail.data, detail.size, message.data, message.size))
		text_clear(&junit->message);
	else
		text_add(&junit->message, "\n");
	text_add_bytes(&junit->message, detail.data, detail.size);
}

static void end_case(struct junit *junit)
{
	if (!junit->in_case)
		return;
	join_message(junit);
	junit->in_case = false;
	junit->text_depth = 0;
	struct finding finding = {
		.suite = slice_of_text(&junit->suite),
		.name = slice_of_text(&junit->name),
		.outcome = junit->outcome,
		.time_ms = junit->time_ms,
		.message = slice_of_text(&junit->message),
	};
	if (report_add(junit->report, &finding) != OK)
		stop(junit, error_text());
}

static const char *open_suite(const struct junit *junit)
{
	for (size_t i = junit->suite_depth; i > 0; i--)
		if (junit->suites[i].size)
			return junit->suites[i].data;
	return NULL;
}

/* GoogleTest says of those that it did not run that they were not. */
static bool was_not_run(const char **attributes)
{
	static const char *const words[] = { "notrun", "skipped", "suppressed", "disabled" };
	const char *status = attribute(attributes, "status");
	const char *result = attribute(attributes, "result");
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if ((status && strcmp(status, words[i]) == 0) ||
		    (result && strcmp(result, words[i]) == 0))
			return true;
	return false;
}

static void start_case(struct junit *junit, const char **attributes)
{
	end_case(junit);
	const char *class = attribute(attributes, "classname");
	const char *name = attribute(attributes, "name");
	const char *time = attribute(attributes, "time");
	junit->in_case = true;
	junit->is_todo = false;
	junit->outcome = was_not_run(attributes) ? REPORT_SKIPPED : REPORT_PASSED;
	junit->time_ms = time ? report_time_ms(slice_of(time), 1000) : 0;
	set(&junit->suite, class && *class ? class : open_suite(junit), REPORT_NAME_MAX);
	set(&junit->name, name && *name ? name : class, REPORT_NAME_MAX);
	text_clear(&junit->message);
	text_clear(&junit->detail);
}

/* A suite that broke with no test to blame is one. */
static void start_case_of_suite(struct junit *junit)
{
	static const char *none[] = { NULL };
	start_case(junit, none);
	set(&junit->name, open_suite(junit), REPORT_NAME_MAX);
}

/* The first thing that went wrong is what is kept; to be skipped is less than that. */
static void mark_case(struct junit *junit, const char *outcome, const char **attributes)
{
	bool skips = strcmp(outcome, REPORT_SKIPPED) == 0;
	if (!junit->in_case && skips)
		return;
	if (!junit->in_case)
		start_case_of_suite(junit);
	const char *type = attribute(attributes, "type");
	bool is_first = strcmp(junit->outcome, REPORT_PASSED) == 0 ||
	                (strcmp(junit->outcome, REPORT_SKIPPED) == 0 && !skips && !junit->is_todo);
	junit->is_todo |= skips && type && strcmp(type, "todo") == 0;
	if (!is_first)
		return;
	const char *message = attribute(attributes, "message");
	junit->outcome = outcome;
	set(&junit->message, message, REPORT_MESSAGE_MAX);
	text_clear(&junit->detail);
	junit->text_depth = junit->depth;
}

/* ---- elements ------------------------------------------------------------------------------ */

static void start_suite(struct junit *junit, const char **attributes)
{
	end_case(junit);
	set(&junit->suites[++junit->suite_depth], attribute(attributes, "name"), REPORT_NAME_MAX);
}

static void check_root(struct junit *junit, const char *name)
{
	static const char *const roots[] = { "testsuites", "testsuite", "testcase" };
	for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
		if (strcmp(name, roots[i]) == 0)
			return;
	scoped(free_text) char *why = text_format("no JUnit report: it begins with <%.40s>", name);
	stop(junit, why);
}

/* Names of suites cannot outnumber the elements that are open. */
static void XMLCALL start_element(void *user, const char *element, const char **attributes)
{
	struct junit *junit = user;
	const char *name = local_name(element);
	if (junit->depth++ == 0)
		check_root(junit, name);
	if (junit->depth > REPORT_DEPTH_MAX)
		stop(junit, "elements are nested too deeply");
	if (junit->err)
		return; /* expat may call on for a moment */
	if (strcmp(name, "testsuite") == 0)
		start_suite(junit, attributes);
	else if (strcmp(name, "testcase") == 0)
		start_case(junit, attributes);
	else if (strcmp(name, "failure") == 0)
		mark_case(junit, REPORT_FAILED, attributes);
	else if (strcmp(name, "error") == 0)
		mark_case(junit, REPORT_ERROR, attributes);
	else if (strcmp(name, "skipped") == 0)
		mark_case(junit, REPORT_SKIPPED, attributes);
}

static void XMLCALL end_element(void *user, const char *element)
{
	struct junit *junit = user;
	const char *name = local_name(element);
	if (junit->err)
		return;
	if (junit->text_depth == junit->depth)
		junit->text_depth = 0;
	junit->depth--;
	if (strcmp(name, "testcase") == 0) {
		end_case(junit);
	} else if (strcmp(name, "testsuite") == 0) {
		end_case(junit);
		junit->suite_depth--;
	}
}

static void XMLCALL add_text(void *user, const char *data, int size)
{
	struct junit *junit = user;
	size_t most = REPORT_MESSAGE_MAX + CHARACTER_MAX, left = most - junit->detail.size;
	if (junit->text_depth)
		text_add_bytes(&junit->detail, data, (size_t)size < left ? (size_t)size : left);
}

static void XMLCALL refuse_doctype(void *user, const char *name, const char *system_id,
                                   const char *public_id, int has_internal)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_internal;
	stop(user, "a DOCTYPE is refused");
}

/* Expat knows UTF-8, UTF-16, Latin 1 and ASCII. Of the others one is met: what Windows writes. */
static int XMLCALL know_encoding(void *user, const char *name, XML_Encoding *encoding)
{
	static const int upper[32] = { 0x20ac, -1,     0x201a, 0x192,  0x201e, 0x2026, 0x2020,
		                       0x2021, 0x2c6,  0x2030, 0x160,  0x2039, 0x152,  -1,
		                       0x17d,  -1,     -1,     0x2018, 0x2019, 0x201c, 0x201d,
		                       0x2022, 0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a,
		                       0x153,  -1,     0x17e,  0x178 };
	(void)user;
	if (strcasecmp(name, "windows-1252") != 0 && strcasecmp(name, "cp1252") != 0)
		return XML_STATUS_ERROR;
	for (int i = 0; i < 256; i++)
		encoding->map[i] = i >= 0x80 && i < 0xa0 ? upper[i - 0x80] : i;
	encoding->data = NULL;
	encoding->convert = NULL;
	encoding->release = NULL;
	return XML_STATUS_OK;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static enum err parse(struct junit *junit, const char *data, size_t size)
{
	XML_SetUserData(junit->parser, junit);
	XML_SetElementHandler(junit->parser, start_element, end_element);
	XML_SetCharacterDataHandler(junit->parser, add_text);
	XML_SetStartDoctypeDeclHandler(junit->parser, refuse_doctype);
	XML_SetUnknownEncodingHandler(junit->parser, know_encoding, NULL);
	bool is_read = XML_Parse(junit->parser, data, (int)size, 1) == XML_STATUS_OK;
	if (is_read && !junit->err)
		return OK;
	const char *why =
		junit->why ? junit->why : XML_ErrorString(XML_GetErrorCode(junit->parser));
	return fail(ERR_MALFORMED, "line %lu: %s",
	            (unsigned long)XML_GetCurrentLineNumber(junit->parser), why);
}

enum err junit_read(struct report *report, const char *data, size_t size)
{
	scoped(text_finish) struct text cleaned = { 0 };
	struct junit junit = { .report = report, .parser = XML_ParserCreate(NULL) };
	if (!junit.parser)
		return fail(ERR_SYSTEM, "out of memory");
	bool is_cleaned = clean_xml(data, size, &cleaned);
	enum err err =
		parse(&junit, is_cleaned ? cleaned.data : data, is_cleaned ? cleaned.size : size);
	XML_ParserFree(junit.parser);
	for (size_t i = 0; i <= REPORT_DEPTH_MAX; i++)
		text_finish(&junit.suites[i]);
	text_finish(&junit.suite);
	text_finish(&junit.name);
	text_finish(&junit.message);
	text_finish(&junit.detail);
	free(junit.why);
	return err;
}
