/* Messages as one line of text, for traces and debug logs. */
#include "proto/schema.h"

#include <string.h>

static void print_record(const struct schema *schema, const void *record, struct text *line);

/* A text may have lines; the whole of it stays one. */
static void print_text(const char *text, struct text *line)
{
	size_t before = line->size;
	text_add_printable(line, text ? text : "", text ? strlen(text) : 0);
	text_make_line(line->data + before, line->size - before);
}

static void print_list(const struct field *field, const void *record, struct text *line)
{
	const char *base = record;
	size_t count = *(const size_t *)(const void *)(base + field->count_offset);
	const void *at = base + field->offset;
	text_add(line, "[");
	for (size_t i = 0; i < count; i++) {
		text_add(line, i ? " " : "");
		if (field->kind == KIND_words) {
			print_text((*(const char *const *const *)at)[i], line);
			continue;
		}
		const struct schema *item = schema_of_record(field->record);
		text_add(line, "{");
		print_record(item, (const char *)*(const void *const *)at + i * item->size, line);
		text_add(line, "}");
	}
	text_add(line, "]");
}

static void print_field(const struct field *field, const void *record, struct text *line)
{
	const void *at = (const char *)record + field->offset;
	switch (field->kind) {
	case KIND_END: break;
	case KIND_u32: text_addf(line, "%u", *(const uint32_t *)at); break;
	case KIND_u64: text_addf(line, "%llu", (unsigned long long)*(const uint64_t *)at); break;
	case KIND_ms: text_addf(line, "%lld", (long long)*(const int64_t *)at); break;
	case KIND_flag: text_add(line, *(const bool *)at ? "yes" : "no"); break;
	case KIND_outcome: text_add(line, outcome_text(*(const enum outcome *)at)); break;
	case KIND_text:
	case KIND_name:
	case KIND_commit:
	case KIND_ref: print_text(*(const char *const *)at, line); break;
	case KIND_bytes:
	case KIND_raw: text_addf(line, "(%zu bytes)", ((const struct bytes *)at)->size); break;
	case KIND_list:
	case KIND_words: print_list(field, record, line); break;
	case KIND_one:
		text_add(line, "{");
		print_record(schema_of_record(field->record), *(void *const *)at, line);
		text_add(line, "}");
		break;
	}
}

static bool is_empty(const struct field *field, const void *record)
{
	const char *at = (const char *)record + field->offset;
	if (field->required)
		return false;
	switch (field->kind) {
	case KIND_u32:
	case KIND_outcome: return *(const uint32_t *)(const void *)at == 0;
	case KIND_flag: return !*(const bool *)at;
	case KIND_list:
	case KIND_words:
		return *(const size_t *)(const void *)((const char *)record +
		                                       field->count_offset) == 0;
	case KIND_bytes:
	case KIND_raw: return ((const struct bytes *)(const void *)at)->size == 0;
	case KIND_u64:
	case KIND_ms: return *(const uint64_t *)(const void *)at == 0;
	default: {
		const char *text = *(const char *const *)(const void *)at;
		return !text || !*text;
	}
	}
}

static void print_record(const struct schema *schema, const void *record, struct text *line)
{
	bool first = true;
	for (const struct field *field = schema->fields; field->kind; field++) {
		if (is_empty(field, record))
			continue;
		text_addf(line, "%s%s=", first ? "" : " ", field->name);
		print_field(field, record, line);
		first = false;
	}
}

void record_print(enum record_type type, const void *record, struct text *line)
{
	print_record(schema_of_record(type), record, line);
}

void message_print(const struct message *message, struct text *line)
{
	const struct schema *schema = schema_of_message(message->type);
	text_add(line, message_type_text(message->type));
	if (!schema || !schema->fields[0].kind)
		return;
	text_add(line, " ");
	print_record(schema, (const char *)message + offsetof(struct message, hello), line);
}
