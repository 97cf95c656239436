/* Growing texts, and what the words of fettle may look like. */
#include "base/scoped.h"
#include "base/text.h"

#include <criterion/criterion.h>
#include <string.h>

Test(text, it_grows_and_stays_terminated)
{
	scoped(text_finish) struct text text = { 0 };
	for (int i = 0; i < 1000; i++)
		text_addf(&text, "%d,", i);
	cr_assert_eq(text.size, strlen(text.data));
	cr_assert(strstr(text.data, ",998,999,"));
	text_clear(&text);
	cr_assert_str_eq(text.data, "");
	text_add_bytes(&text, "a\0b", 3);
	cr_assert_eq(text.size, 3);
}

Test(text, taking_leaves_an_empty_text)
{
	struct text text = { 0 };
	scoped(free_text) char *nothing = text_take(&text);
	cr_assert_str_eq(nothing, "");
	text_add(&text, "word");
	scoped(free_text) char *word = text_take(&text);
	cr_assert_str_eq(word, "word");
	cr_assert_null(text.data);
}

Test(text, names_become_file_names)
{
	char longest[66];
	memset(longest, 'n', 65);
	longest[64] = 0;
	cr_assert(text_is_name("a") && text_is_name("A.b_c-9") && text_is_name(longest));
	longest[64] = 'n';
	longest[65] = 0;
	static const char *const bad[] = { "",    ".",   "..",       ".a", "-a",
		                           "a/b", "a b", "\xc3\xa9", "a\n" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_not(text_is_name(bad[i]), "'%s'", bad[i]);
	cr_assert_not(text_is_name(longest));
}

Test(text, commits_are_forty_lower_case_hex_digits)
{
	cr_assert(text_is_commit("0123456789abcdef0123456789abcdef01234567"));
	cr_assert_not(text_is_commit("0123456789abcdef0123456789abcdef0123456"));
	cr_assert_not(text_is_commit("0123456789abcdef0123456789abcdef012345678"));
	cr_assert_not(text_is_commit("0123456789ABCDEF0123456789abcdef01234567"));
	cr_assert_not(text_is_commit(""));
}

Test(text, a_commit_is_twenty_bytes)
{
	const unsigned char expected[] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd,
		                           0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
		                           0xcd, 0xef, 0x01, 0x23, 0x45, 0xf9 };
	unsigned char bytes[COMMIT_SIZE / 2];
	text_commit_to_bytes("0123456789abcdef0123456789abcdef012345f9", bytes);
	cr_assert_arr_eq(bytes, expected, sizeof expected);
}

