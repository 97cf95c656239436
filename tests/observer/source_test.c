/* Repository arguments: names, urls, and what is refused. */
#include "observer/source.h"

#include "base/scoped.h"
#include "base/text.h"
#include "proto/entry.h"

#include <criterion/criterion.h>
#include <string.h>

static struct source_list list;

static void finish(void)
{
	source_list_finish(&list);
}

TestSuite(source, .fini = finish);

static const struct source *add(const char *argument)
{
	cr_assert_eq(source_add(&list, argument), OK, "%s", error_text());
	return &list.items[list.count - 1];
}

static void refuse(const char *argument, const char *part)
{
	cr_assert_eq(source_add(&list, argument), ERR_USAGE, "accepted: %s", argument);
	cr_assert_not_null(strstr(error_text(), part), "%s", error_text());
}

Test(source, names_come_from_the_last_component)
{
	cr_assert_str_eq(add("/nowhere/tool.git")->name, "tool");
	cr_assert_str_eq(add("/nowhere/tool/.git/")->name, "tool-2");
	cr_assert_str_eq(add("https://example.org/a/Some%20Tool.git")->name, "Some-20Tool");
	cr_assert_str_eq(add("git@example.org:tool")->name, "tool-3");
	cr_assert_str_eq(add("/nowhere/.hidden")->name, "hidden");
	cr_assert_str_eq(add("/")->name, "repository");
}

Test(source, names_may_be_given)
{
	cr_assert_str_eq(add("mine=/nowhere/x")->name, "mine");
	cr_assert_str_eq(list.items[0].url, "/nowhere/x");
	cr_assert_str_eq(add("https://example.org/x?a=b")->url, "https://example.org/x?a=b");
	refuse("mine=/other", "the name is taken");
	refuse(".x=/other", "is not a name");
	refuse("y=", "is empty");
}

Test(source, paths_become_absolute)
{
	cr_assert_eq(add("not/there")->url[0], '/');
	cr_assert_eq(add(".")->url[0], '/');
	cr_assert(text_is_name(list.items[1].name));
	cr_assert(entry_url_is_path("/a:b"));
	cr_assert(entry_url_is_path("./a:b"));
	cr_assert_not(entry_url_is_path("host:path"));
	cr_assert_not(entry_url_is_path("file:///x"));
}

Test(source, what_could_do_harm_is_refused)
{
	refuse("", "is empty");
	refuse("--upload-pack=touch x", "is not a name");
	refuse("--upload-pack", "cannot start with '-'");
	refuse("ext::sh -c touch", "remote helpers");
	refuse("ext::sh -c 'x' http://y", "remote helpers");
	refuse("ftp://example.org/x", "a url starts with");
	refuse("ssh://-oProxyCommand=x/y", "cannot start with '-'");
	refuse("ssh://git@-oProxyCommand=x/y", "cannot start with '-'");
	refuse("https://", "has no host");
	refuse("https://me:secret@example.org/x", "a password in a url");
	cr_assert_null(strstr(error_text(), "secret"));
	refuse("/a\nb", "control bytes");
	refuse("/a\xff", "not UTF-8");
	cr_assert_eq(add("ssh://[::1]:22/x")->url[0], 's');
}
