/* YAML to a tree, by libyaml's events: its own document API would resolve aliases, and so let a
 * small file grow without end. */
#include "jobfile/document.h"

#include "base/scoped.h"
#include "base/text.h"

#include <stdarg.h>
#include <string.h>
#include <yaml.h>

enum { QUOTE_SIZE_MAX = 60 };

struct reader {
	yaml_parser_t parser;
	const char *file_name;
	struct arena *arena;
	size_t nodes;
};

__attribute__((format(printf, 4, 0))) static enum err
fail_line(const char *file_name, size_t line, size_t column, const char *format, va_list args)
{
	char why[512];
	vsnprintf(why, sizeof why, format, args);
	return fail(ERR_MALFORMED, "%s:%zu:%zu: %s", file_name, line, column, why);
}

static enum err fail_mark(const struct reader *reader, const yaml_mark_t *mark, const char *format,
                          ...) __attribute__((format(printf, 3, 4)));

static enum err fail_mark(const struct reader *reader, const yaml_mark_t *mark, const char *format,
                          ...)
{
	va_list args;
	va_start(args, format);
	enum err err = fail_line(reader->file_name, mark->line + 1, mark->column + 1, format, args);
	va_end(args);
	return err;
}

enum err document_fail(const char *file_name, const struct node *node, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	enum err err = fail_line(file_name, node->line, node->column, format, args);
	va_end(args);
	return err;
}

const char *document_quote(struct arena *arena, const struct node *node)
{
	scoped(text_finish) struct text quote = { 0 };
	size_t size = text_cut(node->text, node->size, QUOTE_SIZE_MAX);
	text_add_printable(&quote, node->text, size);
	if (size < node->size)
		text_add(&quote, "...");
	for (size_t i = 0; i < quote.size; i++)
		if (quote.data[i] == '\n' || quote.data[i] == '\t')
			quote.data[i] = ' ';
	return arena_copy(arena, quote.data, quote.size);
}

/* The line and column of the first byte that is no UTF-8. */
static enum err fail_encoding(const char *file_name, const char *text, size_t size)
{
	size_t good = 0, line = 1, column = 1;
	for (size_t step = 1; good < size; good += step) {
		for (step = 1; step <= 4 && good + step <= size; step++)
			if (text_is_utf8(text + good, step))
				break;
		if (step > 4 || good + step > size)
			break;
		column = text[good] == '\n' ? 1 : column + 1;
		line += text[good] == '\n';
	}
	return fail(ERR_MALFORMED, "%s:%zu:%zu: not UTF-8 text", file_name, line, column);
}

static enum err fail_syntax(const struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *problem = parser->problem ? parser->problem : "cannot be read";
	if (parser->error == YAML_READER_ERROR)
		return fail_mark(reader, &parser->mark, "%s", problem);
	if (parser->context)
		return fail_mark(reader, &parser->problem_mark, "%s (%s)", problem,
		                 parser->context);
	return fail_mark(reader, &parser->problem_mark, "%s", problem);
}

static enum err next_event(struct reader *reader, yaml_event_t *ret_event)
{
	if (!yaml_parser_parse(&reader->parser, ret_event)) {
		*ret_event = (yaml_event_t){ 0 };
		return fail_syntax(reader);
	}
	return OK;
}

static enum err check_plain(const struct reader *reader, const yaml_event_t *event,
                            const yaml_char_t *tag, const yaml_char_t *anchor)
{
	if (tag)
		return fail_mark(reader, &event->start_mark, "tags (!...) are not supported");
	if (anchor)
		return fail_mark(reader, &event->start_mark, "anchors (&...) are not supported");
	return OK;
}

/* NULL when there are too many. */
static struct node *new_node(struct reader *reader, const yaml_event_t *event, enum node_kind kind)
{
	if (++reader->nodes > DOCUMENT_NODES_MAX) {
		fail_mark(reader, &event->start_mark, "more than %d nodes", DOCUMENT_NODES_MAX);
		return NULL;
	}
	struct node *node = arena_new(reader->arena, sizeof *node);
	node->kind = kind;
	node->line = event->start_mark.line + 1;
	node->column = event->start_mark.column + 1;
	return node;
}

