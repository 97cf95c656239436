/* See folder.h. */
#include "tests/base/folder.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

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

char *folder_enter(void)
{
	char *folder = folder_start();
	cr_assert_eq(chdir(folder), 0);
	return folder;
}

void folder_leave(void)
{
	cr_assert_eq(chdir("/"), 0);
	folder_stop();
}
