/* Tables from messages.def, and the words of outcomes. */
#include "proto/schema.h"

#include <string.h>

#define FIELD(k, n, lo, hi, d)                                                                     \
	{ .name = #n,                                                                              \
	  .name_size = sizeof #n - 1,                                                              \
	  .kind = KIND_##k,                                                                        \
	  .required = true,                                                                        \
	  .offset = offsetof(self, n),                                                             \
	  .least = lo,                                                                             \
	  .most = hi,                                                                              \
	  .doc = d },
#define OPTION(k, n, lo, hi, d)                                                                    \
	{ .name = #n,                                                                              \
	  .name_size = sizeof #n - 1,                                                              \
	  .kind = KIND_##k,                                                                        \
	  .offset = offsetof(self, n),                                                             \
	  .least = lo,                                                                             \
	  .most = hi,                                                                              \
	  .doc = d },
#define LIST(r, n, count, d)                                                                       \
	{ .name = #n,                                                                              \
	  .name_size = sizeof #n - 1,                                                              \
	  .kind = KIND_list,                                                                       \
	  .offset = offsetof(self, n),                                                             \
	  .items = count,                                                                          \
	  .count_offset = offsetof(self, n##_count),                                               \
	  .record = RECORD_##r,                                                                    \
	  .doc = d },
#define WORDS(k, n, count, hi, d)                                                                  \
	{ .name = #n,                                                                              \
	  .name_size = sizeof #n - 1,                                                              \
	  .kind = KIND_words,                                                                      \
	  .word_kind = KIND_##k,                                                                   \
	  .offset = offsetof(self, n),                                                             \
	  .count_offset = offsetof(self, n##_count),                                               \
	  .items = count,                                                                          \
	  .least = 1,                                                                              \
	  .most = hi,                                                                              \
	  .doc = d },
#define ONE(r, n, d)                                                                               \
	{ .name = #n,                                                                              \
	  .name_size = sizeof #n - 1,                                                              \
	  .kind = KIND_one,                                                                        \
	  .required = true,                                                                        \
	  .offset = offsetof(self, n),                                                             \
	  .record = RECORD_##r,                                                                    \
	  .doc = d },

/* A function each, because only a function can name its struct `self`. */
#define TABLE(prefix, id, direction, d, ...)                                                       \
	static const struct schema *prefix##id##_schema(void)                                      \
	{                                                                                          \
		typedef struct prefix##id self;                                                    \
		static const struct field fields[] = { __VA_ARGS__{ .kind = KIND_END } };          \
		static const struct schema schema = { #id, sizeof #id - 1, direction,              \
			                              d,   sizeof(self),   fields };               \
		return &schema;                                                                    \
	}
#define RECORD(name, doc, fields)           TABLE(rec_, name, NULL, doc, fields)
#define MESSAGE(name, from_to, doc, fields) TABLE(msg_, name, from_to, doc, fields)
#include "proto/messages.def"
#undef RECORD
#undef MESSAGE

const struct schema *schema_of_message(enum message_type type)
{
	switch (type) {
#define RECORD(name, doc, fields)
#define MESSAGE(name, from_to, doc, fields)                                                        \
	case MESSAGE_##name:                                                                       \
		return msg_##name##_schema();
#include "proto/messages.def"
#undef RECORD
#undef MESSAGE
	case MESSAGE_NONE:
	case MESSAGE_TYPE_COUNT: break;
	}
	return NULL;
}

const struct schema *schema_of_record(enum record_type type)
{
	switch (type) {
#define RECORD(name, doc, fields)                                                                  \
	case RECORD_##name:                                                                        \
		return rec_##name##_schema();
#define MESSAGE(name, from_to, doc, fields)
#include "proto/messages.def"
#undef RECORD
#undef MESSAGE
	case RECORD_TYPE_COUNT: break;
	}
	return NULL;
}

void *schema_message_body(struct message *message)
{
	return (char *)message + offsetof(struct message, hello);
}

const char *message_type_text(enum message_type type)
{
	const struct schema *schema = schema_of_message(type);
	return schema ? schema->name : "none";
}

void message_finish(struct message *message)
{
	arena_finish(&message->arena);
	message->type = MESSAGE_NONE;
}

static const struct {
	const char *text;
	bool green;
} outcomes[OUTCOME_COUNT] = {
	[OUTCOME_NONE] = { "", false },
#define OUTCOME(name, green, doc) [OUTCOME_##name] = { #name, green },
#include "proto/outcomes.def"
#undef OUTCOME
};

const char *outcome_text(enum outcome outcome)
{
	return outcomes[outcome].text;
}

bool outcome_is_green(enum outcome outcome)
{
	return outcomes[outcome].green;
}

bool outcome_from_text(const char *text, enum outcome *ret_outcome)
{
	for (int i = OUTCOME_NONE + 1; i < OUTCOME_COUNT; i++) {
		if (strcmp(outcomes[i].text, text) == 0) {
			*ret_outcome = (enum outcome)i;
			return true;
		}
	}
	return false;
}
