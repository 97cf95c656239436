/* YAML to a tree, by libyaml's events: its own document API would resolve aliases, and so let a
 * small file grow without end. */
#include "jobfile/document.h"

#include "base/scoped.h"
#include "base/text.h"

#include <string.h>
#include <yaml.h>

enum { QUOTE_SIZE_MAX = 60 };

struct reader {
	yaml_parser_t parser;
	struct problems *problems;
	size_t nodes;
};

/* What ends the reading, and what does not, at the place of an event or of the parser. */
#define complain_at(reader, mark, ...)                                                             \
	problems_add((reader)->problems, (mark)->line + 1, (mark)->column + 1, __VA_ARGS__)

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
static void complain_encoding(struct problems *problems, const char *text, size_t size)
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
	problems_add(problems, line, column, "not UTF-8 text");
}

static enum err complain_syntax(const struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *problem = parser->problem ? parser->problem : "cannot be read";
	if (parser->error == YAML_READER_ERROR)
		complain_at(reader, &parser->mark, "%s", problem);
	else if (parser->context)
		complain_at(reader, &parser->problem_mark, "%s (%s)", problem, parser->context);
	else
		complain_at(reader, &parser->problem_mark, "%s", problem);
	return ERR_MALFORMED;
}

static enum err next_event(struct reader *reader, yaml_event_t *ret_event)
{
	if (!yaml_parser_parse(&reader->parser, ret_event)) {
		*ret_event = (yaml_event_t){ 0 };
		return complain_syntax(reader);
	}
	return OK;
}

/* People write them without knowing: `branches: !wip` is a tag. */
static bool check_plain(const struct reader *reader, const yaml_event_t *event,
                        const yaml_char_t *tag, const yaml_char_t *anchor)
{
	if (tag)
		complain_at(reader, &event->start_mark,
		            "tags (!...) are not supported; quote a text that begins with !");
	if (anchor)
		complain_at(reader, &event->start_mark,
		            "anchors (&...) are not supported; quote a text that begins with &");
	return !tag && !anchor;
}

/* NULL when there are too many. */
static struct node *new_node(struct reader *reader, const yaml_event_t *event, enum node_kind kind)
{
	if (++reader->nodes > DOCUMENT_NODES_MAX) {
		complain_at(reader, &event->start_mark, "more than %d nodes", DOCUMENT_NODES_MAX);
		return NULL;
	}
	struct node *node = arena_new(reader->problems->arena, sizeof *node);
	node->kind = kind;
	node->line = event->start_mark.line + 1;
	node->column = event->start_mark.column + 1;
	return node;
}

static enum err read_text(struct reader *reader, const yaml_event_t *event, struct node **ret_node)
{
	const char *value = (const char *)event->data.scalar.value;
	size_t size = event->data.scalar.length;
	struct node *node = new_node(reader, event, NODE_TEXT);
	if (!node)
		return ERR_MALFORMED;
	if (!check_plain(reader, event, event->data.scalar.tag, event->data.scalar.anchor)) {
		node->kind = NODE_REFUSED;
	} else if (!text_is_utf8(value, size)) {
		node->kind = NODE_REFUSED;
		complain_at(reader, &event->start_mark, "a text with a NUL character");
	} else {
		node->text = arena_copy(reader->problems->arena, value, size);
		node->size = size;
	}
	*ret_node = node;
	return OK;
}

static enum err read_alias(struct reader *reader, const yaml_event_t *event, struct node **ret_node)
{
	*ret_node = new_node(reader, event, NODE_REFUSED);
	if (!*ret_node)
		return ERR_MALFORMED;
	complain_at(reader, &event->start_mark,
	            "aliases (*...) are not supported; quote a text that begins with *");
	return OK;
}

/* False: the key is a problem, and its value is read for its own problems only. */
static bool check_key(const struct reader *reader, const struct node *map, const struct node *key)
{
	struct problems *problems = reader->problems;
	if (key->kind == NODE_REFUSED)
		return false;
	if (key->kind != NODE_TEXT) {
		document_complain(problems, key, "a key must be a text");
		return false;
	}
	if (strcmp(key->text, "<<") == 0) {
		document_complain(problems, key, "merge keys (<<) are not supported");
		return false;
	}
	for (const struct node *other = map->first; other; other = other->next->next) {
		if (strcmp(other->text, key->text) != 0)
			continue;
		document_complain(problems, key, "duplicate key \"%s\", first in line %zu",
		                  document_quote(problems->arena, key), other->line);
		return false;
	}
	return true;
}

