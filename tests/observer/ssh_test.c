/* What ssh is started with for a url. */
#include "observer/ssh.h"

#include "base/scoped.h"

#include <criterion/criterion.h>

static void expect_target(const char *url, const char *host, const char *port, const char *path)
{
	scoped(ssh_target_finish) struct ssh_target target = { 0 };
	cr_assert_eq(ssh_read_target(url, &target), OK, "%s: %s", url, error_text());
	cr_expect_str_eq(target.host, host, "%s", url);
	cr_expect_str_eq(target.path, path, "%s", url);
	cr_expect_str_eq(target.port ? target.port : "none", port ? port : "none", "%s", url);
}

Test(ssh, urls_and_addresses_as_git_reads_them)
{
	expect_target("ssh://example.org/a/b.git", "example.org", NULL, "/a/b.git");
	expect_target("ssh://ada@example.org:2222/a", "ada@example.org", "2222", "/a");
	expect_target("ssh://example.org:/a", "example.org", NULL, "/a");
	expect_target("ssh://ada@[::1]:2222/a", "ada@::1", "2222", "/a");
	expect_target("ssh://[fe80::1]/a", "fe80::1", NULL, "/a");
	expect_target("ssh://example.org/~ada/b", "example.org", NULL, "~ada/b");
	expect_target("ada@example.org:a/b", "ada@example.org", NULL, "a/b");
	expect_target("example.org:/a:b", "example.org", NULL, "/a:b");
	expect_target("ada@[::1]:a/b", "ada@::1", NULL, "a/b");
}

Test(ssh, what_is_no_address_is_refused)
{
	static const char *const urls[] = { "ssh://",          "ssh://example.org",
		                            "ssh:///path",     "ssh://example.org:x/path",
		                            "example.org:",    ":path",
		                            "ssh://-oX=y/path" };
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		scoped(ssh_target_finish) struct ssh_target target = { 0 };
		cr_expect_eq(ssh_read_target(urls[i], &target), ERR_USAGE, "%s", urls[i]);
	}
}
