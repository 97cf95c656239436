/* Samples of every message and record, made from the schema tables. */
#include "tests/proto/sample.h"

#include "base/memory.h"
#include "base/scoped.h"

#include <assert.h>
#include <string.h>

struct subject subject_at(int index)
{
	int messages = MESSAGE_TYPE_COUNT - 1;
	if (index < messages)
		return (struct subject){ schema_of_message((enum message_type)(index + 1)), true,
			                 index + 1 };
	int record = index - messages;
	return (struct subject){ schema_of_record((enum record_type)record), false, record };
}

static uint64_t number(const struct field *field, enum sample kind)
{
	if (kind == SAMPLE_LARGE)
		return field->most;
	return kind == SAMPLE_BARE || field->most == 0 ? field->least
	       : field->least                          ? field->least
	                                               : 1;
}

static const char *text(enum field_kind kind, uint64_t least, uint64_t most, enum sample sample,
                        struct arena *arena)
{
	size_t size = sample == SAMPLE_LARGE  ? most
	              : sample == SAMPLE_BARE ? least
	              : most < 6              ? most
	              : least > 6             ? least
	                                      : 6;
	if (kind == KIND_ref && size < 6)
		size = 6;
	char *data = arena_new(arena, size + 1);
	memset(data, kind == KIND_commit ? 'a' : 'x', size);
	if (kind == KIND_ref)
		memcpy(data, "refs/", 5);
	if (kind == KIND_text && size >= 3 && sample != SAMPLE_BARE)
		memcpy(data, "\xe2\x82\xac", 3);
	return data;
}

static void fill(const struct schema *schema, enum sample kind, struct arena *arena, void *record);

static void fill_list(const struct field *field, enum sample kind, struct arena *arena,
                      void *record)
{
	char *base = record;
	*(size_t *)(void *)(base + field->count_offset) = 1;
	if (field->kind == KIND_words) {
		const char **words = arena_new(arena, sizeof *words);
		words[0] = text(field->word_kind, field->least, field->most, kind, arena);
		*(void **)(void *)(base + field->offset) = words;
		return;
	}
	const struct schema *item = schema_of_record(field->record);
	void *filled = arena_new(arena, item->size);
	fill(item, kind, arena, filled);
	*(void **)(void *)(base + field->offset) = filled;
}

static void fill_field(const struct field *field, enum sample kind, struct arena *arena,
                       void *record)
{
	void *at = (char *)record + field->offset;
	switch (field->kind) {
	case KIND_END: break;
	case KIND_u32: *(uint32_t *)at = (uint32_t)number(field, kind); break;
	case KIND_u64: *(uint64_t *)at = number(field, kind); break;
	case KIND_ms: *(int64_t *)at = (int64_t)number(field, kind); break;
	case KIND_flag: *(bool *)at = true; break;
	case KIND_outcome: *(enum outcome *)at = OUTCOME_timed_out; break;
	case KIND_text:
	case KIND_name:
	case KIND_commit:
	case KIND_ref:
		*(const char **)at = text(field->kind, field->least, field->most, kind, arena);
		break;
	case KIND_bytes: {
		size_t size = kind == SAMPLE_LARGE ? field->most : 3;
		*(struct bytes *)at = (struct bytes){ arena_new(arena, size), size };
		break;
	}
	case KIND_raw: *(struct bytes *)at = (struct bytes){ "\x81\xa1k\x07", 4 }; break;
	case KIND_list:
	case KIND_words: fill_list(field, kind, arena, record); break;
	case KIND_one: {
		const struct schema *one = schema_of_record(field->record);
		void *inner = arena_new(arena, one->size);
		fill(one, kind, arena, inner);
		*(void **)at = inner;
		break;
	}
	}
}

static void fill(const struct schema *schema, enum sample kind, struct arena *arena, void *record)
{
	for (const struct field *field = schema->fields; field->kind; field++)
		if (field->required || kind != SAMPLE_BARE)
			fill_field(field, kind, arena, record);
}

