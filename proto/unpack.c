/* msgpack to structs, strictly. Not by msgpack-c, whose reader accepts duplicate keys, trailing
 * bytes and bad UTF-8, and takes gigabytes for an array header of five bytes. One pass, every bound
 * checked before memory is taken; nothing is read that is not there. */
#include "proto/schema.h"

#include <string.h>

struct reader {
	const unsigned char *at;
	const unsigned char *end;
	struct arena *arena;
};

enum token_kind {
	TOKEN_NIL,
	TOKEN_FLAG,
	TOKEN_NUMBER,
	TOKEN_TEXT,
	TOKEN_BYTES,
	TOKEN_ARRAY,
	TOKEN_MAP
};

struct token {
	enum token_kind kind;
	uint64_t value;   /* number, flag, bytes that follow, items that follow */
	const char *data; /* of texts and bytes */
};

static enum err fail_at(const char *schema, const char *key, const char *why)
{
	return fail(ERR_MALFORMED, "%s%s%s: %s", schema, *key ? "." : "", key, why);
}

static bool read_number(struct reader *r, unsigned size, uint64_t *ret_value)
{
	if ((size_t)(r->end - r->at) < size)
		return false;
	uint64_t value = 0;
	for (unsigned i = 0; i < size; i++)
		value = value << 8 | *r->at++;
	*ret_value = value;
	return true;
}

/* Text, bytes, arrays and maps must fit in what is left: an item takes at least one byte. */
static bool check_size(struct reader *r, struct token *token)
{
	uint64_t left = (uint64_t)(r->end - r->at);
	uint64_t least = token->kind == TOKEN_MAP ? token->value * 2 : token->value;
	if (token->value > left || least > left)
		return false;
	if (token->kind == TOKEN_TEXT || token->kind == TOKEN_BYTES) {
		token->data = (const char *)r->at;
		r->at += token->value;
	}
	return true;
}

/* A header byte names a kind and how many bytes of length or value follow. Negative numbers,
 * floats and extension types have no place in fettle/1. */
static bool read_token(struct reader *r, struct token *token)
{
	static const struct {
		enum token_kind kind;
		unsigned char size; /* 0: not allowed */
	} wide[] = {
		[0xc4 - 0xc0] = { TOKEN_BYTES, 1 },  [0xc5 - 0xc0] = { TOKEN_BYTES, 2 },
		[0xc6 - 0xc0] = { TOKEN_BYTES, 4 },  [0xcc - 0xc0] = { TOKEN_NUMBER, 1 },
		[0xcd - 0xc0] = { TOKEN_NUMBER, 2 }, [0xce - 0xc0] = { TOKEN_NUMBER, 4 },
		[0xcf - 0xc0] = { TOKEN_NUMBER, 8 }, [0xd9 - 0xc0] = { TOKEN_TEXT, 1 },
		[0xda - 0xc0] = { TOKEN_TEXT, 2 },   [0xdb - 0xc0] = { TOKEN_TEXT, 4 },
		[0xdc - 0xc0] = { TOKEN_ARRAY, 2 },  [0xdd - 0xc0] = { TOKEN_ARRAY, 4 },
		[0xde - 0xc0] = { TOKEN_MAP, 2 },    [0xdf - 0xc0] = { TOKEN_MAP, 4 },
	};
	*token = (struct token){ 0 };
	if (r->at == r->end)
		return false;
	unsigned char head = *r->at++;
	if (head < 0x80 || head == 0xc0 || head == 0xc2 || head == 0xc3) {
		token->kind = head < 0x80 ? TOKEN_NUMBER : head == 0xc0 ? TOKEN_NIL : TOKEN_FLAG;
		token->value = head < 0x80 ? head : head == 0xc3;
		return true;
	}
	if (head < 0xc0) {
		token->kind = head < 0x90 ? TOKEN_MAP : head < 0xa0 ? TOKEN_ARRAY : TOKEN_TEXT;
		token->value = head & (head < 0xa0 ? 0x0f : 0x1f);
	} else if (head >= 0xe0 || wide[head - 0xc0].size == 0) {
		return false;
	} else {
		token->kind = wide[head - 0xc0].kind;
		if (!read_number(r, wide[head - 0xc0].size, &token->value))
			return false;
	}
	return token->kind == TOKEN_NUMBER || check_size(r, token);
}

