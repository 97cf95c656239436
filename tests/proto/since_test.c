/* How far back a first look goes, as people write it. */
#include "proto/since.h"

#include <criterion/criterion.h>

Test(since, is_a_commit_or_a_date)
{
	static const struct {
		const char *text;
		int64_t time_s;
	} dates[] = {
		{ "1970-01-01", 0 },          { "2000-03-01", 951868800 },
		{ "2024-02-29", 1709164800 }, { "2024-12-31T23:59:59Z", 1735689599 },
		{ "2100-03-01", 4107542400 },
	};
	struct since since;
	for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
		cr_assert_eq(since_read(dates[i].text, &since), OK, "%s", dates[i].text);
		cr_expect_eq(since.kind, SINCE_TIME);
		cr_expect_eq(since.time_s, dates[i].time_s, "%s", dates[i].text);
	}
	cr_assert_eq(since_read("1234567890123456789012345678901234567890", &since), OK);
	cr_assert_eq(since.kind, SINCE_COMMIT);
	cr_assert_eq(since_read(NULL, &since), OK);
	cr_assert_eq(since.kind, SINCE_NOTHING);
}

Test(since, is_nothing_else)
{
	static const char *const texts[] = {
		"",
		"yesterday",
		"2024",
		"2023-02-29",
		"2024-13-01",
		"2024-00-10",
		"2024-01-32",
		"2024-1-1",
		"2024-01-01T24:00:00Z",
		"1969-12-31",
		"12345678",
		"2024-01-01 ",
		"2024-01-01T10:00:00",
		"HEAD",
	};
	struct since since;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		cr_expect_eq(since_read(texts[i], &since), ERR_USAGE, "%s", texts[i]);
}
