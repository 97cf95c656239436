/* Structs to msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md), by msgpack-c. */
#include "proto/schema.h"

#include <assert.h>
#include <msgpack.h>
#include <string.h>

static int write_text(void *data, const char *bytes, size_t size)
{
	text_add_bytes(data, bytes, size);
	return 0;
}

static const char *text_at(const struct field *field, const void *record)
{
	return *(const char *const *)((const char *)record + field->offset);
}

static size_t count_at(const struct field *field, const void *record)
{
	return *(const size_t *)(const void *)((const char *)record + field->count_offset);
}

/* The value of a number, whatever its width. */
static uint64_t number_at(const struct field *field, const void *record)
{
	const void *at = (const char *)record + field->offset;
	switch (field->kind) {
	case KIND_u32: return *(const uint32_t *)at;
	case KIND_u64: return *(const uint64_t *)at;
	case KIND_ms: {
		int64_t ms = *(const int64_t *)at;
		return ms > 0 ? (uint64_t)ms : 0;
	}
	case KIND_flag: return *(const bool *)at;
	case KIND_outcome: return *(const enum outcome *)at;
	default: return 0;
	}
}

/* Absent on the wire: an optional key that has no value. */
static bool is_absent(const struct field *field, const void *record)
{
	if (field->required)
		return false;
	switch (field->kind) {
	case KIND_text:
	case KIND_name:
	case KIND_commit:
	case KIND_ref: {
		const char *text = text_at(field, record);
		return !text || !*text;
	}
	case KIND_bytes:
	case KIND_raw:
		return ((const struct bytes *)(const void *)((const char *)record + field->offset))
		               ->size == 0;
	case KIND_list:
	case KIND_words: return count_at(field, record) == 0;
	default: return number_at(field, record) == 0;
	}
}

static void pack_text(msgpack_packer *packer, const char *text, uint64_t least, uint64_t most)
{
	size_t size = text ? strlen(text) : 0;
	assert(size >= least); /* the receiver would refuse it */
	assert(size <= most);
	msgpack_pack_str(packer, size);
	msgpack_pack_str_body(packer, text ? text : "", size);
}

static void pack_record(msgpack_packer *packer, const struct schema *schema, const void *record,
                        const char *type);

static void pack_array(msgpack_packer *packer, const struct field *field, const void *record)
{
	const char *at = (const char *)record + field->offset;
	size_t count = count_at(field, record);
	assert(count <= field->items);
	msgpack_pack_array(packer, count);
	if (field->kind == KIND_words) {
		const char *const *words = *(const char *const *const *)(const void *)at;
		for (size_t i = 0; i < count; i++)
			pack_text(packer, words[i], field->least, field->most);
		return;
	}
	const struct schema *item = schema_of_record(field->record);
	const char *items = *(const void *const *)(const void *)at;
	for (size_t i = 0; i < count; i++)
		pack_record(packer, item, items + i * item->size, NULL);
}

static void pack_value(msgpack_packer *packer, const struct field *field, const void *record)
{
	const char *at = (const char *)record + field->offset;
	const struct bytes *bytes = (const void *)at;
	switch (field->kind) {
	case KIND_END: break;
	case KIND_flag:
		number_at(field, record) ? msgpack_pack_true(packer) : msgpack_pack_false(packer);
		break;
	case KIND_u32:
	case KIND_u64:
	case KIND_ms:
		assert(number_at(field, record) >= field->least &&
		       number_at(field, record) <= field->most);
		msgpack_pack_uint64(packer, number_at(field, record));
		break;
	case KIND_outcome:
		pack_text(packer, outcome_text((enum outcome)number_at(field, record)), 1, 64);
		break;
	case KIND_text:
	case KIND_name:
	case KIND_commit:
	case KIND_ref: pack_text(packer, text_at(field, record), field->least, field->most); break;
	case KIND_bytes:
		assert(bytes->size >= field->least);
		assert(bytes->size <= field->most);
		msgpack_pack_bin(packer, bytes->size);
		msgpack_pack_bin_body(packer, bytes->data, bytes->size);
		break;
	case KIND_raw: packer->callback(packer->data, bytes->data, bytes->size); break;
	case KIND_list:
	case KIND_words: pack_array(packer, field, record); break;
	case KIND_one:
		pack_record(packer, schema_of_record(field->record),
		            *(void *const *)(const void *)at, NULL);
		break;
	}
}

static void pack_record(msgpack_packer *packer, const struct schema *schema, const void *record,
                        const char *type)
{
	size_t count = type ? 1 : 0;
	for (const struct field *field = schema->fields; field->kind; field++)
		count += !is_absent(field, record);
	msgpack_pack_map(packer, count);
	if (type) {
		pack_text(packer, "type", 1, 64);
		pack_text(packer, type, 1, 64);
	}
	for (const struct field *field = schema->fields; field->kind; field++) {
		if (is_absent(field, record))
			continue;
		pack_text(packer, field->name, 1, 64);
		pack_value(packer, field, record);
	}
}

void message_pack(const struct message *message, struct text *body)
{
	const struct schema *schema = schema_of_message(message->type);
	assert(schema);
	msgpack_packer packer;
	msgpack_packer_init(&packer, body, write_text);
	pack_record(&packer, schema, (const char *)message + offsetof(struct message, hello),
	            schema->name);
}

void record_pack(enum record_type type, const void *record, struct text *body)
{
	msgpack_packer packer;
	msgpack_packer_init(&packer, body, write_text);
	pack_record(&packer, schema_of_record(type), record, NULL);
}
