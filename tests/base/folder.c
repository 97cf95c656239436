/* See folder.h. */
#include "tests/base/folder.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static char path[] = "/tmp/fettle-test-XXXXXX";

char *folder_start(void)
{
	cr_assert_not_null(mkdtemp(path));
	return path;
}

void folder_stop(void)
{
	cr_expect_eq(file_remove_tree(path), OK, "%s", error_text());
}
