/* The table of keys: what is read, what is refused with which line, who enters where. */
#include "proto/allowed.h"

#include "base/scoped.h"

#include <criterion/criterion.h>
#include <string.h>

#define ONE "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define TWO "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

static struct allowed *parse(const char *content)
{
	struct allowed *table = NULL;
	cr_assert_eq(allowed_parse(content, strlen(content), "allowed", &table), OK, "%s",
	             error_text());
	return table;
}

static void expect_bad(const char *content, size_t size, const char *wanted)
{
	struct allowed *table = NULL;
	cr_expect_eq(allowed_parse(content, size, "allowed", &table), ERR_USAGE, "%s", content);
	cr_expect_str_eq(error_text(), wanted);
	cr_expect_null(table);
}

static void expect_bad_text(const char *content, const char *wanted)
{
	expect_bad(content, strlen(content), wanted);
}

Test(allowed, a_good_table_is_read)
{
	scoped(allowed_destroy) struct allowed *table =
		parse("# who may come\n\nworker w1 " ONE "\n \tobserver  o " TWO "\tapp,lib\n");
	cr_assert_eq(allowed_count(table), 2);
	const struct allowed_key *key = allowed_find(table, ONE);
	cr_assert_not_null(key);
	cr_expect_str_eq(key->name, "w1");
	cr_expect_eq(key->role, ROLE_worker);
	cr_expect_eq(key->line, 3);
	cr_expect(allowed_repository(key, "any"));
	cr_expect_eq(allowed_next(table, NULL), key);
	key = allowed_next(table, key);
	cr_assert_eq(key, allowed_find(table, TWO));
	cr_expect_eq(key->role, ROLE_observer);
	cr_expect(allowed_repository(key, "lib"));
	cr_expect_not(allowed_repository(key, "li"));
	cr_expect_null(allowed_next(table, key));
	cr_expect_null(allowed_find(table, "rq"));
	cr_expect_null(allowed_find(table, ""));
}

Test(allowed, an_empty_table_lets_nobody_in)
{
	scoped(allowed_destroy) struct allowed *table = parse("");
	cr_expect_eq(allowed_count(table), 0);
	cr_expect_null(allowed_find(table, ONE));
}

Test(allowed, a_name_has_two_keys_and_a_key_one_name)
{
	scoped(allowed_destroy) struct allowed *table =
		parse("worker w " ONE "\nworker w " TWO "\n");
	cr_expect_eq(allowed_count(table), 2);
	expect_bad_text("worker w " ONE "\n\nworker v " ONE "\n",
	                "allowed:3: this key is worker 'w' in line 1 already");
	expect_bad_text("worker w " ONE "\nreader w " ONE "\n",
	                "allowed:2: this key is worker 'w' in line 1 already");
}

Test(allowed, a_bad_line_is_refused_with_its_number)
{
	expect_bad_text("worker w\n", "allowed:1: not ROLE NAME KEY [REPOSITORY,...]");
	expect_bad_text("observer o " ONE " a b\n",
	                "allowed:1: not ROLE NAME KEY [REPOSITORY,...]");
	expect_bad_text("king w " ONE "\n",
	                "allowed:1: no role 'king': it is worker, observer, admin or reader");
	expect_bad_text("worker -w " ONE "\n",
	                "allowed:1: '-w' is no name: [A-Za-z0-9._-], at most 64");
	expect_bad_text("# one\nworker w " ONE "x\n",
	                "allowed:2: not a public key: 40 characters of Z85");
	expect_bad_text("reader r " ONE " app\n",
	                "allowed:1: repositories are for observers and workers");
	expect_bad_text("observer o " ONE " app,\n", "allowed:1: '' is no name of a repository");
	expect_bad_text("observer o " ONE " app,../x\n",
	                "allowed:1: '../x' is no name of a repository");
	expect_bad_text("\xff\n", "allowed:1: too long, or not text");
	expect_bad("worker w \0\n", 11, "allowed:1: too long, or not text");
	/* Windows writes these; the key would be another one. */
	expect_bad_text("worker w " ONE "\r\n",
	                "allowed:1: not a public key: 40 characters of Z85");
}

Test(allowed, a_line_that_is_too_long_is_refused)
{
	char line[9000];
	memset(line, 'a', sizeof line);
	expect_bad(line, sizeof line, "allowed:1: too long, or not text");
}

Test(allowed, what_is_printed_is_read)
{
	static const char content[] = "worker w " ONE "\nobserver o " TWO " app,lib\n";
	scoped(text_finish) struct text out = { 0 };
	scoped(allowed_destroy) struct allowed *table = parse(content);
	for (const struct allowed_key *key = NULL; (key = allowed_next(table, key));)
		allowed_print(key, &out);
	cr_expect_str_eq(out.data, content);
}

Test(allowed, a_role_enters_where_it_has_business)
{
	static const bool wanted[ROLE_COUNT][DOOR_COUNT] = {
		[ROLE_worker] = { [DOOR_WORKERS] = true },
		[ROLE_observer] = { false, true, true, true },
		[ROLE_admin] = { false, false, true, true },
		[ROLE_reader] = { false, false, true, true },
	};
	for (enum role role = 0; role < ROLE_COUNT; role++) {
		enum role again = ROLE_COUNT;
		cr_expect(role_read(role_text(role), &again));
		cr_expect_eq(again, role);
		for (enum door door = 0; door < DOOR_COUNT; door++)
			cr_expect_eq(role_enters(role, door), wanted[role][door], "%s %s",
			             role_text(role), door_text(door));
	}
}
