/* The table of keys: whole or not at all, every line of it as it was written, and found again. */
#include "proto/allowed.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_entry(const struct allowed *allowed, const struct allowed_key *key)
{
	fuzz_demand(key_is_text(key->key) && text_is_name(key->name));
	fuzz_demand(key->role < ROLE_COUNT && key->line > 0);
	fuzz_demand(allowed_find(allowed, key->key) == key);
	fuzz_demand(key->repositories.count == 0 || !allowed_repository(key, "-"));
	for (size_t i = 0; i < key->repositories.count; i++) {
		fuzz_demand(text_is_name(key->repositories.items[i]));
		fuzz_demand(allowed_repository(key, key->repositories.items[i]));
	}
}

/* As a file that says the same. */
static size_t print(const struct allowed *allowed, struct text *out)
{
	size_t count = 0, line = 0;
	for (const struct allowed_key *key = NULL; (key = allowed_next(allowed, key)); count++) {
		check_entry(allowed, key);
		fuzz_demand(key->line > line);
		line = key->line;
		allowed_print(key, out);
	}
	return count;
}

static void check_table(const struct allowed *allowed)
{
	struct text first = { 0 }, second = { 0 };
	struct allowed *again = NULL;
	text_add(&first, "");
	text_add(&second, "");
	fuzz_demand(print(allowed, &first) == allowed_count(allowed));
	/* Words that were far apart stand closer now, so no line became too long. */
	fuzz_demand(allowed_parse(first.data, first.size, "printed", &again) == OK);
	print(again, &second);
	fuzz_demand(strcmp(first.data, second.data) == 0);
	allowed_destroy(&again);
	text_finish(&first);
	text_finish(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct allowed *allowed = NULL;
	enum err err = allowed_parse((const char *)data, size, "w", &allowed);
	if (err) {
		fuzz_demand(err == ERR_USAGE && !allowed);
		fuzz_demand(strncmp(error_text(), "w:", 2) == 0);
		return 0;
	}
	check_table(allowed);
	allowed_destroy(&allowed);
	return 0;
}
