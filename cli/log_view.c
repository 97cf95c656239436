/* Control sequences as ECMA-48 (5th edition, sections 5.4 and 5.6, and 8.3.117 for SGR) has them. A
 * line that a carriage return would write over is shown as a line of its own. */
#include "cli/log_view.h"

#include <string.h>

enum { ESCAPE = 0x1b, BELL = 0x07 };

/* Bytes of a character by its first one; 1 for what is none. */
static size_t character_size(unsigned char first)
{
	return first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
}

/* Bytes at the end that begin a character and do not end it. */
static size_t unfinished(const char *data, size_t size)
{
	for (size_t tail = 1; tail <= 3 && tail <= size; tail++) {
		unsigned char byte = (unsigned char)data[size - tail];
		if ((byte & 0xc0) == 0x80)
			continue;
		return character_size(byte) > tail ? tail : 0;
	}
	return 0;
}

/* Bytes of a sequence that begins with ESC [; 0 when its end is not there. */
static size_t control_size(const char *data, size_t size)
{
	for (size_t i = 2; i < size; i++) {
		unsigned char byte = (unsigned char)data[i];
		if (byte >= 0x40 && byte <= 0x7e)
			return i + 1;
		if (byte < 0x20 || byte > 0x3f)
			return i; /* broken off */
	}
	return 0;
}

static bool is_colour(const char *sequence, size_t size)
{
	return size >= 3 && size <= LOG_VIEW_HELD_MAX && sequence[size - 1] == 'm' &&
	       strspn(sequence + 2, "0123456789;:") == size - 3;
}

static void add_colour(struct log_view *view, const char *sequence, size_t size, struct text *out)
{
	if (!view->colour)
		return;
	text_add_bytes(out, sequence, size);
	view->coloured = true;
}

/* At an ESC: the bytes it takes with what follows; 0 when the end is not there. */
static size_t take_escape(struct log_view *view, const char *data, size_t size, struct text *out)
{
	if (size < 2)
		return 0;
	if (data[1] == '[') {
		size_t whole = control_size(data, size);
		if (is_colour(data, whole))
			add_colour(view, data, whole, out);
		return whole;
	}
	view->in_string = strchr("]PX^_", data[1]) != NULL && data[1];
	return (unsigned char)data[1] < 0x20 ? 1 : 2;
}

/* Within a string: the bytes to pass over; 0 at its end. A newline ends one that nobody ended. */
static size_t pass_string(struct log_view *view, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		view->in_string = data[i] != BELL && data[i] != '\n' && data[i] != ESCAPE;
		if (!view->in_string)
			return data[i] == BELL ? i + 1 : i;
	}
	return size;
}

static size_t take_text(const char *data, size_t size, struct text *out)
{
	size_t end = 0;
	while (end < size && data[end] != ESCAPE && data[end] != '\r')
		end++;
	size_t cut = end == size ? unfinished(data, size) : 0;
	text_add_printable(out, data, end - cut);
	return end - cut;
}

/* The bytes taken from the beginning; 0 when more must come first. */
static size_t take(struct log_view *view, const char *data, size_t size, struct text *out)
{
	size_t passed = view->in_string ? pass_string(view, data, size) : 0;
	if (passed)
		return passed;
	if (*data == ESCAPE)
		return take_escape(view, data, size, out);
	if (*data != '\r')
		return take_text(data, size, out);
	if (size < 2)
		return 0;
	if (data[1] != '\n' && data[1] != '\r')
		text_add(out, "\n");
	return 1;
}

void log_view_add(struct log_view *view, const char *data, size_t size, struct text *out)
{
	struct text whole = { 0 };
	text_add_bytes(&whole, view->held, view->held_size);
	text_add_bytes(&whole, data, size);
	size_t at = 0;
	while (at < whole.size) {
		size_t taken = take(view, whole.data + at, whole.size - at, out);
		if (taken == 0 && whole.size - at >= LOG_VIEW_HELD_MAX)
			taken = 1; /* an endless sequence: its ESC goes, the rest is text */
		if (taken == 0)
			break;
		at += taken;
	}
	view->held_size = whole.size - at;
	if (view->held_size)
		memcpy(view->held, whole.data + at, view->held_size);
	text_finish(&whole);
}

void log_view_end(struct log_view *view, struct text *out)
{
	if (view->held_size && *view->held != ESCAPE && *view->held != '\r')
		text_add_printable(out, view->held, view->held_size);
	if (view->coloured)
		text_add(out, "\033[0m");
	*view = (struct log_view){ .colour = view->colour };
}
