/* The newest changes by client and id, in the order of their age. */
#include "broker/core/ledger.h"

#include "base/plant.h"
#include "base/table.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct entry {
	char *key;
	struct admin_change change; /* in `arena` */
	struct arena arena;
	struct entry *prev, *next; /* oldest first */
	UT_hash_handle hh;
};

struct ledger {
	struct entry *keys;
	struct entry *oldest;
};

struct ledger *ledger_new(void)
{
	return memory_new(1, sizeof(struct ledger));
}

static void forget(struct ledger *ledger, struct entry *entry)
{
	HASH_DEL(ledger->keys, entry);
	DL_DELETE(ledger->oldest, entry);
	arena_finish(&entry->arena);
	free(entry->key);
	free(entry);
}

void ledger_destroy(struct ledger **ledger)
{
	if (!*ledger)
		return;
	while ((*ledger)->oldest)
		forget(*ledger, (*ledger)->oldest);
	free(*ledger);
	*ledger = NULL;
}

/* The caller frees it; NULL without a client. */
static char *key_of(const struct admin_change *change)
{
	if (!change->client || !*change->client)
		return NULL;
	return text_format("%llu %s", (unsigned long long)change->id, change->client);
}

enum err ledger_find(const struct ledger *ledger, const struct admin_change *asked,
                     const struct admin_change **ret_answered)
{
	struct entry *entry = NULL;
	char *key = key_of(asked);
	*ret_answered = NULL;
	if (key)
		HASH_FIND_STR(ledger->keys, key, entry);
	free(key);
	if (!entry || PLANTED(change_done_twice))
		return OK;
	if (strcmp(entry->change.method, asked->method) != 0 ||
	    strcmp(entry->change.said, asked->said) != 0)
		return fail(ERR_USAGE, "request %llu of this client was another one: %s %s",
		            (unsigned long long)asked->id, entry->change.method,
		            entry->change.said);
	*ret_answered = &entry->change;
	return OK;
}

struct admin_change admin_change_copy(const struct admin_change *change, struct arena *arena)
{
	struct admin_change copy = *change;
	copy.client = arena_copy_text(arena, change->client);
	copy.who = arena_copy_text(arena, change->who);
	copy.method = arena_copy_text(arena, change->method);
	copy.said = arena_copy_text(arena, change->said);
	copy.code = arena_copy_text(arena, change->code);
	copy.reason = arena_copy_text(arena, change->reason);
	if (change->result.size)
		copy.result.data = arena_copy(arena, change->result.data, change->result.size);
	return copy;
}

void ledger_restore(struct ledger *ledger, const struct admin_change *answered)
{
	char *key = key_of(answered);
	if (!key)
		return;
	struct entry *entry = memory_new(1, sizeof *entry);
	entry->key = key;
	entry->change = admin_change_copy(answered, &entry->arena);
	HASH_ADD_KEYPTR(hh, ledger->keys, entry->key, strlen(entry->key), entry);
	DL_APPEND(ledger->oldest, entry);
	if (HASH_COUNT(ledger->keys) > LEDGER_MAX)
		forget(ledger, ledger->oldest);
}

void ledger_add(struct ledger *ledger, const struct admin_change *answered, struct effects *out)
{
	struct admin_change *saved = arena_new(&out->arena, sizeof *saved);
	*saved = admin_change_copy(answered, &out->arena);
	effects_add(out, EFFECT_SAVE_CHANGE)->change = saved;
	ledger_restore(ledger, answered);
}
