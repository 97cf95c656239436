/* What the log is told of a handshake, and how often. Handshakes themselves: net and gate tests. */
#include "proto/handshake.h"

#include "base/log.h"
#include "base/scoped.h"
#include "tests/base/said.h"

#include <criterion/criterion.h>
#include <string.h>

static bool told;

/* The socket is given up in this state: is there a line about it? */
static bool tells(enum handshake_state state)
{
	struct handshake watch = { .state = state };
	struct said said = said_start();
	handshake_tell(&watch, "ci.example.org", &told);
	scoped(free_text) char *line = said_end(&said);
	cr_expect(!*line || strstr(line, "broker=ci.example.org: the broker"), "%s", line);
	return *line;
}

static void start(void)
{
	log_start("fettle-test", "info");
	told = false;
}

TestSuite(handshake, .init = start);

Test(handshake, a_refusal_is_told_once)
{
	cr_expect(tells(HANDSHAKE_REFUSED));
	cr_expect_not(tells(HANDSHAKE_REFUSED));
	cr_expect_not(tells(HANDSHAKE_LATER));
}

Test(handshake, silence_is_no_news)
{
	cr_expect_not(tells(HANDSHAKE_NONE));
	cr_expect(tells(HANDSHAKE_REFUSED));
	cr_expect_not(tells(HANDSHAKE_NONE));
	cr_expect_not(tells(HANDSHAKE_REFUSED), "nobody let us in meanwhile");
}

Test(handshake, it_is_told_again_after_one_that_was_done)
{
	const enum handshake_state done[] = { HANDSHAKE_DONE, HANDSHAKE_BROKEN };
	for (int i = 0; i < 2; i++) {
		cr_expect(tells(HANDSHAKE_REFUSED), "time %d", i);
		cr_expect_not(tells(done[i]));
	}
	cr_expect(tells(HANDSHAKE_LATER));
}