Test(text, refs_are_as_git_allows_them)
{
	static const char *const good[] = { "refs/heads/main", "refs/tags/v1.0",
		                            "refs/heads/a/b",  "refs/heads/-x",
		                            "refs/heads/@",    "refs/heads/\xc3\xa9" };
	static const char *const bad[] = {
		"",
		"main",
		"refs/",
		"refs/heads/",
		"refs/heads//a",
		"refs/heads/.a",
		"refs/heads/a..b",
		"refs/heads/a.lock",
		"refs/heads/a.lock/b",
		"refs/heads/a.",
		"refs/heads/a b",
		"refs/heads/a~1",
		"refs/heads/a^",
		"refs/heads/a:b",
		"refs/heads/a?",
		"refs/heads/[a",
		"refs/heads/a\\b",
		"refs/heads/@{u}",
		"refs/heads/a\x7f",
		"refs/heads/\xff",
	};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		cr_assert(text_is_ref(good[i]), "'%s'", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_not(text_is_ref(bad[i]), "'%s'", bad[i]);
}

Test(text, utf8_is_well_formed_and_without_nul)
{
	cr_assert(text_is_utf8("", 0) && text_is_utf8(NULL, 0));
	cr_assert(text_is_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
	static const char *const bad[] = { "\x80",
		                           "\xc3",
		                           "\xc0\xaf",
		                           "\xe0\x80\x80",
		                           "\xed\xa0\x80",
		                           "\xf4\x90\x80\x80",
		                           "\xf8\x88\x80\x80\x80",
		                           "\xe2\x82" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_not(text_is_utf8(bad[i], strlen(bad[i])), "%zu", i);
	cr_assert_not(text_is_utf8("a\0b", 3));
	/* Wherever it stands among bytes that are looked at eight at a time. */
	for (size_t i = 0; i < 24; i++) {
		char text[] = "twenty-four plain bytes.";
		cr_assert(text_is_utf8(text, 24));
		text[i] = 0;
		cr_assert_not(text_is_utf8(text, 24), "NUL at %zu", i);
		text[i] = (char)0x80;
		cr_assert_not(text_is_utf8(text, 24), "0x80 at %zu", i);
	}
}

Test(text, the_nearest_word)
{
	static const char *const words[] = { "steps", "labels", "timeout", "env", "jobs" };
	cr_assert_str_eq(text_nearest("step", words, 5), "steps");
	cr_assert_str_eq(text_nearest("lables", words, 5), "labels");
	cr_assert_str_eq(text_nearest("time-out", words, 5), "timeout");
	cr_assert_null(text_nearest("quite-different", words, 5));
	cr_assert_null(text_nearest("", words, 5));
	char longest[200] = { 0 };
	memset(longest, 's', sizeof longest - 1);
	cr_assert_null(text_nearest(longest, words, 5));
	cr_assert_null(text_nearest("step", words, 0));
}

static void duration_is(const char *text, int64_t wanted)
{
	int64_t ms = -1;
	cr_assert_eq(text_to_duration(text, &ms), wanted >= 0, "'%s'", text);
	cr_assert_eq(ms, wanted, "'%s' is %lld", text, (long long)ms);
}

Test(text, sizes)
{
	static const char *const bad[] = { "",      "K",   "1k",    "1KB", "-1",
		                           "1.2.3", ".5K", "9000T", "1 K" };
	int64_t bytes = -1;
	cr_assert(text_to_size("0", &bytes) && bytes == 0);
	cr_assert(text_to_size("4096", &bytes) && bytes == 4096);
	cr_assert(text_to_size("64K", &bytes) && bytes == 65536);
	cr_assert(text_to_size("1.5M", &bytes) && bytes == 1572864);
	cr_assert(text_to_size("2T", &bytes) && bytes == INT64_C(2199023255552));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert(!text_to_size(bad[i], &bytes), "'%s'", bad[i]);
}

Test(text, durations)
{
	duration_is("0", 0);
	duration_is("850ms", 850);
	duration_is("5s", 5000);
	duration_is("0.2s", 200);
	duration_is("1.5m", 90000);
	duration_is("10m", 600000);
	duration_is("1h", 3600000);
	duration_is("366d", INT64_C(31622400000));
	static const char *const bad[] = {
		"",     "5",    "s",      "-5s", "5 s",
		"5sec", "1e3s", "0x5s",   "inf", "nan",
		"367d", ".5s",  "1.2.3s", "5S",  "9999999999999999999d"
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		duration_is(bad[i], -1);
}

Test(text, counts)
{
	int64_t count = -1;
	cr_assert(text_to_count("0", &count) && count == 0);
	cr_assert(text_to_count("999999999999999999", &count));
	cr_assert_eq(count, INT64_C(999999999999999999));
	static const char *const bad[] = { "",   "-1",  "+1",  " 1",
		                           "1 ", "1.0", "0x1", "9999999999999999999" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_not(text_to_count(bad[i], &count), "'%s'", bad[i]);
}

static void prints(const char *data, size_t size, const char *wanted)
{
	scoped(text_finish) struct text text = { 0 };
	text_add(&text, "");
	text_add_printable(&text, data, size);
	cr_assert_str_eq(text.data, wanted);
}

Test(text, a_terminal_shows_it_and_does_not_obey_it)
{
	prints("", 0, "");
	prints("a\tb\nc", 5, "a\tb\nc");
	prints("\x1b[31m\r\x07", 7, "?[31m??");
	prints("a\0b", 3, "a?b");
	prints("\xc2\x9b"
	       "31m",
	       5, "?31m");
	prints("\x9b\xff\xc3\xa9", 4, "??\xc3\xa9");
	prints("\xe2\x82", 2, "??");
}

Test(text, lists_own_their_items)
{
	struct text_list list = { 0 };
	char word[] = "first";
	text_list_add(&list, word);
	word[0] = 'F';
	text_list_add(&list, "second");
	cr_assert_eq(list.count, 2);
	cr_assert_str_eq(list.items[0], "first");
	text_list_finish(&list);
	text_list_finish(&list);
	cr_assert_eq(list.count, 0);
}
