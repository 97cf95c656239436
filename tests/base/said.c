/* A pipe in the place of stderr. */
#include "tests/base/said.h"

#include "base/text.h"

#include <criterion/criterion.h>
#include <unistd.h>

struct said said_start(void)
{
	int ends[2];
	struct said said = { .stderr_before = dup(STDERR_FILENO) };
	cr_assert_eq(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	said.from = ends[0];
	return said;
}

char *said_end(const struct said *said)
{
	char text[8192];
	dup2(said->stderr_before, STDERR_FILENO); /* the last end to write to is closed by it */
	close(said->stderr_before);
	ssize_t size = read(said->from, text, sizeof text - 1);
	close(said->from);
	text[size > 0 ? size : 0] = 0;
	return text_format("%s", text);
}
