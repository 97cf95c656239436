/* Growing texts, and what the words of fettle may look like. */
#include "base/text.h"

#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_add_bytes(struct text *text, const void *data, size_t size)
{
	memory_reserve((void **)&text->data, &text->capacity, text->size + size + 1, 1);
	if (size)
		memcpy(text->data + text->size, data, size);
	text->size += size;
	text->data[text->size] = 0;
}

void text_add(struct text *text, const char *more)
{
	text_add_bytes(text, more, strlen(more));
}

__attribute__((format(printf, 2, 0))) static void add_formatted(struct text *text,
                                                                const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	int size = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (size < 0)
		return;
	memory_reserve((void **)&text->data, &text->capacity, text->size + (size_t)size + 1, 1);
	vsnprintf(text->data + text->size, (size_t)size + 1, format, args);
	text->size += (size_t)size;
}

void text_addf(struct text *text, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	add_formatted(text, format, args);
	va_end(args);
}

void text_clear(struct text *text)
{
	text->size = 0;
	if (text->data)
		text->data[0] = 0;
}

void text_finish(struct text *text)
{
	free(text->data);
	*text = (struct text){ 0 };
}

char *text_take(struct text *text)
{
	char *data = text->data ? text->data : memory_copy_text("");
	*text = (struct text){ 0 };
	return data;
}

char *text_format(const char *format, ...)
{
	struct text text = { 0 };
	va_list args;
	va_start(args, format);
	add_formatted(&text, format, args);
	va_end(args);
	return text_take(&text);
}

void text_list_add(struct text_list *list, const char *item)
{
	memory_reserve((void **)&list->items, &list->capacity, list->count + 1,
	               sizeof *list->items);
	list->items[list->count++] = memory_copy_text(item);
}

void text_list_copy(struct text_list *list, const struct text_list *items)
{
	for (size_t i = 0; i < items->count; i++)
		text_list_add(list, items->items[i]);
}

void text_list_end(struct text_list *list)
{
	text_list_add(list, "");
	free(list->items[--list->count]);
	list->items[list->count] = NULL;
}

void text_list_finish(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct text_list){ 0 };
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool text_is_name(const char *text)
{
	size_t size = strlen(text);
	if (size == 0 || size > NAME_SIZE_MAX || text[0] == '.' || text[0] == '-')
		return false;
	for (size_t i = 0; i < size; i++)
		if (!is_alnum(text[i]) && !strchr("._-", text[i]))
			return false;
	return true;
}

char *text_make_name(const char *text, const char *fallback)
{
	char name[NAME_SIZE_MAX + 1];
	size_t size = 0;
	for (; *text && size < NAME_SIZE_MAX; text++) {
		bool keep = is_alnum(*text) || *text == '_' || (size && strchr(".-", *text));
		if (keep)
			name[size++] = *text;
		else if (size && name[size - 1] != '-')
			name[size++] = '-';
	}
	while (size && name[size - 1] == '-')
		size--;
	name[size] = 0;
	return memory_copy_text(size ? name : fallback);
}

bool text_is_commit(const char *text)
{
	return strlen(text) == COMMIT_SIZE && strspn(text, "0123456789abcdef") == COMMIT_SIZE;
}

static unsigned nibble(char digit)
{
	return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10) & 15;
}

void text_commit_to_bytes(const char *text, unsigned char ret_bytes[COMMIT_SIZE / 2])
{
	for (size_t i = 0; i < COMMIT_SIZE / 2; i++)
		ret_bytes[i] = (unsigned char)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
}

bool text_is_ref(const char *text)
{
	size_t size = strlen(text);
	if (strncmp(text, "refs/", 5) != 0 || size > REF_SIZE_MAX || text[size - 1] == '/' ||
	    text[size - 1] == '.')
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c <= 0x20 || c == 0x7f || strchr("~^:?*[\\", c))
			return false;
		if (c == '/' && (text[i + 1] == '/' || text[i + 1] == '.'))
			return false;
	}
	return !strstr(text, "..") && !strstr(text, "@{") && !strstr(text, ".lock/") &&
	       !(size >= 5 && strcmp(text + size - 5, ".lock") == 0) && text_is_utf8(text, size);
}

/* Bytes of the well-formed character at `s`, 0 when it is malformed. RFC 3629, section 4. */
static size_t utf8_step(const unsigned char *s, size_t left)
{
	if (s[0] < 0x80)
		return s[0] ? 1 : 0;
	size_t need = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || need > left)
		return 0;
	for (size_t i = 1; i < need; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return need;
}

/* Eight bytes of ASCII, none of them zero? Most of what we read is, and it is read for every
 * message. (Bytes that are zero: Mycroft's trick, exact for ASCII.) */
static bool is_plain_word(const char *data)
{
	const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
	uint64_t word;
	memcpy(&word, data, sizeof word);
	return !((word | (word - ones)) & highs);
}

