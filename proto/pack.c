/* Structs to msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md), by msgpack-c. */
#include "proto/schema.h"

#include "base/memory.h"

#include <assert.h>
#include <msgpack.h>
#include <string.h>

enum { SIZE_USUAL = 512 }; /* of most messages: their text does not grow piece by piece */

/* For msgpack-c, which brings two pieces for each key and each value. */
static int write_text(void *data, const char *bytes, size_t size)
{
	struct text *text = data;
	if (text->capacity - text->size <= size) {
		text_add_bytes(text, bytes, size);
		return 0;
	}
	memcpy(text->data + text->size, bytes, size);
	text->size += size;
	text->data[text->size] = 0;
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

static void pack_word(msgpack_packer *packer, const char *word, size_t size)
{
	msgpack_pack_str(packer, size);
	msgpack_pack_str_body(packer, word, size);
}

static void pack_text(msgpack_packer *packer, const char *text, uint64_t least, uint64_t most)
{
	size_t size = text ? strlen(text) : 0;
	assert(size >= least); /* the receiver would refuse it */
	assert(size <= most);
	pack_word(packer, text ? text : "", size);
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

/* `type`: of a message, whose name goes first. */
static void pack_record(msgpack_packer *packer, const struct schema *schema, const void *record,
                        const char *type)
{
	uint64_t present = 0; /* by place: there are at most 64 */
	for (size_t i = 0; schema->fields[i].kind; i++)
		if (!is_absent(&schema->fields[i], record))
			present |= (uint64_t)1 << i;
	msgpack_pack_map(packer, (size_t)__builtin_popcountll(present) + (type ? 1 : 0));
	if (type) {
		pack_word(packer, "type", 4);
		pack_word(packer, type, schema->name_size);
	}
	for (size_t i = 0; schema->fields[i].kind; i++) {
		const struct field *field = &schema->fields[i];
		if (!(present >> i & 1))
			continue;
		pack_word(packer, field->name, field->name_size);
		pack_value(packer, field, record);
	}
}

static void start(msgpack_packer *packer, struct text *body)
{
	memory_reserve((void **)&body->data, &body->capacity, body->size + SIZE_USUAL, 1);
	msgpack_packer_init(packer, body, write_text);
}

void message_pack(const struct message *message, struct text *body)
{
	const struct schema *schema = schema_of_message(message->type);
	assert(schema);
	msgpack_packer packer;
	start(&packer, body);
	pack_record(&packer, schema, (const char *)message + offsetof(struct message, hello),
	            schema->name);
}

void record_pack(enum record_type type, const void *record, struct text *body)
{
	msgpack_packer packer;
	start(&packer, body);
	pack_record(&packer, schema_of_record(type), record, NULL);
}
