/* Bytes from a peer who means harm: every message and record, broken in every way that has a name,
 * is refused whole, and never costs much memory. */
#include "tests/proto/sample.h"

#include "base/scoped.h"

#include <criterion/criterion.h>
#include <string.h>

enum { PARTS_MAX = 128 };

/* Memory for bytes that are refused or read: structs are larger than the bytes they come from, by a
 * factor that the table bounds. */
static size_t memory_allowed(size_t size)
{
	return 16384 + size * 64;
}

static void refused(struct subject subject, const struct text *body, const char *what)
{
	enum err err = sample_unpack(subject, body->data, body->size, NULL);
	/* A stretched type swallows what follows: then it is a type that nobody declared. */
	cr_assert(err == ERR_MALFORMED || (err == ERR_NOT_FOUND && strstr(what, "length")),
	          "%s, %s: %s", subject.schema->name, what, error_name(err));
	cr_assert_leq(allocated_bytes, memory_allowed(body->size), "%s, %s: took %zu bytes",
	              subject.schema->name, what, allocated_bytes);
}

static void accepted(struct subject subject, const struct text *body, const char *what)
{
	enum err err = sample_unpack(subject, body->data, body->size, NULL);
	cr_assert_eq(err, OK, "%s, %s: %s", subject.schema->name, what, error_text());
}

/* The sample with the value of one part replaced. */
static void replace(const struct part *parts, size_t count, size_t which, struct bytes value,
                    struct text *ret_body)
{
	struct part changed[PARTS_MAX];
	memcpy(changed, parts, count * sizeof *parts);
	changed[which].value = value;
	parts_join(changed, count, ret_body);
}

static const struct field *field_of(struct subject subject, const struct part *part)
{
	const struct field *field = subject.schema->fields;
	while (field->kind && strcmp(field->name, part->name) != 0)
		field++;
	return field->kind ? field : NULL;
}

Test(hostile, cut_at_every_byte)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject, SAMPLE_SMALL, &body);
		for (size_t size = subject.is_message ? 0 : 1; size < body.size; size++)
			refused(subject, &(struct text){ body.data, size, 0 }, "cut");
	}
}

Test(hostile, cut_at_every_byte_with_large_values)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject, SAMPLE_LARGE, &body);
		size_t step = 1 + body.size / 2000; /* each kept byte is copied for each cut */
		for (size_t size = 1; size < body.size; size += step)
			refused(subject, &(struct text){ body.data, size, 0 }, "cut");
	}
}

Test(hostile, one_byte_too_many)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject, SAMPLE_SMALL, &body);
		text_add_bytes(&body, "\xc0", 1);
		refused(subject, &body, "trailing nil");
		sample_pack(subject, SAMPLE_SMALL, &body);
		refused(subject, &body, "two in one");
	}
}

/* Put every wide header with its largest length where this length header was. */
static void stretch(struct subject subject, const struct text *body, size_t at, size_t header,
                    char kind)
{
	static const struct {
		char kind;
		unsigned char head, width;
	} wide[] = {
		{ 's', 0xd9, 1 }, { 's', 0xda, 2 }, { 's', 0xdb, 4 }, { 'b', 0xc4, 1 },
		{ 'b', 0xc5, 2 }, { 'b', 0xc6, 4 }, { 'a', 0xdc, 2 }, { 'a', 0xdd, 4 },
		{ 'm', 0xde, 2 }, { 'm', 0xdf, 4 },
	};
	for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
		if (wide[i].kind != kind)
			continue;
		for (int less = 0; less < 2; less++) {
			scoped(text_finish) struct text changed = { 0 };
			const unsigned char last = (unsigned char)(0xff - less);
			text_add_bytes(&changed, body->data, at);
			text_add_bytes(&changed, &wide[i].head, 1);
			text_add_bytes(&changed, "\xff\xff\xff", wide[i].width - 1u);
			text_add_bytes(&changed, &last, 1);
			text_add_bytes(&changed, body->data + at + header,
			               body->size - at - header);
			refused(subject, &changed, "length at its maximum");
		}
	}
}

static void stretch_all(struct subject subject, const struct text *body, size_t at)
{
	const unsigned char *data = (const unsigned char *)body->data + at;
	size_t header;
	char kind;
	size_t size = value_size(data, &header, &kind);
	if (kind)
		stretch(subject, body, at, header, kind);
	if (kind != 'a' && kind != 'm')
		return;
	for (size_t inner = header; inner < size; inner += value_size(data + inner, NULL, NULL))
		stretch_all(subject, body, at + inner);
}

Test(hostile, every_length_at_its_maximum)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject_at(i), SAMPLE_SMALL, &body);
		stretch_all(subject_at(i), &body, 0);
	}
}

