/* Growing texts, and what the words of fettle may look like. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A growing byte buffer; `data` is NUL-terminated whenever it is not NULL. Zero is empty. */
struct text {
	char *data;
	size_t size;
	size_t capacity;
};

void text_add(struct text *text, const char *more);
void text_add_bytes(struct text *text, const void *data, size_t size);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forget the content, keep the memory. */
void text_clear(struct text *text);

/* Free the memory; zero is fine. Fits `scoped(text_finish)`. */
void text_finish(struct text *text);

/* Give the buffer away as a plain NUL-terminated string that the caller frees; the text is empty
 * again. Never NULL. */
char *text_take(struct text *text);

/* printf into a string that the caller frees. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A list of owned strings. Zero is empty. */
struct text_list {
	char **items;
	size_t count;
	size_t capacity;
};

void text_list_add(struct text_list *list, const char *item);
void text_list_finish(struct text_list *list);

/* Append copies of all items. */
void text_list_copy(struct text_list *list, const struct text_list *items);

/* NULL after the last item, as execve(2) wants it; it does not count. */
void text_list_end(struct text_list *list);

enum { NAME_SIZE_MAX = 64, COMMIT_SIZE = 40, REF_SIZE_MAX = 1024 };

/* Names of repositories, jobs, workers and labels: [A-Za-z0-9._-], 1 to 64 bytes, not starting with
 * '.' or '-', because they become file names. */
bool text_is_name(const char *text);

/* A name made of what a text has of one, with '-' for the rest; `fallback` when that is nothing.
 * The caller frees it. */
char *text_make_name(const char *text, const char *fallback);

/* Exactly 40 lower-case hex digits. */
bool text_is_commit(const char *text);
/* Its bytes; of what is no commit, others. */
void text_commit_to_bytes(const char *text, unsigned char ret_bytes[COMMIT_SIZE / 2]);

/* A full ref name ("refs/heads/main") as git-check-ref-format(1) allows it. */
bool text_is_ref(const char *text);

/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms) without NUL. */
bool text_is_utf8(const char *data, size_t size);

/* The candidate nearest to `word` (Damerau-Levenshtein), or NULL when none is near. */
const char *text_nearest(const char *word, const char *const *candidates, size_t count);

/* "850ms", "5s", "0.2s", "10m", "1h", "0" as milliseconds; false when it is none of these or over
 * a year. */
bool text_to_duration(const char *text, int64_t *ret_ms);

/* "4096", "64K", "1.5M", "2G", "1T" as bytes, by powers of 1024; false when it is none of these or
 * over 2^53. */
bool text_to_size(const char *text, int64_t *ret_bytes);

/* A whole number of at most 18 digits. */
bool text_to_count(const char *text, int64_t *ret_count);

/* Append bytes that came from outside so that a terminal shows them and does not obey them:
 * control bytes and malformed UTF-8 become '?'; tabs and newlines stay. */
void text_add_printable(struct text *text, const char *data, size_t size);

/* The same in place, for one line: control bytes become spaces, malformed UTF-8 '?'. */
void text_make_line(char *data, size_t size);

/* Bytes of the longest beginning of at most `most` bytes that does not cut a character in two. */
size_t text_cut(const char *data, size_t size, size_t most);