void sample_pack(struct subject subject, enum sample kind, struct text *body)
{
	scoped(arena_finish) struct arena arena = { 0 };
	if (subject.is_message) {
		struct message *message = arena_new(&arena, sizeof *message);
		message->type = (enum message_type)subject.type;
		fill(subject.schema, kind, &arena, schema_message_body(message));
		message_pack(message, body);
		return;
	}
	void *record = arena_new(&arena, subject.schema->size);
	fill(subject.schema, kind, &arena, record);
	record_pack((enum record_type)subject.type, record, body);
}

enum err sample_unpack(struct subject subject, const void *data, size_t size, struct text *again)
{
	scoped(arena_finish) struct arena arena = { 0 };
	char *exact = malloc(size ? size : 1);
	assert(exact);
	memcpy(exact, data, size);
	enum err err;
	if (subject.is_message) {
		scoped(message_finish) struct message message = { 0 };
		allocated_bytes = 0;
		err = message_unpack(exact, size, &message);
		assert(!err == (message.type == (enum message_type)subject.type));
		if (!err && again)
			message_pack(&message, again);
	} else {
		void *record = arena_new(&arena, subject.schema->size);
		allocated_bytes = 0;
		err = record_unpack((enum record_type)subject.type, exact, size, &arena, record);
		if (!err && again)
			record_pack((enum record_type)subject.type, record, again);
	}
	free(exact);
	return err;
}

static size_t big_endian(const unsigned char *data, size_t width)
{
	size_t value = 0;
	for (size_t i = 0; i < width; i++)
		value = value << 8 | data[i];
	return value;
}

static size_t items_size(const unsigned char *data, size_t count)
{
	size_t size = 0;
	for (size_t i = 0; i < count; i++)
		size += value_size(data + size, NULL, NULL);
	return size;
}

size_t value_size(const unsigned char *data, size_t *ret_header, char *ret_kind)
{
	unsigned char head = data[0];
	size_t header = 1, length = 0;
	char kind = 0;
	if (head >= 0x80 && head < 0xc0) {
		kind = head < 0x90 ? 'm' : head < 0xa0 ? 'a' : 's';
		length = head & (head < 0xa0 ? 0x0f : 0x1f);
	} else if (head >= 0xcc && head <= 0xcf) {
		header += (size_t)1 << (head - 0xcc);
	} else if (head >= 0xc4 && head <= 0xc6) {
		header += (size_t)1 << (head - 0xc4);
		kind = 'b';
	} else if (head >= 0xd9 && head <= 0xdb) {
		header += (size_t)1 << (head - 0xd9);
		kind = 's';
	} else if (head >= 0xdc) {
		assert(head <= 0xdf);
		header += head & 1 ? 4 : 2;
		kind = head < 0xde ? 'a' : 'm';
	}
	if (kind && header > 1)
		length = big_endian(data + 1, header - 1);
	if (ret_header)
		*ret_header = header;
	if (ret_kind)
		*ret_kind = kind;
	if (kind == 'a' || kind == 'm')
		return header + items_size(data + header, kind == 'm' ? length * 2 : length);
	return header + length;
}

size_t parts_split(const struct text *body, struct part *ret_parts, size_t most)
{
	const unsigned char *at = (const unsigned char *)body->data;
	const unsigned char *end = at + body->size;
	size_t header, count = 0;
	value_size(at, &header, NULL);
	for (at += header; at < end; count++) {
		assert(count < most);
		struct part *part = &ret_parts[count];
		*part = (struct part){ .key = { at, value_size(at, &header, NULL) } };
		memcpy(part->name, at + header, part->key.size - header);
		at += part->key.size;
		part->value = (struct bytes){ at, value_size(at, NULL, NULL) };
		at += part->value.size;
	}
	return count;
}

void parts_join(const struct part *parts, size_t count, struct text *body)
{
	const char header[3] = { (char)0xde, (char)(count >> 8), (char)count };
	text_add_bytes(body, header, sizeof header);
	for (size_t i = 0; i < count; i++) {
		text_add_bytes(body, parts[i].key.data, parts[i].key.size);
		text_add_bytes(body, parts[i].value.data, parts[i].value.size);
	}
}

/* The linker sends the library's calls here: see --wrap in meson.build. */
size_t allocated_bytes;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	allocated_bytes += count * size;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	allocated_bytes += size;
	return __real_realloc(old, size);
}
