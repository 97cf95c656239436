/* What of a log reaches a terminal: however it is cut into parts, the same. */
#include "base/scoped.h"
#include "cli/log_view.h"

#include <criterion/criterion.h>
#include <string.h>

/* Shown whole, byte by byte, and cut in two at each place. */
static void shows(bool colour, const char *log, const char *wanted)
{
	size_t size = strlen(log);
	for (size_t cut = 0; cut <= size + 1; cut++) {
		struct log_view view = { .colour = colour };
		scoped(text_finish) struct text shown = { 0 };
		if (cut > size)
			for (size_t i = 0; i < size; i++)
				log_view_add(&view, log + i, 1, &shown);
		else
			log_view_add(&view, log, cut, &shown);
		if (cut <= size)
			log_view_add(&view, log + cut, size - cut, &shown);
		log_view_end(&view, &shown);
		cr_assert_str_eq(shown.data ? shown.data : "", wanted, "cut at %zu", cut);
	}
}

Test(log_view, text_stays)
{
	shows(true, "", "");
	shows(true, "one\n\ttwo \xc3\xa9 \xf0\x9f\x98\x80\n",
	      "one\n\ttwo \xc3\xa9 \xf0\x9f\x98\x80\n");
	shows(false,
	      "a\xff"
	      "b\x01\x7f\xc2\x9b"
	      "31m",
	      "a?b???31m");
}

Test(log_view, colours_stay_when_they_are_wanted)
{
	shows(true, "\033[1;31mred\033[0m\n", "\033[1;31mred\033[0m\n\033[0m");
	shows(false, "\033[1;31mred\033[0m\n", "red\n");
	shows(true, "\033[38:5:1mred", "\033[38:5:1mred\033[0m");
}

Test(log_view, what_moves_or_hides_does_not_pass)
{
	shows(true, "a\033[2J\033[1;1Hb\033[?25lc\033[8", "abc");
	shows(true, "a\033cb\033(0c", "ab0c");
	shows(true, "\033]0;title\007a\033]8;;http://x\033\\link\033]8;;\033\\", "alink");
	shows(true, "\033Psecret\033\\a\033_apc\033\\b", "ab");
	shows(true, "\033]0;never ended\nnext\n", "\nnext\n");
	shows(true, "\033[31\001m", "?m");
}

Test(log_view, what_was_written_over_is_seen)
{
	shows(true, "failed\rpassed\r\n", "failed\npassed\n");
	shows(true, "a\r\r\nb\r", "a\nb");
}

Test(log_view, an_endless_sequence_is_text)
{
	char log[300];
	memset(log, '1', sizeof log - 1);
	memcpy(log, "\033[", 2);
	log[sizeof log - 1] = 0;
	struct log_view view = { .colour = true };
	scoped(text_finish) struct text shown = { 0 };
	for (size_t i = 0; i < sizeof log - 1; i++)
		log_view_add(&view, log + i, 1, &shown);
	cr_assert_leq(view.held_size, LOG_VIEW_HELD_MAX);
	cr_assert_eq(shown.size, sizeof log - 2);
}
