/* The rows of messages.def as tables that pack, unpack, print and document. Inside proto/, the
 * codec's tests, and for the JSON of cli/. */
#pragma once

#include "proto/message.h"

enum field_kind {
	KIND_END,
	KIND_u32,
	KIND_u64,
	KIND_ms,
	KIND_flag,
	KIND_outcome,
	KIND_text,
	KIND_name,
	KIND_commit,
	KIND_ref,
	KIND_bytes,
	KIND_raw,
	KIND_list,  /* array of records */
	KIND_words, /* array of texts */
	KIND_one,   /* a record */
};

struct field {
	const char *name;
	uint8_t name_size;
	enum field_kind kind;
	enum field_kind word_kind; /* of KIND_words */
	bool required;
	size_t offset;
	size_t count_offset;     /* of lists and words */
	uint64_t least, most;    /* value, bytes, or bytes of a word */
	uint64_t items;          /* of lists and words, at most */
	enum record_type record; /* of lists and ones */
	const char *doc;
};

struct schema {
	const char *name;
	uint8_t name_size;
	const char *from_to; /* messages only */
	const char *doc;
	size_t size;                /* of the struct */
	const struct field *fields; /* ended by KIND_END; at most 64 */
};

const struct schema *schema_of_message(enum message_type type);
const struct schema *schema_of_record(enum record_type type);

/* The struct of this message inside the union. */
void *schema_message_body(struct message *message);
