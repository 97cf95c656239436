/* Key files: which are read, which are refused and why, and that what was made can be read. */
#include "proto/key.h"

#include "base/scoped.h"
#include "tests/base/folder.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Of the page of zmq_curve(7). */
#define PUBLIC "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define SECRET "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6"
#define OTHER  "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

static void start(void)
{
	folder_enter();
}

TestSuite(key, .init = start, .fini = folder_leave);

Test(key, a_text_of_a_key_is_forty_characters_of_z85)
{
	cr_expect(key_is_text(PUBLIC));
	cr_expect(key_is_text(SECRET));
	cr_expect_not(key_is_text(""));
	cr_expect_not(key_is_text(PUBLIC "a"));
	cr_expect_not(key_is_text("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf"));
	cr_expect_not(key_is_text("rq rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"));
	cr_expect_not(key_is_text("rq'rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"));
	cr_expect_not(key_is_text("\xc3\xa4:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"));
	/* Five characters can say more than four bytes. */
	cr_expect_not(key_is_text("#####>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"));
}

static void expect_bad(const char *content, const char *wanted)
{
	struct key key = { 0 };
	scoped(free_text) char *copy = text_format("%s", content);
	cr_expect_eq(key_parse(copy, "w.key", &key), ERR_USAGE, "%s", content);
	cr_expect_str_eq(error_text(), wanted);
	cr_expect_eq(*key.public_text, 0);
}

Test(key, a_good_file_is_read)
{
	struct key key = { 0 };
	char content[] = "# mine\n\npublic " PUBLIC "\n  server\t" OTHER "  \nsecret " SECRET
			 "\nserver " PUBLIC;
	cr_assert_eq(key_parse(content, "w.key", &key), OK, "%s", error_text());
	cr_expect_str_eq(key.public_text, PUBLIC);
	cr_expect_str_eq(key.secret, SECRET);
	cr_assert_eq(key.server_count, 2);
	cr_expect_str_eq(key.servers[0], OTHER);
	cr_expect_str_eq(key.servers[1], PUBLIC);
}

Test(key, a_bad_file_is_refused_with_the_line)
{
	expect_bad("", "w.key: a line `public KEY` is missing");
	expect_bad("public " PUBLIC "\n", "w.key: a line `secret KEY` is missing");
	expect_bad("public " PUBLIC "\nsecret " SECRET "\nsecret " SECRET "\n",
	           "w.key:3: a second line of this kind");
	expect_bad("public\n", "w.key:1: not `public KEY`, `secret KEY` or `server KEY`");
	expect_bad("\npublic " PUBLIC " more\n",
	           "w.key:2: not `public KEY`, `secret KEY` or `server KEY`");
	expect_bad("private " PUBLIC "\n",
	           "w.key:1: not `public KEY`, `secret KEY` or `server KEY`");
	/* A pair on one line: its first word is the secret. */
	expect_bad(SECRET " " PUBLIC "\n",
	           "w.key:1: not `public KEY`, `secret KEY` or `server KEY`");
	expect_bad("secret " SECRET "x\n", "w.key:1: not a key: 40 characters of Z85");
	expect_bad("public " OTHER "\nsecret " SECRET "\n",
	           "w.key: the public key is not that of the secret one");
	expect_bad("server " OTHER "\nserver " OTHER "\nserver " OTHER "\n",
	           "w.key:3: at most 2 server keys");
}

Test(key, what_is_made_and_written_is_read)
{
	struct key made = { .server_count = 1 }, read = { 0 };
	struct stat status;
	memcpy(made.servers[0], OTHER, sizeof OTHER);
	cr_assert_eq(key_make(&made), OK);
	cr_expect(key_is_text(made.public_text));
	cr_expect_neq(made.public_text[0], '-');
	cr_assert_eq(key_write("w.key", &made), OK, "%s", error_text());
	cr_assert_eq(stat("w.key", &status), 0);
	cr_expect_eq(status.st_mode & 07777, 0600);
	cr_assert_eq(key_read_client("w.key", &read), OK, "%s", error_text());
	cr_expect_str_eq(read.public_text, made.public_text);
	cr_expect_str_eq(read.secret, made.secret);
	cr_assert_eq(read.server_count, 1);
	cr_expect_str_eq(read.servers[0], OTHER);
	cr_expect_eq(key_write("w.key", &made), ERR_IN_USE);
	key_wipe(&read);
	cr_expect_eq(*read.secret, 0);
	cr_expect_eq(read.server_count, 0);
}

static void expect_refused(const char *wanted)
{
	struct key key = { 0 };
	cr_expect_eq(key_read_client("w.key", &key), ERR_USAGE);
	cr_expect_str_eq(error_text(), wanted);
	cr_expect_eq(*key.secret, 0);
}

Test(key, a_file_that_others_can_read_or_that_is_none_is_refused)
{
	struct key key = { 0 };
	cr_assert_eq(key_make(&key), OK);
	expect_refused("key file 'w.key': No such file or directory");
	cr_assert_eq(key_write("w.key", &key), OK);
	expect_refused("w.key: no line `server KEY` with the broker's public key");
	cr_assert_eq(chmod("w.key", 0604), 0);
	expect_refused("key file 'w.key' is open to others (mode 0604): chmod 600 it");
	cr_assert_eq(unlink("w.key"), 0);
	cr_assert_eq(mkfifo("w.key", 0600), 0); /* and nobody waits for a writer */
	expect_refused("key file 'w.key' is not a regular file");
}

Test(key, no_core_is_left_with_a_secret_in_it)
{
	struct rlimit limit;
	key_forbid_core();
	cr_assert_eq(getrlimit(RLIMIT_CORE, &limit), 0);
	cr_expect_leq(limit.rlim_cur, 1);
}