/* Pass over one value of any allowed shape. Maps and arrays nest, what they hold does not. */
static bool skip_value(struct reader *r, int depth)
{
	struct token token;
	if (!read_token(r, &token))
		return false;
	if ((token.kind == TOKEN_MAP || token.kind == TOKEN_ARRAY) && depth > MESSAGE_DEPTH_MAX)
		return false;
	if (token.kind == TOKEN_TEXT)
		return text_is_utf8(token.data, token.value);
	uint64_t items = token.kind == TOKEN_MAP     ? token.value * 2
	                 : token.kind == TOKEN_ARRAY ? token.value
	                                             : 0;
	for (uint64_t i = 0; i < items; i++)
		if (!skip_value(r, depth + 1))
			return false;
	return true;
}

static const char *check_text(enum field_kind kind, const char *text, size_t size, uint64_t least,
                              uint64_t most)
{
	if (size < least || size > most)
		return "wrong length";
	if (!text_is_utf8(text, size))
		return "not UTF-8, or a NUL";
	if (kind == KIND_name || kind == KIND_commit || kind == KIND_ref) {
		char copy[REF_SIZE_MAX + 1];
		memcpy(copy, text, size);
		copy[size] = 0;
		if (kind == KIND_name && !text_is_name(copy))
			return "not a name: letters, digits, '.', '_', '-', 1 to 64 bytes";
		if (kind == KIND_commit && !text_is_commit(copy))
			return "not a commit id of 40 lower-case hex digits";
		if (kind == KIND_ref && !text_is_ref(copy))
			return "not a full ref name";
	}
	return NULL;
}

static const char *read_text(struct reader *r, enum field_kind kind, uint64_t least, uint64_t most,
                             const char **ret_text)
{
	struct token token;
	if (!read_token(r, &token) || token.kind != TOKEN_TEXT)
		return "not a text";
	const char *why = check_text(kind, token.data, token.value, least, most);
	if (!why)
		*ret_text = arena_copy(r->arena, token.data, token.value);
	return why;
}

static const char *read_scalar(struct reader *r, const struct field *field, void *at)
{
	struct token token;
	if (field->kind == KIND_raw) {
		const unsigned char *start = r->at;
		if (!skip_value(r, 2))
			return "malformed value";
		size_t size = (size_t)(r->at - start);
		*(struct bytes *)at = (struct bytes){ arena_copy(r->arena, start, size), size };
		return NULL;
	}
	if (!read_token(r, &token))
		return "malformed value";
	switch (field->kind) {
	case KIND_flag:
		if (token.kind != TOKEN_FLAG)
			return "not true or false";
		*(bool *)at = token.value != 0;
		return NULL;
	case KIND_bytes:
		if (token.kind != TOKEN_BYTES || token.value < field->least ||
		    token.value > field->most)
			return "not bytes, or too many";
		*(struct bytes *)at = (struct bytes){ arena_copy(r->arena, token.data, token.value),
			                              token.value };
		return NULL;
	default: break;
	}
	if (token.kind != TOKEN_NUMBER || token.value < field->least || token.value > field->most)
		return "not a number in range";
	if (field->kind == KIND_u32)
		*(uint32_t *)at = (uint32_t)token.value;
	else if (field->kind == KIND_u64)
		*(uint64_t *)at = token.value;
	else
		*(int64_t *)at = (int64_t)token.value;
	return NULL;
}

static enum err read_record(struct reader *r, const struct schema *schema, void *record, int depth,
                            bool typed);

