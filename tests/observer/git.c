/* Real repositories for tests. */
#include "tests/observer/git.h"

#include "base/file.h"
#include "base/scoped.h"
#include "base/text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char root[] = "/tmp/fettle-git-XXXXXX";
static struct text_list kept; /* what tests borrow */

static const char *keep(char *owned)
{
	text_list_add(&kept, owned);
	free(owned);
	return kept.items[kept.count - 1];
}

void git_sandbox_start(void)
{
	cr_assert_not_null(mkdtemp(root));
	setenv("HOME", root, 1);
	setenv("XDG_CONFIG_HOME", root, 1);
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("GIT_AUTHOR_NAME", "Ada", 1);
	setenv("GIT_AUTHOR_EMAIL", "ada@example.org", 1);
	setenv("GIT_COMMITTER_NAME", "Ada", 1);
	setenv("GIT_COMMITTER_EMAIL", "ada@example.org", 1);
}

void git_sandbox_finish(void)
{
	file_remove_tree(root);
	text_list_finish(&kept);
}

const char *git_path(const char *name)
{
	return keep(text_format("%s/%s", root, name));
}

const char *git_sh(const char *folder, const char *script)
{
	scoped(free_text) char *command =
		text_format("exec 2>&1; set -e; cd '%s/%s'\n%s", root, folder, script);
	scoped(text_finish) struct text output = { 0 };
	char chunk[1024];
	size_t got;
	FILE *pipe = popen(command, "re");
	cr_assert_not_null(pipe);
	while ((got = fread(chunk, 1, sizeof chunk, pipe)) > 0)
		text_add_bytes(&output, chunk, got);
	cr_assert_eq(pclose(pipe), 0, "%s\n%s", script, output.data);
	while (output.size && output.data[output.size - 1] == '\n')
		output.data[--output.size] = 0;
	return keep(text_take(&output));
}

void git_make(const char *name)
{
	scoped(free_text) char *script = text_format("git init -q -b main '%s'", name);
	git_sh(".", script);
}

const char *git_commits(const char *name, size_t count)
{
	scoped(free_text) char *script = text_format(
		"for n in $(seq %zu); do git commit -q --allow-empty -m \"commit $n\"; done\n"
		"git rev-parse HEAD",
		count);
	return git_sh(name, script);
}