static void survives(struct subject subject, const struct text *body)
{
	scoped(text_finish) struct text again = { 0 }, twice = { 0 };
	enum err err = sample_unpack(subject, body->data, body->size, &again);
	if (err) {
		cr_assert(err == ERR_MALFORMED || err == ERR_NOT_FOUND);
		return;
	}
	cr_assert_eq(sample_unpack(subject, again.data, again.size, &twice), OK, "%s: %s",
	             subject.schema->name, error_text());
	cr_assert(twice.size == again.size && memcmp(twice.data, again.data, again.size) == 0);
}

/* A changed type may make a valid message of another type out of an empty one. */
static bool keeps_type(struct subject subject, const struct text *body)
{
	scoped(message_finish) struct message message = { 0 };
	return !subject.is_message || message_unpack(body->data, body->size, &message) != OK ||
	       message.type == (enum message_type)subject.type;
}

Test(hostile, every_bit_flipped)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject, SAMPLE_SMALL, &body);
		for (size_t at = 0; at < body.size; at++) {
			for (int bit = 0; bit <= 8; bit++) {
				char mask = (char)(bit == 8 ? 0xff : 1 << bit);
				body.data[at] = (char)(body.data[at] ^ mask);
				if (keeps_type(subject, &body))
					survives(subject, &body);
				body.data[at] = (char)(body.data[at] ^ mask);
			}
		}
	}
}

static char class_of(const struct field *field)
{
	switch (field->kind) {
	case KIND_u32:
	case KIND_u64:
	case KIND_ms: return 'n';
	case KIND_flag: return 'f';
	case KIND_bytes: return 'b';
	case KIND_list:
	case KIND_words: return 'a';
	case KIND_one: return 'm';
	case KIND_raw: return '*';
	default: return 's';
	}
}

Test(hostile, every_field_of_every_wrong_type)
{
	static const struct {
		char class; /* 0: has no place anywhere; '0': only where anything goes */
		struct bytes value;
	} values[] = {
		{ 'n', { "\x01", 1 } },
		{ 'f', { "\xc3", 1 } },
		{ 's', { "\xa1x", 2 } },
		{ 'b', { "\xc4\x01x", 3 } },
		{ 'a', { "\x90", 1 } },
		{ 'm', { "\x80", 1 } },
		{ '0', { "\xc0", 1 } },
		{ 0, { "\xc1", 1 } },
		{ 0, { "\xff", 1 } },
		{ 0, { "\xd0\x80", 2 } },
		{ 0, { "\xd1\x80\x00", 3 } },
		{ 0, { "\xd2\x80\x00\x00\x00", 5 } },
		{ 0, { "\xd3\x80\0\0\0\0\0\0", 9 } },
		{ 0, { "\xca\x3f\x80\x00\x00", 5 } },
		{ 0, { "\xcb\x3f\xf0\0\0\0\0\0\0", 9 } },
		{ 0, { "\xd4\x01\x00", 3 } },
		{ 0, { "\xc7\x01\x01\x00", 4 } },
		{ 0, { "\xc8\x00\x01\x01\x00", 5 } },
		{ 0, { "\xd6\xff\x00\x00\x00\x00", 6 } },
	};
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		struct part parts[PARTS_MAX];
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject, SAMPLE_SMALL, &body);
		size_t count = parts_split(&body, parts, PARTS_MAX);
		for (size_t p = 0; p < count; p++) {
			const struct field *field = field_of(subject, &parts[p]);
			for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
				scoped(text_finish) struct text changed = { 0 };
				char class = field ? class_of(field) : 's';
				if (class == values[v].class || (class == '*' && values[v].class))
					continue;
				if (!field && values[v].class == 's')
					continue;
				replace(parts, count, p, values[v].value, &changed);
				refused(subject, &changed, parts[p].name);
			}
		}
	}
}

Test(hostile, numbers_out_of_range)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		struct part parts[PARTS_MAX];
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject, SAMPLE_SMALL, &body);
		size_t count = parts_split(&body, parts, PARTS_MAX);
		for (size_t p = 0; p < count; p++) {
			const struct field *field = field_of(subject, &parts[p]);
			if (!field || class_of(field) != 'n')
				continue;
			const uint64_t over[] = { field->most + 1, (uint64_t)1 << 63, UINT64_MAX,
				                  field->least - 1 };
			for (size_t v = 0; v < (field->least ? 4 : 3); v++) {
				unsigned char bytes[9] = { 0xcf };
				for (int b = 0; b < 8; b++)
					bytes[1 + b] = (unsigned char)(over[v] >> (56 - 8 * b));
				scoped(text_finish) struct text changed = { 0 };
				replace(parts, count, p, (struct bytes){ bytes, 9 }, &changed);
				refused(subject, &changed, field->name);
			}
		}
	}
}