static enum err read_node(struct reader *reader, const yaml_event_t *event, size_t depth,
                          struct node **ret_node);

/* One child; *ret_node is NULL at the end of the parent. */
static enum err read_child(struct reader *reader, yaml_event_type_t end, size_t depth,
                           struct node **ret_node)
{
	scoped(yaml_event_delete) yaml_event_t event = { 0 };
	enum err err = next_event(reader, &event);
	*ret_node = NULL;
	if (err || event.type == end)
		return err;
	return read_node(reader, &event, depth + 1, ret_node);
}

static enum err read_items(struct reader *reader, struct node *list, size_t depth)
{
	struct node **link = &list->first;
	for (;;) {
		enum err err = read_child(reader, YAML_SEQUENCE_END_EVENT, depth, link);
		if (err || !*link)
			return err;
		link = &(*link)->next;
		list->count++;
	}
}

static enum err read_pairs(struct reader *reader, struct node *map, size_t depth)
{
	struct node **link = &map->first;
	for (;;) {
		struct node *key = NULL, *value = NULL;
		enum err err = read_child(reader, YAML_MAPPING_END_EVENT, depth, &key);
		if (err || !key)
			return err;
		if ((err = read_child(reader, YAML_MAPPING_END_EVENT, depth, &value)))
			return err;
		if (!check_key(reader, map, key)) {
			map->lacking = true;
			continue;
		}
		key->next = value;
		*link = key;
		link = &value->next;
		map->count += 2;
	}
}

static enum err read_collection(struct reader *reader, const yaml_event_t *event, size_t depth,
                                struct node **ret_node)
{
	bool map = event->type == YAML_MAPPING_START_EVENT;
	if (depth > DOCUMENT_DEPTH_MAX) {
		complain_at(reader, &event->start_mark, "nested deeper than %d levels",
		            DOCUMENT_DEPTH_MAX);
		return ERR_MALFORMED;
	}
	struct node *node = new_node(reader, event, map ? NODE_MAP : NODE_LIST);
	if (!node)
		return ERR_MALFORMED;
	if (map)
		check_plain(reader, event, event->data.mapping_start.tag,
		            event->data.mapping_start.anchor);
	else
		check_plain(reader, event, event->data.sequence_start.tag,
		            event->data.sequence_start.anchor);
	*ret_node = node;
	return map ? read_pairs(reader, node, depth) : read_items(reader, node, depth);
}

static enum err read_node(struct reader *reader, const yaml_event_t *event, size_t depth,
                          struct node **ret_node)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT: return read_text(reader, event, ret_node);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT: return read_collection(reader, event, depth, ret_node);
	case YAML_ALIAS_EVENT: return read_alias(reader, event, ret_node);
	default:
		complain_at(reader, &event->start_mark, "unexpected content");
		return ERR_MALFORMED;
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
			if (++documents == 1)
				break;
			complain_at(reader, &event.start_mark, "only one document is allowed");
			return ERR_MALFORMED;
		default:
			if ((err = read_node(reader, &event, 1, ret_root)))
				return err;
		}
	}
}

enum err document_parse(const char *text, size_t size, struct problems *problems,
                        struct node **ret_root)
{
	struct reader reader = { .problems = problems };
	*ret_root = NULL;
	if (size > DOCUMENT_SIZE_MAX) {
		problems_add(problems, 1, 1, "the file is over %d KiB", DOCUMENT_SIZE_MAX / 1024);
		return ERR_MALFORMED;
	}
	if (!text_is_utf8(text, size)) {
		complain_encoding(problems, text, size);
		return ERR_MALFORMED;
	}
	if (!yaml_parser_initialize(&reader.parser))
		return fail(ERR_SYSTEM, "%s: no memory for the YAML parser", problems->file_name);
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
	enum err err = read_stream(&reader, ret_root);
	yaml_parser_delete(&reader.parser);
	return err;
}