static enum err read_list(struct reader *r, const struct field *field, void *record, int depth,
                          const char *schema_name)
{
	struct token token;
	if (!read_token(r, &token) || token.kind != TOKEN_ARRAY || token.value > field->items)
		return fail_at(schema_name, field->name, "not an array, or too many items");
	size_t count = token.value;
	char *at = (char *)record + field->offset;
	*(size_t *)(void *)((char *)record + field->count_offset) = count;
	if (field->kind == KIND_words) {
		const char **words = arena_new(r->arena, count * sizeof *words);
		*(void **)(void *)at = words;
		for (size_t i = 0; i < count; i++) {
			const char *why = read_text(r, field->word_kind, field->least, field->most,
			                            &words[i]);
			if (why)
				return fail_at(schema_name, field->name, why);
		}
		return OK;
	}
	const struct schema *item = schema_of_record(field->record);
	char *items = arena_new(r->arena, count * item->size);
	*(void **)(void *)at = items;
	for (size_t i = 0; i < count; i++) {
		enum err err = read_record(r, item, items + i * item->size, depth + 1, false);
		if (err)
			return err;
	}
	return OK;
}

static enum err read_field(struct reader *r, const struct field *field, void *record, int depth,
                           const char *schema_name)
{
	char *at = (char *)record + field->offset;
	const char *why = NULL, *text = NULL;
	switch (field->kind) {
	case KIND_list:
	case KIND_words: return read_list(r, field, record, depth, schema_name);
	case KIND_one: {
		const struct schema *one = schema_of_record(field->record);
		void *inner = arena_new(r->arena, one->size);
		*(void **)(void *)at = inner;
		return read_record(r, one, inner, depth + 1, false);
	}
	case KIND_outcome:
		why = read_text(r, KIND_text, 1, 64, &text);
		if (!why && !outcome_from_text(text, (enum outcome *)(void *)at))
			why = "not an outcome";
		break;
	case KIND_text:
	case KIND_name:
	case KIND_commit:
	case KIND_ref:
		why = read_text(r, field->kind, field->least, field->most,
		                (const char **)(void *)at);
		break;
	default: why = read_scalar(r, field, at); break;
	}
	return why ? fail_at(schema_name, field->name, why) : OK;
}

enum { UNKNOWN_KEYS_MAX = 32 };

struct unknown_keys {
	struct token seen[UNKNOWN_KEYS_MAX];
	size_t count;
};

static bool same_text(const struct token *token, const char *text, size_t size)
{
	return size == token->value && memcmp(text, token->data, size) == 0;
}

/* Who packed it went through the fields in their order: most keys are those that come next. Where
 * there is no such field, that of the end. */
static size_t find_field(const struct field *fields, size_t next, const struct token *key)
{
	size_t end = next;
	for (; fields[end].kind; end++)
		if (same_text(key, fields[end].name, fields[end].name_size))
			return end;
	for (size_t i = 0; i < next; i++)
		if (same_text(key, fields[i].name, fields[i].name_size))
			return i;
	return end;
}

static bool is_type_key(const struct token *key)
{
	return same_text(key, "type", 4);
}

/* Keys of newer versions are skipped, but a double one is malformed here too. */
static bool skip_unknown(struct reader *r, struct unknown_keys *unknown, const struct token *key,
                         int depth)
{
	for (size_t i = 0; i < unknown->count; i++)
		if (unknown->seen[i].value == key->value &&
		    memcmp(unknown->seen[i].data, key->data, key->value) == 0)
			return false;
	if (unknown->count == UNKNOWN_KEYS_MAX)
		return false;
	unknown->seen[unknown->count++] = *key;
	return skip_value(r, depth + 1);
}

static enum err check_required(const struct schema *schema, uint64_t keys)
{
	for (size_t i = 0; schema->fields[i].kind; i++)
		if (schema->fields[i].required && !(keys >> i & 1))
			return fail_at(schema->name, schema->fields[i].name, "missing");
	return OK;
}

