/* Commit ids, and dates of the calendar in UTC. */
#include "proto/since.h"

#include "base/text.h"

/* Do the characters have the shape: `0` for any digit? */
static bool has_shape(const char *text, const char *shape)
{
	size_t i = 0;
	for (; shape[i]; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';
		if (shape[i] == '0' ? !digit : text[i] != shape[i])
			return false;
	}
	return text[i] == 0;
}

static int64_t number(const char *text, size_t size)
{
	int64_t value = 0;
	for (size_t i = 0; i < size; i++)
		value = value * 10 + (text[i] - '0');
	return value;
}

static bool is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970 of a date that exists; -1 for one that does not, or was before. */
static int64_t count_days(int64_t year, int64_t month, int64_t day)
{
	static const int64_t lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	if (year < 1970 || month < 1 || month > 12 || day < 1 ||
	    day > lengths[month - 1] + (month == 2 && is_leap(year)))
		return -1;
	int64_t days = day - 1 + (month > 2 && is_leap(year));
	for (int64_t i = 1970; i < year; i++)
		days += 365 + is_leap(i);
	for (int64_t i = 0; i + 1 < month; i++)
		days += lengths[i];
	return days;
}

static bool read_time(const char *text, int64_t *ret_time_s)
{
	bool timed = has_shape(text, "0000-00-00T00:00:00Z");
	if (!timed && !has_shape(text, "0000-00-00"))
		return false;
	int64_t days = count_days(number(text, 4), number(text + 5, 2), number(text + 8, 2));
	int64_t hour = timed ? number(text + 11, 2) : 0, minute = timed ? number(text + 14, 2) : 0;
	int64_t second = timed ? number(text + 17, 2) : 0;
	if (days < 0 || hour > 23 || minute > 59 || second > 59)
		return false;
	*ret_time_s = ((days * 24 + hour) * 60 + minute) * 60 + second;
	return true;
}

enum err since_read(const char *text, struct since *ret_since)
{
	*ret_since = (struct since){ .kind = SINCE_NOTHING };
	if (!text)
		return OK;
	if (text_is_commit(text)) {
		*ret_since = (struct since){ .kind = SINCE_COMMIT, .commit = text };
		return OK;
	}
	if (!read_time(text, &ret_since->time_s))
		return fail(
			ERR_USAGE,
			"since '%.64s': neither a whole commit id nor a date such as 2024-02-29 "
			"or 2024-02-29T12:00:00Z",
			text);
	ret_since->kind = SINCE_TIME;
	return OK;
}