static enum err read_text(struct reader *reader, const yaml_event_t *event, struct node **ret_node)
{
	const char *value = (const char *)event->data.scalar.value;
	size_t size = event->data.scalar.length;
	enum err err =
		check_plain(reader, event, event->data.scalar.tag, event->data.scalar.anchor);
	if (err)
		return err;
	if (!text_is_utf8(value, size))
		return fail_mark(reader, &event->start_mark, "a text with a NUL character");
	struct node *node = new_node(reader, event, NODE_TEXT);
	if (!node)
		return ERR_MALFORMED;
	node->text = arena_copy(reader->arena, value, size);
	node->size = size;
	*ret_node = node;
	return OK;
}

static enum err check_key(const struct reader *reader, const struct node *map,
                          const struct node *key)
{
	if (key->kind != NODE_TEXT)
		return document_fail(reader->file_name, key, "a key must be a text");
	if (strcmp(key->text, "<<") == 0)
		return document_fail(reader->file_name, key, "merge keys (<<) are not supported");
	for (const struct node *other = map->first; other != key; other = other->next->next)
		if (strcmp(other->text, key->text) == 0)
			return document_fail(reader->file_name, key,
			                     "duplicate key \"%s\", first in line %zu",
			                     document_quote(reader->arena, key), other->line);
	return OK;
}

static enum err read_node(struct reader *reader, const yaml_event_t *event, size_t depth,
                          struct node **ret_node);

static enum err read_children(struct reader *reader, struct node *parent, size_t depth)
{
	yaml_event_type_t end =
		parent->kind == NODE_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	struct node **link = &parent->first;
	for (;;) {
		scoped(yaml_event_delete) yaml_event_t event = { 0 };
		enum err err = next_event(reader, &event);
		if (err || event.type == end)
			return err;
		if ((err = read_node(reader, &event, depth + 1, link)))
			return err;
		if (parent->kind == NODE_MAP && parent->count % 2 == 0 &&
		    (err = check_key(reader, parent, *link)))
			return err;
		link = &(*link)->next;
		parent->count++;
	}
}

static enum err read_collection(struct reader *reader, const yaml_event_t *event, size_t depth,
                                struct node **ret_node)
{
	bool map = event->type == YAML_MAPPING_START_EVENT;
	enum err err = map ? check_plain(reader, event, event->data.mapping_start.tag,
	                                 event->data.mapping_start.anchor)
	                   : check_plain(reader, event, event->data.sequence_start.tag,
	                                 event->data.sequence_start.anchor);
	if (err)
		return err;
	if (depth > DOCUMENT_DEPTH_MAX)
		return fail_mark(reader, &event->start_mark, "nested deeper than %d levels",
		                 DOCUMENT_DEPTH_MAX);
	struct node *node = new_node(reader, event, map ? NODE_MAP : NODE_LIST);
	if (!node)
		return ERR_MALFORMED;
	*ret_node = node;
	return read_children(reader, node, depth);
}

static enum err read_node(struct reader *reader, const yaml_event_t *event, size_t depth,
                          struct node **ret_node)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT: return read_text(reader, event, ret_node);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT: return read_collection(reader, event, depth, ret_node);
	case YAML_ALIAS_EVENT:
		return fail_mark(reader, &event->start_mark, "aliases (*...) are not supported");
	default: return fail_mark(reader, &event->start_mark, "unexpected content");
	}
}

static enum err read_stream(struct reader *reader, struct node **ret_root)
{
	for (size_t documents = 0;;) {
		scoped(yaml_event_delete) yaml_event_t event = { 0 };
		enum err err = next_event(reader, &event);
		if (err || event.type == YAML_STREAM_END_EVENT)
			return err;
		switch (event.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT: break;
		case YAML_DOCUMENT_START_EVENT:
			if (++documents > 1)
				return fail_mark(reader, &event.start_mark,
				                 "only one document is allowed");
			break;
		default:
			if ((err = read_node(reader, &event, 1, ret_root)))
				return err;
		}
	}
}

enum err document_parse(const char *file_name, const char *text, size_t size, struct arena *arena,
                        struct node **ret_root)
{
	if (size > DOCUMENT_SIZE_MAX)
		return fail(ERR_MALFORMED, "%s:1:1: the file is over %d KiB", file_name,
		            DOCUMENT_SIZE_MAX / 1024);
	if (!text_is_utf8(text, size))
		return fail_encoding(file_name, text, size);
	struct reader reader = { .file_name = file_name, .arena = arena };
	struct node *root = NULL;
	if (!yaml_parser_initialize(&reader.parser))
		return fail(ERR_SYSTEM, "%s: no memory for the YAML parser", file_name);
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
	enum err err = read_stream(&reader, &root);
	yaml_parser_delete(&reader.parser);
	if (!err)
		*ret_root = root;
	return err;
}
