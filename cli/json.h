/* JSON as it is written: no tree, one line per value. Keys of records are those of messages.def.
 * Times are RFC 3339 texts in UTC or null, lists are always there, absent texts are null. */
#pragma once

#include "proto/message.h"

#include <stdio.h>

struct json {
	FILE *file;
	bool comma; /* before the next item */
};

struct json json_start(FILE *file);

/* End the line. */
void json_finish(struct json *json);

/* `bracket` is one of { } [ ]. */
void json_open(struct json *json, char bracket);
void json_close(struct json *json, char bracket);
void json_key(struct json *json, const char *key);

/* NULL is null. What is no UTF-8 becomes U+FFFD, control characters are escaped. */
void json_text(struct json *json, const char *text);
void json_bytes(struct json *json, const char *data, size_t size);
void json_number(struct json *json, uint64_t number);
void json_flag(struct json *json, bool flag);

/* RFC 3339; 0 is null. */
void json_time(struct json *json, int64_t wall_ms);

/* A record as a line of its own, on stdout. */
void json_print(enum record_type type, const void *record);

/* A record, or a message's body, by its rows. */
void json_record(struct json *json, enum record_type type, const void *record);
void json_message(struct json *json, struct message *message);
