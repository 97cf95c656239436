/* Keys and tokens: which files count, which are refused, and where a token goes. */
#include "base/credentials.h"

#include "base/file.h"
#include "base/scoped.h"
#include "base/text.h"
#include "tests/base/folder.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

static const char *folder;

static void start(void)
{
	unsetenv("GIT_SSH_COMMAND");
	folder = folder_start();
	cr_assert_eq(chdir(folder), 0);
}

static void stop(void)
{
	cr_assert_eq(chdir("/"), 0);
	folder_stop();
}

TestSuite(credentials, .init = start, .fini = stop);

static void write_file(const char *name, const char *content, mode_t mode)
{
	FILE *file = fopen(name, "we");
	cr_assert_not_null(file);
	cr_assert_geq(fputs(content, file), 0);
	cr_assert_eq(fclose(file), 0);
	cr_assert_eq(chmod(name, mode), 0);
}

/* "user token", or "none"; the caller frees it. */
static char *token_for(const char *repository, const char *url)
{
	scoped(credentials_finish) struct credentials found = { 0 };
	scoped(free_text) char *user = NULL, *token = NULL;
	cr_assert_eq(credentials_find(folder, repository, &found), OK, "%s", error_text());
	cr_assert_eq(credentials_for(&found, url, &user, &token), OK, "%s", error_text());
	return user ? text_format("%s %s", user, token) : text_format("none");
}

static void expect_token(const char *repository, const char *url, const char *wanted)
{
	scoped(free_text) char *got = token_for(repository, url);
	cr_expect_str_eq(got, wanted, "%s %s", repository, url);
}

static void expect_bad(const char *line)
{
	scoped(credentials_finish) struct credentials found = { 0 };
	cr_expect_eq(credentials_find(folder, "app", &found), ERR_REPOSITORY, "%s", line);
	const char *slash = strrchr(error_text(), '/');
	cr_expect_str_eq(slash ? slash + 1 : error_text(), line);
}

Test(credentials, a_token_goes_to_the_host_of_its_line_only)
{
	write_file("tokens",
	           "# git servers\n\nhttps://ada:s%20e%40c%3Aret@git.example.org\r\n"
	           "https://bob:two@git.example.org:8443/\nhttps://eve:three@git.example.org\n"
	           "http://me:here@127.0.0.1:99\n",
	           0600);
	expect_token("app", "https://git.example.org/app", "ada s e@c:ret");
	expect_token("app", "https://GIT.example.org/app", "ada s e@c:ret");
	expect_token("app", "https://eve@git.example.org/app", "eve three");
	expect_token("app", "https://git.example.org:8443/app", "bob two");
	expect_token("app", "http://127.0.0.1:99/app", "me here");
	expect_token("app", "http://git.example.org/app", "none");
	expect_token("app", "https://git.example.org.evil.org/app", "none");
	expect_token("app", "https://evil.org/git.example.org", "none");
	expect_token("app", "https://evil.org/@git.example.org", "none");
	expect_token("app", "https://mallory@git.example.org/app", "none");
	expect_token("app", "https://Eve@git.example.org/app", "none");
	expect_token("app", "git.example.org:app", "none");
}

Test(credentials, what_a_repository_has_of_its_own_counts_before_what_all_have)
{
	write_file("tokens", "https://all:1@example.org\n", 0600);
	write_file("app.tokens", "https://app:2@example.org\n", 0600);
	expect_token("app", "https://example.org/x", "app 2");
	expect_token("other", "https://example.org/x", "all 1");
}

Test(credentials, a_token_travels_over_no_plain_network)
{
	static const char *const hosts[] = { "example.org", "127.0.0.1.example.org",
		                             "localhost.org", "10.0.0.1" };
	static const char *const here[] = { "localhost", "127.0.0.1", "127.1.2.3:80", "[::1]:80" };
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		scoped(free_text) char *line = text_format("\nhttp://a:b@%s\n", hosts[i]);
		write_file("tokens", line, 0600);
		expect_bad("tokens:2: a token goes over https, or to this machine only");
	}
	for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
		scoped(free_text) char *line = text_format("http://a:b@%s\n", here[i]);
		scoped(free_text) char *url = text_format("http://%s/x", here[i]);
		write_file("tokens", line, 0600);
		expect_token("app", url, "a b");
	}
}

