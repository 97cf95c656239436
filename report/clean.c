/* Test programs print what their tests said into XML that does not allow it: colours, control
 * characters, bytes that are no UTF-8. The verdict must not hang on that. */
#include "report/parts.h"

#include <stdlib.h>
#include <string.h>

enum { DECLARATION_MAX = 200 };

/* Is it UTF-8, as far as it says? Another encoding has rules of its own. */
static bool says_utf8(struct slice text)
{
	static const char *const names[] = { "utf-8", "UTF-8", "Utf-8", "utf8", "UTF8" };
	if (slice_starts(text, "\xff\xfe") || slice_starts(text, "\xfe\xff"))
		return false;
	if (text.size > DECLARATION_MAX)
		text.size = DECLARATION_MAX;
	const char *end = slice_find(text, "?>");
	const char *encoding = end ? slice_find(slice_before(text, end), "encoding") : NULL;
	if (!encoding)
		return true;
	struct slice value = { encoding, (size_t)(end - encoding) };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (slice_find(value, names[i]))
			return true;
	return false;
}

static bool is_xml_character(unsigned long code)
{
	return code == '\t' || code == '\n' || code == '\r' || (code >= 0x20 && code < 0xd800) ||
	       (code >= 0xe000 && code <= 0x10ffff && code != 0xfffe && code != 0xffff);
}

/* The size of a reference ("&#27;", "&#x1b;") to a character that XML does not allow; 0: none. */
static size_t bad_reference(struct slice rest)
{
	char digits[12] = { 0 };
	size_t most = rest.size < sizeof digits ? rest.size : sizeof digits;
	const char *end = memchr(rest.data, ';', most);
	if (!slice_starts(rest, "&#") || !end)
		return 0;
	size_t size = (size_t)(end - rest.data);
	memcpy(digits, rest.data, size);
	bool hex = digits[2] == 'x';
	char *stopped;
	unsigned long code = strtoul(digits + 2 + hex, &stopped, hex ? 16 : 10);
	return *stopped || is_xml_character(code) ? 0 : size + 1;
}

/* The size of the character that begins here, when XML allows it; else 0. */
static size_t character_size(struct slice rest)
{
	unsigned char lead = (unsigned char)rest.data[0];
	size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (lead < 0x80)
		return is_xml_character(lead);
	if (size > rest.size || !text_is_utf8(rest.data, size))
		return 0;
	bool is_none = lead == 0xef && (unsigned char)rest.data[1] == 0xbf &&
	               (unsigned char)rest.data[2] >= 0xbe; /* U+FFFE, U+FFFF */
	return is_none ? 0 : size;
}

bool clean_xml(const char *data, size_t size, struct text *cleaned)
{
	size_t done = 0; /* bytes that are in `cleaned`, or were passed over */
	if (!says_utf8((struct slice){ data, size }))
		return false;
	for (size_t i = 0; i < size;) {
		struct slice rest = { data + i, size - i };
		size_t bad = data[i] == '&' ? bad_reference(rest) : 0;
		size_t good = bad ? 0 : character_size(rest);
		if (good) {
			i += good;
			continue;
		}
		text_add_bytes(cleaned, data + done, i - done);
		text_add(cleaned, "?");
		i += bad ? bad : 1;
		done = i;
	}
	if (done == 0)
		return false;
	text_add_bytes(cleaned, data + done, size - done);
	return true;
}
