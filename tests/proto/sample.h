/* Messages and records made from the rows of messages.def, and their bytes taken apart: what the
 * codec tests are driven by. */
#pragma once

#include "proto/schema.h"

/* A message or a record: the codec tests treat both alike. */
struct subject {
	const struct schema *schema;
	bool is_message;
	int type;
};

enum { SUBJECT_COUNT = MESSAGE_TYPE_COUNT - 1 + RECORD_TYPE_COUNT };

/* The subjects in order, messages first. */
struct subject subject_at(int index);

/* BARE: required fields at their least. SMALL: every field, short. LARGE: every field at its most,
 * lists with one item. */
enum sample { SAMPLE_BARE, SAMPLE_SMALL, SAMPLE_LARGE };

/* Append the packed sample. */
void sample_pack(struct subject subject, enum sample kind, struct text *body);

/* Unpack bytes of exactly `size` (copied, so that a sanitizer sees a read past them) and, when they
 * are accepted, append what packing the result gives to `again` (may be NULL). */
enum err sample_unpack(struct subject subject, const void *data, size_t size, struct text *again);

/* One key of a packed map with its value; both borrow from the body. */
struct part {
	struct bytes key, value; /* as packed */
	char name[64];
};

/* Take a packed map apart; returns how many parts, "type" included. */
size_t parts_split(const struct text *body, struct part *ret_parts, size_t most);

/* Append a map of these parts. */
void parts_join(const struct part *parts, size_t count, struct text *body);

/* The size of the msgpack value at `data`, its header's size, and its first byte's kind of length:
 * 's' text, 'b' bytes, 'a' array, 'm' map, 0 none. Knows only what packing makes. */
size_t value_size(const unsigned char *data, size_t *ret_header, char *ret_kind);

/* Bytes asked from the allocator since the last reset, by library code. */
extern size_t allocated_bytes;