Test(credentials, a_line_that_is_none_is_named_and_not_shown)
{
	static const char *const lines[] = { "secret", "https://example.org",
		                             "https://a@example.org", "a:b@example.org",
		                             "https://a:b@" };
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		write_file("tokens", lines[i], 0600);
		scoped(credentials_finish) struct credentials found = { 0 };
		cr_expect_eq(credentials_find(folder, "app", &found), ERR_REPOSITORY);
		cr_expect(strstr(error_text(), "tokens:1: not https://USER:TOKEN@HOST[:PORT]"),
		          "%s", error_text());
	}
}

Test(credentials, a_file_that_others_can_read_is_refused)
{
	write_file("tokens", "https://a:b@example.org\n", 0640);
	expect_bad("tokens' is open to others (mode 0640): chmod 600 it");
	write_file("app.key", "key", 0604);
	expect_bad("app.key' is open to others (mode 0604): chmod 600 it");
	cr_assert_eq(chmod("app.key", 0400), 0);
	cr_assert_eq(unlink("tokens"), 0);
	cr_assert_eq(mkdir("tokens", 0700), 0);
	expect_bad("tokens' is not a regular file");
}

static void expect_ssh(const char *in, const char *wanted)
{
	scoped(credentials_finish) struct credentials found = { 0 };
	cr_assert_eq(credentials_find(in, "app", &found), OK, "%s", error_text());
	cr_expect_str_eq(found.ssh, wanted);
}

Test(credentials, ssh_gets_the_key_and_the_known_hosts_of_the_folder)
{
	expect_ssh(NULL, "ssh -oBatchMode=yes");
	expect_ssh(folder, "ssh -oBatchMode=yes");
	write_file("key", "key", 0600);
	write_file("known_hosts", "", 0644);
	scoped(free_text) char *wanted = text_format("ssh -oBatchMode=yes "
	                                             "-oUserKnownHostsFile='%s/known_hosts' "
	                                             "-oIdentitiesOnly=yes -oIdentityFile='%s/key'",
	                                             folder, folder);
	expect_ssh(folder, wanted);
	cr_assert_eq(unlink("key"), 0);
	cr_assert_eq(setenv("GIT_SSH_COMMAND", "other -x", 1), 0);
	expect_ssh(NULL, "other -x");
}

static void expect_choice(const char *given, const char *wanted)
{
	scoped(free_text) char *chosen = given ? text_format("%s", given) : NULL;
	enum err err = credentials_choose(&chosen);
	cr_assert_eq(err, wanted ? OK : ERR_USAGE, "%s: %s", given, error_text());
	if (wanted)
		cr_expect_str_eq(chosen, wanted);
}

Test(credentials, the_folder_is_the_one_named_or_the_first_there_is)
{
	scoped(free_text) char *own = text_format("%s/fettle/credentials", folder);
	cr_assert_eq(setenv("XDG_CONFIG_HOME", folder, 1), 0);
	unsetenv("CREDENTIALS_DIRECTORY");
	expect_choice(NULL, "/etc/fettle/credentials");
	cr_assert_eq(file_make_folder(own, 0700), OK);
	expect_choice(NULL, own);
	expect_choice("fettle/credentials", own);
	expect_choice("/nowhere/at/all", "/nowhere/at/all");
	expect_choice("nowhere", NULL);
	expect_choice("/no'where", NULL);
	expect_choice("/no\nwhere", NULL);
	cr_assert_eq(setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", 1), 0);
	expect_choice(NULL, "/run/credentials/x");
}