/* `typed`: the map is a message, its "type" was read before and is passed over. */
static enum err read_record(struct reader *r, const struct schema *schema, void *record, int depth,
                            bool typed)
{
	struct token map, key;
	struct unknown_keys unknown = { .count = 0 };
	bool type_seen = !typed;
	size_t next = 0;
	uint64_t *keys = record; /* first member of every struct */
	if (depth > MESSAGE_DEPTH_MAX || !read_token(r, &map) || map.kind != TOKEN_MAP)
		return fail_at(schema->name, "", "not a map");
	for (uint64_t n = 0; n < map.value; n++) {
		if (!read_token(r, &key) || key.kind != TOKEN_TEXT ||
		    !text_is_utf8(key.data, key.value))
			return fail_at(schema->name, "", "a key is not a text");
		size_t i = find_field(schema->fields, next, &key);
		const struct field *field = &schema->fields[i];
		if (!field->kind) {
			bool is_type = typed && is_type_key(&key);
			if (is_type && !type_seen) {
				type_seen = true;
				if (!skip_value(r, depth + 1))
					return fail_at(schema->name, "type", "malformed");
			} else if (is_type || !skip_unknown(r, &unknown, &key, depth)) {
				return fail_at(schema->name, "",
				               "a double key, or a malformed value");
			}
			continue;
		}
		if (*keys >> i & 1)
			return fail_at(schema->name, field->name, "a double key");
		*keys |= (uint64_t)1 << i;
		next = i + 1;
		enum err err = read_field(r, field, record, depth, schema->name);
		if (err)
			return err;
	}
	return check_required(schema, *keys);
}

/* Find the "type" of a message without reading anything else of it. */
static enum err find_type(struct reader r, enum message_type *ret_type)
{
	struct token map, key, type;
	if (!read_token(&r, &map) || map.kind != TOKEN_MAP)
		return fail(ERR_MALFORMED, "message: not a map");
	for (uint64_t n = 0; n < map.value; n++) {
		if (!read_token(&r, &key) || key.kind != TOKEN_TEXT)
			return fail(ERR_MALFORMED, "message: a key is not a text");
		if (!is_type_key(&key)) {
			if (!skip_value(&r, 1))
				return fail(ERR_MALFORMED, "message: malformed value");
			continue;
		}
		if (!read_token(&r, &type) || type.kind != TOKEN_TEXT)
			return fail(ERR_MALFORMED, "message.type: not a text");
		for (int i = MESSAGE_NONE + 1; i < MESSAGE_TYPE_COUNT; i++) {
			*ret_type = (enum message_type)i;
			const struct schema *schema = schema_of_message(*ret_type);
			if (same_text(&type, schema->name, schema->name_size))
				return OK;
		}
		return fail(ERR_NOT_FOUND, "message.type: no such type");
	}
	return fail(ERR_MALFORMED, "message.type: missing");
}

enum err message_unpack(const void *body, size_t size, struct message *ret_message)
{
	struct message message;
	memset(&message, 0, sizeof message); /* the whole union, not its first member */
	ret_message->type = MESSAGE_NONE;
	if (size > MESSAGE_SIZE_MAX)
		return fail(ERR_MALFORMED, "message: over %d bytes", MESSAGE_SIZE_MAX);
	struct reader reader = { body, (const unsigned char *)body + size, &message.arena };
	enum err err = find_type(reader, &message.type);
	if (err)
		return err;
	err = read_record(&reader, schema_of_message(message.type), schema_message_body(&message),
	                  1, true);
	if (!err && reader.at != reader.end)
		err = fail(ERR_MALFORMED, "%s: bytes after its end",
		           message_type_text(message.type));
	if (err) {
		message_finish(&message);
		return err;
	}
	*ret_message = message;
	return OK;
}

enum err record_unpack(enum record_type type, const void *body, size_t size, struct arena *arena,
                       void *record)
{
	const struct schema *schema = schema_of_record(type);
	const unsigned char *begin = size ? body : (const unsigned char *)""; /* may be NULL */
	struct reader reader = { begin, begin + size, arena };
	void *filled = arena_new(arena, schema->size);
	enum err err =
		size ? read_record(&reader, schema, filled, 1, false) : check_required(schema, 0);
	if (!err && reader.at != reader.end)
		err = fail(ERR_MALFORMED, "%s: bytes after its end", schema->name);
	if (!err)
		memcpy(record, filled, schema->size);
	return err;
}
