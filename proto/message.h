/* The messages of fettle/1 as structs. Rows: messages.def; bytes: pack.c and unpack.c. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_PROTOCOL "fettle/1"
#define ID_MAX           INT64_MAX /* SQLite's largest rowid */
#define TIME_MAX         INT64_MAX
#define BYTES_MAX        INT64_MAX
#define ZERO_COMMIT      "0000000000000000000000000000000000000000"

enum {
	MESSAGE_SIZE_MAX = 1024 * 1024, /* a frame; larger ones are cut off by the sockets */
	MESSAGE_DEPTH_MAX = 8,
	TEXT_MAX = 4096,
	NAME_MAX_ = NAME_SIZE_MAX,
	ATTEMPT_MAX = 1000,
	SLOTS_MAX = 1024,
	LOG_CHUNK_MAX = 64 * 1024,
	LOG_SIZE_MAX = 32 * 1024 * 1024,
	PARCEL_SIZE_MAX = 512 * 1024 * 1024,      /* of a job's test records and artifacts */
	PARCEL_ARTIFACTS_MAX = 448 * 1024 * 1024, /* of these, artifacts */
	UPLOAD_SIZE_MAX = LOG_SIZE_MAX + PARCEL_SIZE_MAX,
	TEST_RECORDS_MAX = 100000,  /* of a job */
	ARTIFACT_FILES_MAX = 10000, /* likewise */
	BACKUP_PART_MAX = 256 * 1024,
	REASON_SIZE_MAX = 1024,
	LOG_WINDOW = 256 * 1024, /* log bytes a worker may have unacknowledged, per attempt */
};

enum outcome {
	OUTCOME_NONE,
#define OUTCOME(name, green, doc) OUTCOME_##name,
#include "proto/outcomes.def"
#undef OUTCOME
	OUTCOME_COUNT
};

const char *outcome_text(enum outcome outcome); /* "" for none */
bool outcome_from_text(const char *text, enum outcome *ret_outcome);
bool outcome_is_green(enum outcome outcome);

/* Bytes that belong to somebody else: the message's arena, or the caller who packs. */
struct bytes {
	const void *data;
	size_t size;
};

#define C_u32(name)     uint32_t name;
#define C_u64(name)     uint64_t name;
#define C_ms(name)      int64_t name;
#define C_flag(name)    bool name;
#define C_outcome(name) enum outcome name;
#define C_text(name)    const char *name;
#define C_name(name)    const char *name;
#define C_commit(name)  const char *name;
#define C_ref(name)     const char *name;
#define C_bytes(name)   struct bytes name;
#define C_raw(name)     struct bytes name;

/* `keys`: set by unpacking, a bit per declared key that was there. */
#define FIELD(kind, name, least, most, doc)  C_##kind(name)
#define OPTION(kind, name, least, most, doc) C_##kind(name)
#define LIST(record, name, most, doc)                                                              \
	const struct rec_##record *name;                                                           \
	size_t name##_count;
#define WORDS(kind, name, items, most, doc)                                                        \
	const char *const *name;                                                                   \
	size_t name##_count;
#define ONE(record, name, doc) const struct rec_##record *name;
#define RECORD(name, doc, fields)                                                                  \
	struct rec_##name {                                                                        \
		uint64_t keys;                                                                     \
		fields                                                                             \
	};
#define MESSAGE(name, from_to, doc, fields)                                                        \
	struct msg_##name {                                                                        \
		uint64_t keys;                                                                     \
		fields                                                                             \
	};
#include "proto/messages.def"
#undef RECORD
#undef MESSAGE

enum message_type {
	MESSAGE_NONE,
#define RECORD(name, doc, fields)
#define MESSAGE(name, from_to, doc, fields) MESSAGE_##name,
#include "proto/messages.def"
#undef MESSAGE
	MESSAGE_TYPE_COUNT
};

/* One message. Texts, lists and bytes point into `arena` after unpacking; a message made by hand
 * borrows them from its maker. Zero is no message. */
struct message {
	enum message_type type;
	union {
#define MESSAGE(name, from_to, doc, fields) struct msg_##name name;
#include "proto/messages.def"
#undef MESSAGE
	};
	struct arena arena;
};
#undef RECORD
#undef FIELD
#undef OPTION
#undef LIST
#undef WORDS
#undef ONE

/* "offer"; "none" for none. */
const char *message_type_text(enum message_type type);

/* Append the body frame. What is out of bounds is the maker's bug: an assertion. */
void message_pack(const struct message *message, struct text *body);

/* Read a body frame strictly: every declared bound checked before memory is taken, duplicate keys,
 * trailing bytes, bad UTF-8, NUL in texts, floats and extension types refused; unknown keys are
 * skipped. On success the caller owns the message and gives it to message_finish(). Errors:
 * ERR_MALFORMED, with `message->type` NONE; ERR_NOT_FOUND for a type nobody declared. */
enum err message_unpack(const void *body, size_t size, struct message *ret_message);

/* Free what unpacking took. Zero is fine. Fits `scoped(message_finish)`. */
void message_finish(struct message *message);

/* One line for traces and debug logs: "offer job=7 attempt=1 ...". Bulk bytes as their count. */
void message_print(const struct message *message, struct text *line);

/* Records on their own: admin parameters and results, and blobs in the store:
 * record_pack(RECORD_spec, &spec, &body). */
enum record_type {
#define RECORD(name, doc, fields) RECORD_##name,
#define MESSAGE(name, from_to, doc, fields)
#include "proto/messages.def"
#undef RECORD
#undef MESSAGE
	RECORD_TYPE_COUNT
};

void record_pack(enum record_type type, const void *record, struct text *body);

/* One line, as above, without the name. */
void record_print(enum record_type type, const void *record, struct text *line);

/* Memory comes from `arena`; `record` is filled only on success. An empty body reads as an empty
 * map. */
enum err record_unpack(enum record_type type, const void *body, size_t size, struct arena *arena,
                       void *record);
