/* Text for people, with stdout that is no terminal. */
#include "cli/output.h"

#include "base/scoped.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <pty.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

Test(output, refs_lose_their_prefix)
{
	cr_assert_str_eq(output_ref("refs/heads/main"), "main");
	cr_assert_str_eq(output_ref("refs/heads/release/1"), "release/1");
	cr_assert_str_eq(output_ref("refs/tags/v1"), "v1");
	cr_assert_str_eq(output_ref("refs/pull/7/head"), "pull/7/head");
	cr_assert_str_eq(output_ref(NULL), "");
}

Test(output, sizes_have_units)
{
	char text[CLOCK_TEXT_SIZE];
	cr_assert_str_eq(output_size(0, text), "0 bytes");
	cr_assert_str_eq(output_size(1023, text), "1023 bytes");
	cr_assert_str_eq(output_size(1536, text), "1.5 KiB");
	cr_assert_str_eq(output_size(UINT64_MAX, text), "16384.0 PiB");
}

Test(output, no_age_is_a_dash)
{
	char text[CLOCK_TEXT_SIZE];
	cr_assert_str_eq(output_age(0, text), "-");
	cr_assert_str_eq(output_age(INT64_MAX, text), "0ms ago"); /* a clock that was wrong */
}

Test(output, text_from_outside_stays_on_its_line)
{
	scoped(text_finish) struct text line = { 0 };
	output_add(&line, TINT_RED, "a\nb\tc\033[2J");
	cr_assert_str_eq(line.data, "a b c?[2J");
}

Test(output, columns_are_as_wide_as_their_widest_cell, .init = cr_redirect_stdout)
{
	static const char *const titles[] = { "A", "LONGER", "LAST" };
	struct columns table = columns_start(3, titles);
	columns_add(&table, TINT_NONE, "x");
	columns_add(&table, TINT_NONE, NULL);
	columns_add(&table, TINT_NONE, "end");
	columns_add(&table, TINT_NONE, "gr\xc3\xbc\xc3\x9f"); /* four characters, six bytes */
	columns_addf(&table, "%d", 7);
	columns_add(&table, TINT_NONE, "more");
	columns_print(&table, "  ");
	columns_finish(&table);
	fflush(stdout);
	cr_assert_stdout_eq_str("  A     LONGER  LAST\n"
	                        "  x     -       end\n"
	                        "  gr\xc3\xbc\xc3\x9f  7       more\n");
}

/* What a terminal of 14 columns is shown of a table. */
static void show_table(const char *locale, char *shown, size_t most)
{
	static const char *const titles[] = { "A", "LAST" };
	const struct winsize window = { .ws_row = 24, .ws_col = 14 };
	int ends[2], real = dup(STDOUT_FILENO);
	cr_assert_eq(openpty(&ends[0], &ends[1], NULL, NULL, &window), 0);
	setenv("NO_COLOR", "1", 1);
	setenv("LC_ALL", locale, 1);
	dup2(ends[1], STDOUT_FILENO);
	output_start();
	struct columns table = columns_start(2, titles);
	columns_add(&table, TINT_NONE, "\xc3\xbc");
	columns_add(&table, TINT_NONE, "123456789012"); /* one character too many */
	columns_add(&table, TINT_NONE, "y");
	columns_add(&table, TINT_NONE, "12345678901");
	columns_print(&table, "");
	columns_finish(&table);
	fflush(stdout);
	dup2(real, STDOUT_FILENO);
	close(ends[1]);
	size_t size = 0; /* a terminal hands out what it has, piece by piece */
	for (ssize_t got; (got = read(ends[0], shown + size, most - 1 - size)) > 0;)
		size += (size_t)got;
	shown[size] = 0;
}

Test(output, the_last_column_is_cut_to_the_terminal)
{
	char shown[200];
	show_table("C.UTF-8", shown, sizeof shown);
	cr_assert_str_eq(shown, "A  LAST\r\n"
	                        "\xc3\xbc  1234567890…\r\n"
	                        "y  12345678901\r\n");
}

Test(output, a_terminal_of_the_c_locale_gets_ascii)
{
	char shown[200];
	show_table("C", shown, sizeof shown);
	cr_assert_str_eq(shown, "A  LAST\r\n"
	                        "?  1234567890~\r\n"
	                        "y  12345678901\r\n");
}

Test(output, a_cut_line_keeps_its_colours_and_ends_them)
{
	scoped(text_finish) struct text line = { 0 };
	output_add_cut(&line, "\033[31mred\033[0m and more", 20);
	cr_assert_str_eq(line.data, "\033[31mred\033[0m and more");
	text_clear(&line);
	output_add_cut(&line, "\033[31mred\033[0m and more", 3);
	cr_assert_str_eq(line.data, "\033[31mre…\033[0m");
	text_clear(&line);
	output_add_cut(&line,
	               "gr\xc3\xbc\xc3\x9f"
	               "e",
	               4);
	cr_assert_str_eq(line.data, "gr\xc3\xbc…");
}