static void put_header(struct text *body, unsigned char head, size_t size)
{
	const unsigned char bytes[5] = { head, (unsigned char)(size >> 24),
		                         (unsigned char)(size >> 16), (unsigned char)(size >> 8),
		                         (unsigned char)size };
	text_add_bytes(body, bytes, sizeof bytes);
}

static void put_text(struct text *body, const char *data, size_t size)
{
	put_header(body, 0xdb, size);
	text_add_bytes(body, data, size);
}

Test(hostile, texts_that_are_no_texts)
{
	static const struct bytes bad[] = { { "refs/a\0", 7 },        { "\xff", 1 },
		                            { "\xc0\x80", 2 },        { "\xed\xa0\x80", 3 },
		                            { "\xe2\x82", 2 },        { "\xf4\x90\x80\x80", 4 },
		                            { "\xf0\x80\x80\xaf", 4 } };
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		struct part parts[PARTS_MAX];
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject, SAMPLE_SMALL, &body);
		size_t count = parts_split(&body, parts, PARTS_MAX);
		for (size_t p = 0; p < count; p++) {
			const struct field *field = field_of(subject, &parts[p]);
			if (!field || class_of(field) != 's')
				continue;
			for (size_t v = 0; v < sizeof bad / sizeof *bad; v++) {
				scoped(text_finish) struct text value = { 0 }, changed = { 0 };
				put_text(&value, bad[v].data, bad[v].size);
				replace(parts, count, p, (struct bytes){ value.data, value.size },
				        &changed);
				refused(subject, &changed, field->name);
			}
			scoped(text_finish) struct text value = { 0 }, changed = { 0 };
			size_t most = field->kind == KIND_outcome ? 64 : field->most;
			char *long_text = text_format("%0*d", (int)most + 1, 0);
			put_text(&value, long_text, most + 1);
			free(long_text);
			replace(parts, count, p, (struct bytes){ value.data, value.size },
			        &changed);
			refused(subject, &changed, field->name);
		}
	}
}

/* An array of `items` smallest items for this field. */
static void put_items(struct text *body, const struct field *field, size_t items)
{
	scoped(text_finish) struct text item = { 0 };
	if (field->kind == KIND_words)
		put_text(&item, "x", 1);
	else
		sample_pack((struct subject){ schema_of_record(field->record), false,
		                              (int)field->record },
		            SAMPLE_BARE, &item);
	put_header(body, 0xdd, items);
	for (size_t i = 0; i < items; i++)
		text_add_bytes(body, item.data, item.size);
}

Test(hostile, arrays_up_to_their_bound_and_no_further)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		struct part parts[PARTS_MAX];
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject, SAMPLE_SMALL, &body);
		size_t count = parts_split(&body, parts, PARTS_MAX);
		for (size_t p = 0; p < count; p++) {
			const struct field *field = field_of(subject, &parts[p]);
			if (!field || class_of(field) != 'a')
				continue;
			for (size_t over = 0; over < 2; over++) {
				scoped(text_finish) struct text value = { 0 }, changed = { 0 };
				put_items(&value, field, field->items + over);
				replace(parts, count, p, (struct bytes){ value.data, value.size },
				        &changed);
				if (over)
					refused(subject, &changed, field->name);
				else
					accepted(subject, &changed, field->name);
				cr_assert_leq(allocated_bytes, memory_allowed(changed.size));
			}
		}
	}
}

Test(hostile, double_and_missing_keys)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		struct part parts[PARTS_MAX];
		scoped(text_finish) struct text body = { 0 };
		sample_pack(subject, SAMPLE_SMALL, &body);
		size_t count = parts_split(&body, parts, PARTS_MAX - 1);
		for (size_t p = 0; p < count; p++) {
			const struct field *field = field_of(subject, &parts[p]);
			scoped(text_finish) struct text twice = { 0 }, without = { 0 };
			parts[count] = parts[p];
			parts_join(parts, count + 1, &twice);
			refused(subject, &twice, "a key twice");
			struct part rest[PARTS_MAX];
			memcpy(rest, parts, count * sizeof *parts);
			rest[p] = rest[count - 1];
			parts_join(rest, count - 1, &without);
			if (!field || field->required)
				refused(subject, &without, "a required key missing");
			else
				accepted(subject, &without, "an optional key missing");
		}
	}
}

