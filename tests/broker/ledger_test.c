/* What was changed, and how that was answered: remembered, stored, and known after a restart. */
#include "tests/broker/rows.h"

#include <string.h>

static struct ledger *ledger;
static struct effects effects;

static void start(void)
{
	ledger = ledger_new();
	rows_start();
}

static void finish(void)
{
	ledger_destroy(&ledger);
	effects_finish(&effects);
	rows_finish();
}

TestSuite(ledger, .init = start, .fini = finish);

static struct admin_change made(const char *client, uint64_t id, const char *said)
{
	return (struct admin_change){ .client = client,
		                      .id = id,
		                      .who = "ada@laptop",
		                      .method = "poke",
		                      .said = said,
		                      .result = { "yes", 3 } };
}

static const struct admin_change *find(const char *client, uint64_t id, const char *said)
{
	const struct admin_change *found;
	struct admin_change asked = made(client, id, said);
	cr_assert_eq(ledger_find(ledger, &asked, &found), OK, "%s", error_text());
	return found;
}

static void add(const char *client, uint64_t id, const char *said)
{
	struct admin_change change = made(client, id, said);
	ledger_add(ledger, &change, &effects);
}

Test(ledger, an_answer_is_found_by_client_and_id)
{
	add("ada", 1, "repository=app");
	cr_assert_eq(effects.count, 1);
	cr_assert_eq(effects.items[0].kind, EFFECT_SAVE_CHANGE);
	const struct admin_change *found = find("ada", 1, "repository=app");
	cr_assert_eq(memcmp(found->result.data, "yes", 3), 0);
	cr_assert_null(find("ada", 2, "repository=app"));
	cr_assert_null(find("bob", 1, "repository=app"));
}

Test(ledger, another_question_with_the_same_id_is_refused)
{
	const struct admin_change *found;
	struct admin_change other = made("ada", 1, "repository=lib");
	add("ada", 1, "repository=app");
	cr_assert_eq(ledger_find(ledger, &other, &found), ERR_USAGE);
	cr_assert_str_eq(error_text(),
	                 "request 1 of this client was another one: poke repository=app");
}

Test(ledger, who_names_no_client_is_not_found)
{
	add(NULL, 1, "");
	cr_assert_eq(effects.count, 1);
	cr_assert_null(find(NULL, 1, ""));
}

Test(ledger, the_oldest_is_forgotten)
{
	for (uint64_t id = 1; id <= LEDGER_MAX + 1; id++)
		add("ada", id, "");
	cr_assert_null(find("ada", 1, ""));
	cr_assert_not_null(find("ada", 2, ""));
	cr_assert_not_null(find("ada", LEDGER_MAX + 1, ""));
}

Test(ledger, answers_are_known_after_a_restart)
{
	struct store *store = rows_open();
	struct admin_change refused = made("ada", 2, "repository=lib");
	refused.code = "not_found";
	refused.reason = "no repository 'lib'";
	refused.result = (struct bytes){ 0 };
	add("ada", 1, "repository=app");
	add(NULL, 1, "");
	ledger_add(ledger, &refused, &effects);
	cr_assert_eq(rows_save(store, effects.items, effects.count), OK, "%s", error_text());
	store_destroy(&store);
	ledger_destroy(&ledger);
	ledger = ledger_new();
	store = rows_open();
	cr_assert_eq(store_load_ledger(store, ledger), OK, "%s", error_text());
	const struct admin_change *found = find("ada", 1, "repository=app");
	cr_assert_str_eq(found->who, "ada@laptop");
	cr_assert_null(found->code);
	cr_assert_eq(found->result.size, 3);
	cr_assert_str_eq(find("ada", 2, "repository=lib")->reason, "no repository 'lib'");
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM changes"), 3);
	store_destroy(&store);
}

Test(ledger, the_oldest_rows_go)
{
	struct store *store = rows_open();
	scoped(free_text) char *many = text_format(
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
		"INSERT INTO changes(id, at, who, what, request, said) "
		"SELECT i, i, 'w', 'poke', i, '' FROM n",
		CHANGE_ROWS_MAX);
	cr_assert_eq(sqlite3_exec(store->db, many, NULL, NULL, NULL), SQLITE_OK);
	add("ada", 1, "");
	cr_assert_eq(rows_save(store, effects.items, 1), OK, "%s", error_text());
	cr_assert_eq(rows_count(store, "SELECT count(*) FROM changes"), CHANGE_ROWS_MAX);
	cr_assert_eq(rows_count(store, "SELECT min(id) FROM changes"), 2);
	store_destroy(&store);
}