bool text_is_utf8(const char *data, size_t size)
{
	const unsigned char *s = (const unsigned char *)data;
	for (size_t i = 0; i < size;) {
		if (size - i >= 8 && is_plain_word(data + i)) {
			i += 8;
			continue;
		}
		size_t step = utf8_step(s + i, size - i);
		if (!step)
			return false;
		i += step;
	}
	return true;
}

void text_add_printable(struct text *text, const char *data, size_t size)
{
	const unsigned char *s = (const unsigned char *)data;
	for (size_t i = 0; i < size;) {
		size_t step = utf8_step(s + i, size - i);
		bool control = step == 1 && (s[i] < 0x20 || s[i] == 0x7f);
		bool c1 = step == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0; /* 8-bit CSI and friends */
		if (control && (s[i] == '\n' || s[i] == '\t'))
			control = false;
		if (!step || control || c1)
			text_add_bytes(text, "?", 1);
		else
			text_add_bytes(text, data + i, step);
		i += step ? step : 1;
	}
}

size_t text_cut(const char *data, size_t size, size_t most)
{
	if (size <= most)
		return size;
	while (most > 0 && ((unsigned char)data[most] & 0xc0) == 0x80)
		most--;
	return most;
}

void text_make_line(char *data, size_t size)
{
	const unsigned char *s = (const unsigned char *)data;
	for (size_t i = 0; i < size;) {
		size_t step = utf8_step(s + i, size - i);
		if (s[i] < 0x20 || s[i] == 0x7f)
			data[i] = ' ';
		else if (!step)
			data[i] = '?';
		else if (step == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0)
			data[i] = data[i + 1] = '?';
		i += step ? step : 1;
	}
}

enum { NEAREST_SIZE_MAX = 40 };

/* Optimal string alignment distance; both words at most NEAREST_SIZE_MAX long. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
	size_t rows[3][NEAREST_SIZE_MAX + 1] = { 0 };
	size_t *before = rows[0], *above = rows[1], *row = rows[2];
	for (size_t j = 0; j <= b_size; j++)
		above[j] = j;
	for (size_t i = 1; i <= a_size; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b_size; j++) {
			size_t least = above[j - 1] + (a[i - 1] != b[j - 1]);
			if (above[j] + 1 < least)
				least = above[j] + 1;
			if (row[j - 1] + 1 < least)
				least = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < least)
				least = before[j - 2] + 1;
			row[j] = least;
		}
		size_t *spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[b_size];
}

const char *text_nearest(const char *word, const char *const *candidates, size_t count)
{
	size_t size = strlen(word), least = size / 3 + 2;
	const char *nearest = NULL;
	for (size_t i = 0; i < count && size <= NEAREST_SIZE_MAX; i++) {
		size_t other = strlen(candidates[i]);
		if (other > NEAREST_SIZE_MAX)
			continue;
		size_t d = distance(word, size, candidates[i], other);
		if (d < least && d < other) {
			least = d;
			nearest = candidates[i];
		}
	}
	return nearest;
}

struct unit {
	const char *name;
	double factor; /* 0: nothing but zero is written so */
};

/* A number and the name of its unit; false when it is neither, or over `most`. */
static bool read_quantity(const char *text, const struct unit *units, size_t count, double most,
                          int64_t *ret_value)
{
	size_t digits = strspn(text, "0123456789.");
	if (digits == 0 || digits > 15 || text[0] == '.')
		return false;
	char *end;
	double value = strtod(text, &end);
	if (end != text + digits)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(end, units[i].name) != 0)
			continue;
		if (value * units[i].factor > most || (units[i].factor == 0 && value != 0))
			return false;
		*ret_value = (int64_t)(value * units[i].factor + 0.5);
		return true;
	}
	return false;
}

bool text_to_duration(const char *text, int64_t *ret_ms)
{
	static const struct unit units[] = { { "", 0 },     { "ms", 1 },     { "s", 1000 },
		                             { "m", 60e3 }, { "h", 3600e3 }, { "d", 86400e3 } };
	return read_quantity(text, units, sizeof units / sizeof *units, 366 * 86400e3, ret_ms);
}

bool text_to_size(const char *text, int64_t *ret_bytes)
{
	static const struct unit units[] = { { "", 1 },
		                             { "K", 1024 },
		                             { "M", 1024.0 * 1024 },
		                             { "G", 1024.0 * 1024 * 1024 },
		                             { "T", 1024.0 * 1024 * 1024 * 1024 } };
	return read_quantity(text, units, sizeof units / sizeof *units, 9007199254740992.0,
	                     ret_bytes);
}

bool text_to_count(const char *text, int64_t *ret_count)
{
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 18 || text[digits])
		return false;
	*ret_count = strtoll(text, NULL, 10);
	return true;
}
