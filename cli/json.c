/* A small streaming JSON writer, and records by their schema. */
#include "cli/json.h"

#include "base/clock.h"
#include "proto/schema.h"

#include <inttypes.h>
#include <string.h>

struct json json_start(FILE *file)
{
	return (struct json){ .file = file };
}

void json_finish(struct json *json)
{
	fputc('\n', json->file);
	fflush(json->file);
	json->comma = false;
}

static void separate(struct json *json)
{
	if (json->comma)
		fputs(", ", json->file);
	json->comma = true;
}

void json_open(struct json *json, char bracket)
{
	separate(json);
	fputc(bracket, json->file);
	json->comma = false;
}

void json_close(struct json *json, char bracket)
{
	fputc(bracket, json->file);
	json->comma = true;
}

void json_key(struct json *json, const char *key)
{
	separate(json);
	fprintf(json->file, "\"%s\": ", key);
	json->comma = false;
}

void json_number(struct json *json, uint64_t number)
{
	separate(json);
	fprintf(json->file, "%" PRIu64, number);
}

void json_flag(struct json *json, bool flag)
{
	separate(json);
	fputs(flag ? "true" : "false", json->file);
}

/* The bytes of the well-formed character at `data`; 0 when there is none. */
static size_t character_size(const char *data, size_t left)
{
	unsigned char lead = (unsigned char)data[0];
	size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	return size <= left && text_is_utf8(data, size) ? size : 0;
}

/* C1 controls move a terminal's cursor as well as C0 ones do. */
static bool is_c1_control(const char *data, size_t size)
{
	return size == 2 && (unsigned char)data[0] == 0xc2 && (unsigned char)data[1] < 0xa0;
}

static size_t put_character(FILE *file, const char *data, size_t left)
{
	unsigned char byte = (unsigned char)data[0];
	if (byte < 0x20 || byte == 0x7f) {
		fprintf(file, byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : "\\u%04x", byte);
		return 1;
	}
	size_t size = character_size(data, left);
	if (size == 0)
		fputs("\\ufffd", file);
	else if (is_c1_control(data, size))
		fprintf(file, "\\u%04x", (unsigned char)data[1]);
	else if (byte == '"' || byte == '\\')
		fprintf(file, "\\%c", byte);
	else
		fwrite(data, 1, size, file);
	return size ? size : 1;
}

void json_bytes(struct json *json, const char *data, size_t size)
{
	separate(json);
	fputc('"', json->file);
	for (size_t i = 0; i < size;)
		i += put_character(json->file, data + i, size - i);
	fputc('"', json->file);
}

void json_text(struct json *json, const char *text)
{
	if (text) {
		json_bytes(json, text, strlen(text));
		return;
	}
	separate(json);
	fputs("null", json->file);
}

void json_time(struct json *json, int64_t wall_ms)
{
	char text[CLOCK_TEXT_SIZE];
	json_text(json, wall_ms > 0 ? clock_text(wall_ms, text) : NULL);
}

static bool is_time(const char *name)
{
	size_t size = strlen(name);
	return size < 3 || strcmp(name + size - 3, "_ms") != 0;
}

static void write_record(struct json *json, const struct schema *schema, const void *record);

static void write_list(struct json *json, const struct field *field, const char *record)
{
	size_t count = *(const size_t *)(const void *)(record + field->count_offset);
	const void *at = record + field->offset;
	json_open(json, '[');
	for (size_t i = 0; i < count; i++) {
		if (field->kind == KIND_words) {
			json_text(json, (*(const char *const *const *)at)[i]);
			continue;
		}
		const struct schema *item = schema_of_record(field->record);
		write_record(json, item, *(const char *const *)at + i * item->size);
	}
	json_close(json, ']');
}

static void write_field(struct json *json, const struct field *field, const char *record)
{
	const void *at = record + field->offset;
	const struct bytes *bytes = at;
	switch (field->kind) {
	case KIND_END: break;
	case KIND_u32: json_number(json, *(const uint32_t *)at); break;
	case KIND_u64: json_number(json, *(const uint64_t *)at); break;
	case KIND_flag: json_flag(json, *(const bool *)at); break;
	case KIND_text:
	case KIND_name:
	case KIND_commit:
	case KIND_ref: json_text(json, *(const char *const *)at); break;
	case KIND_bytes:
	case KIND_raw: json_bytes(json, bytes->data, bytes->size); break;
	case KIND_list:
	case KIND_words: write_list(json, field, record); break;
	case KIND_one:
		write_record(json, schema_of_record(field->record), *(void *const *)at);
		break;
	case KIND_ms:
		if (is_time(field->name))
			json_time(json, *(const int64_t *)at);
		else
			json_number(json, (uint64_t) * (const int64_t *)at);
		break;
	case KIND_outcome: {
		enum outcome outcome = *(const enum outcome *)at;
		json_text(json, outcome ? outcome_text(outcome) : NULL);
		break;
	}
	}
}

static void write_record(struct json *json, const struct schema *schema, const void *record)
{
	json_open(json, '{');
	for (const struct field *field = schema->fields; field->kind; field++) {
		json_key(json, field->name);
		write_field(json, field, record);
	}
	json_close(json, '}');
}

void json_record(struct json *json, enum record_type type, const void *record)
{
	write_record(json, schema_of_record(type), record);
}

void json_print(enum record_type type, const void *record)
{
	struct json json = json_start(stdout);
	json_record(&json, type, record);
	json_finish(&json);
}

void json_message(struct json *json, struct message *message)
{
	write_record(json, schema_of_message(message->type), schema_message_body(message));
}