Test(hostile, keys_in_any_order)
{
	for (int i = 0; i < SUBJECT_COUNT; i++) {
		struct subject subject = subject_at(i);
		struct part parts[PARTS_MAX], turned[PARTS_MAX];
		scoped(text_finish) struct text body = { 0 }, changed = { 0 }, again = { 0 };
		sample_pack(subject, SAMPLE_SMALL, &body);
		size_t count = parts_split(&body, parts, PARTS_MAX);
		for (size_t p = 0; p < count; p++)
			turned[p] = parts[count - 1 - p];
		parts_join(turned, count, &changed);
		cr_assert_eq(sample_unpack(subject, changed.data, changed.size, &again), OK);
		cr_assert(again.size == body.size && memcmp(again.data, body.data, body.size) == 0);
	}
}

static const struct subject drain = { NULL, true, MESSAGE_drain };

/* A drain message with `count` more keys, all of this value. */
static void drain_with(struct text *body, size_t count, bool same_key, struct bytes value)
{
	put_header(body, 0xdf, count + 1);
	put_text(body, "type", 4);
	put_text(body, "drain", 5);
	for (size_t i = 0; i < count; i++) {
		char key[16];
		snprintf(key, sizeof key, "new%zu", same_key ? 0 : i);
		put_text(body, key, strlen(key));
		text_add_bytes(body, value.data, value.size);
	}
}

static void drain_is(enum err wanted, size_t count, bool same_key, const char *value, size_t size)
{
	scoped(text_finish) struct text body = { 0 };
	drain_with(&body, count, same_key, (struct bytes){ value, size });
	cr_assert_eq(sample_unpack(drain, body.data, body.size, NULL), wanted, "%s", error_text());
	cr_assert_leq(allocated_bytes, memory_allowed(body.size));
}

Test(hostile, unknown_keys_are_passed_over_when_sound)
{
	drain_is(OK, 1, false, "\xc0", 1);
	drain_is(OK, 32, false, "\x82\xa1x\x91\x01\xa1y\xc4\x01\x00", 10);
	drain_is(ERR_MALFORMED, 33, false, "\xc0", 1);
	drain_is(ERR_MALFORMED, 2, true, "\xc0", 1);
	drain_is(ERR_MALFORMED, 1, false, "\xa1\xff", 2);
	drain_is(ERR_MALFORMED, 1, false, "\xca\x00\x00\x00\x00", 5);
	drain_is(ERR_MALFORMED, 1, false, "\xdd\xff\xff\xff\xff", 5);
	drain_is(ERR_MALFORMED, 1, false, "\xdf\xff\xff\xff\xff", 5);
}

Test(hostile, nesting_ends_at_the_declared_depth)
{
	char nest[64];
	memset(nest, 0x91, sizeof nest); /* arrays of one, the innermost of nothing */
	for (size_t depth = 1; depth <= 33; depth++) {
		nest[depth - 1] = (char)0x90;
		drain_is(depth < MESSAGE_DEPTH_MAX ? OK : ERR_MALFORMED, 1, false, nest, depth);
		nest[depth - 1] = (char)0x91;
	}
}

static void body_is(enum err wanted, const char *data, size_t size)
{
	scoped(message_finish) struct message message = { 0 };
	cr_assert_eq(message_unpack(data, size, &message), wanted, "%s", error_text());
	cr_assert_eq(message.type, MESSAGE_NONE);
}

Test(hostile, what_is_no_message_at_all)
{
	body_is(ERR_MALFORMED, "", 0);
	body_is(ERR_MALFORMED, "\x80", 1);
	body_is(ERR_MALFORMED, "\x90", 1);
	body_is(ERR_MALFORMED, "\x81\xa4type\x07", 7);
	body_is(ERR_MALFORMED, "\x81\x01\x07", 3);
	body_is(ERR_MALFORMED, "\xdd\x10\x00\x00\x00", 5);
	body_is(ERR_NOT_FOUND, "\x81\xa4type\xa4what", 11);
	body_is(ERR_NOT_FOUND, "\x81\xa4type\xa0", 7);
	body_is(ERR_NOT_FOUND, "\x81\xa4type\xa4none", 11);
}

Test(hostile, a_body_over_the_limit)
{
	scoped(text_finish) struct text body = { 0 };
	text_add_bytes(&body,
	               "\x82\xa4type\xa5"
	               "drain\xa1x",
	               14);
	const size_t left = MESSAGE_SIZE_MAX - body.size - 5;
	put_header(&body, 0xc6, left);
	char *filler = calloc(1, left + 1);
	text_add_bytes(&body, filler, left);
	cr_assert_eq(sample_unpack(drain, body.data, body.size, NULL), OK, "%s", error_text());
	body.data[14 + 4] = (char)(body.data[14 + 4] + 1);
	text_add_bytes(&body, filler, 1);
	free(filler);
	body_is(ERR_MALFORMED, body.data, body.size);
}
