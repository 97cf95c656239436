/* Suspended keys: see suspension.h. Of each key the times of its newest refusals are kept, as many
 * as suspend it, so the oldest one says whether all fell into the window. */
#include "broker/core/suspension.h"

#include "base/clock.h"
#include "base/plant.h"
#include "base/table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REMEMBERED_MIN = 256 };

struct entry {
	char *key, *role, *name, *why;
	int64_t times_ms[OFFENCES_MAX]; /* a ring */
	size_t next;                    /* its oldest one */
	size_t count;                   /* of those in it */
	int64_t ends_ms;                /* of the newest suspension; it may be over */
	unsigned in_a_row;              /* suspensions, none of them forgiven */
	UT_hash_handle hh;
};

struct suspensions {
	struct entry *entries;
	size_t look_at; /* with so many it is looked who can be forgotten */
	uint64_t begun;
};

struct suspensions *suspensions_new(void)
{
	struct suspensions *suspensions = memory_new(1, sizeof *suspensions);
	suspensions->look_at = REMEMBERED_MIN;
	return suspensions;
}

static void forget(struct suspensions *suspensions, struct entry *entry)
{
	HASH_DEL(suspensions->entries, entry);
	free(entry->key);
	free(entry->role);
	free(entry->name);
	free(entry->why);
	free(entry);
}

void suspensions_destroy(struct suspensions **suspensions)
{
	struct entry *entry, *next;
	if (!*suspensions)
		return;
	HASH_ITER (hh, (*suspensions)->entries, entry, next)
		forget(*suspensions, entry);
	free(*suspensions);
	*suspensions = NULL;
}

size_t suspensions_count(const struct suspensions *suspensions)
{
	return HASH_COUNT(suspensions->entries);
}

uint64_t suspensions_begun(const struct suspensions *suspensions)
{
	return suspensions->begun;
}

static struct entry *find(const struct suspensions *suspensions, const char *key)
{
	struct entry *entry;
	HASH_FIND_STR(suspensions->entries, key, entry);
	return entry;
}

static bool is_suspended(const struct entry *entry, int64_t now_ms)
{
	return entry->in_a_row && now_ms < entry->ends_ms && !PLANTED(never_suspended);
}

/* Is it as if it had done nothing? */
static bool is_forgiven(const struct entry *entry, int64_t now_ms)
{
	size_t newest = (entry->next + OFFENCES_MAX - 1) % OFFENCES_MAX;
	bool quiet = !entry->count || now_ms - entry->times_ms[newest] >= OFFENCES_MS;
	return quiet && (!entry->in_a_row || now_ms - entry->ends_ms >= FORGIVEN_MS);
}

static void forget_the_forgiven(struct suspensions *suspensions, int64_t now_ms)
{
	struct entry *entry, *next;
	if (suspensions_count(suspensions) < suspensions->look_at)
		return;
	HASH_ITER (hh, suspensions->entries, entry, next)
		if (is_forgiven(entry, now_ms))
			forget(suspensions, entry);
	size_t twice = 2 * suspensions_count(suspensions);
	suspensions->look_at = twice > REMEMBERED_MIN ? twice : REMEMBERED_MIN;
}

static struct entry *add(struct suspensions *suspensions, const struct offence *offence,
                         int64_t now_ms)
{
	forget_the_forgiven(suspensions, now_ms);
	struct entry *entry = memory_new(1, sizeof *entry);
	entry->key = memory_copy_text(offence->key);
	entry->role = memory_copy_text(offence->role);
	entry->name = memory_copy_text(offence->name);
	HASH_ADD_KEYPTR(hh, suspensions->entries, entry->key, strlen(entry->key), entry);
	return entry;
}

static void tell(const char *kind, const char *reason, struct effects *out)
{
	struct effect *effect = effects_add(out, EFFECT_PUBLISH);
	effect->message.type = MESSAGE_event;
	effect->message.event =
		(struct msg_event){ .kind = kind, .reason = arena_copy_text(&out->arena, reason) };
}

static void suspend(struct suspensions *suspensions, struct entry *entry, int64_t now_ms,
                    struct effects *out)
{
	char reason[REASON_SIZE_MAX], duration[CLOCK_TEXT_SIZE];
	if (entry->in_a_row && now_ms - entry->ends_ms >= FORGIVEN_MS)
		entry->in_a_row = 0;
	int64_t lasts_ms = SUSPENSION_MS;
	for (unsigned i = 0; i < entry->in_a_row && lasts_ms < SUSPENSION_MAX_MS; i++)
		lasts_ms *= 2;
	lasts_ms = lasts_ms < SUSPENSION_MAX_MS ? lasts_ms : SUSPENSION_MAX_MS;
	entry->ends_ms = now_ms + lasts_ms;
	entry->in_a_row++;
	entry->count = 0;
	suspensions->begun++;
	snprintf(reason, sizeof reason, "key of %s %s, for %s: refused %d times, at last: %.300s",
	         entry->role, entry->name, clock_duration_text(lasts_ms, duration), OFFENCES_MAX,
	         entry->why);
	tell("suspended", reason, out);
}

void suspension_note(struct suspensions *suspensions, const struct offence *offence, int64_t now_ms,
                     struct effects *out)
{
	struct entry *entry = find(suspensions, offence->key);
	if (!entry)
		entry = add(suspensions, offence, now_ms);
	if (is_suspended(entry, now_ms))
		return;
	free(entry->why);
	entry->why = memory_copy_text(offence->why);
	entry->times_ms[entry->next] = now_ms;
	entry->next = (entry->next + 1) % OFFENCES_MAX;
	entry->count += entry->count < OFFENCES_MAX;
	if (entry->count == OFFENCES_MAX && now_ms - entry->times_ms[entry->next] < OFFENCES_MS)
		suspend(suspensions, entry, now_ms, out);
}

static struct suspension show(const struct entry *entry)
{
	return (struct suspension){ entry->key, entry->role, entry->name, entry->why,
		                    entry->ends_ms };
}

bool suspension_find(const struct suspensions *suspensions, const char *key, int64_t now_ms,
                     struct suspension *ret)
{
	const struct entry *entry = find(suspensions, key);
	if (!entry || !is_suspended(entry, now_ms))
		return false;
	*ret = show(entry);
	return true;
}

enum err suspension_fail(const struct suspension *suspension, int64_t now_ms)
{
	char left[CLOCK_TEXT_SIZE];
	return fail(ERR_FORBIDDEN,
	            "this key is suspended for another %s: it was refused %d times, at last: %s",
	            clock_duration_text(suspension->ends_ms - now_ms, left), OFFENCES_MAX,
	            suspension->why);
}

uint32_t suspension_lift(struct suspensions *suspensions, const char *word, const char *who,
                         int64_t now_ms, struct effects *out)
{
	uint32_t count = 0;
	char reason[REASON_SIZE_MAX];
	struct entry *entry, *next;
	HASH_ITER (hh, suspensions->entries, entry, next) {
		if (strcmp(entry->key, word) != 0 && strcmp(entry->name, word) != 0)
			continue;
		if (is_suspended(entry, now_ms)) {
			count++;
			snprintf(reason, sizeof reason, "key of %s %s, by %.256s", entry->role,
			         entry->name, who);
			tell("lifted", reason, out);
		}
		forget(suspensions, entry);
	}
	return count;
}

void suspension_forget(struct suspensions *suspensions, const char *key)
{
	struct entry *entry = find(suspensions, key);
	if (entry)
		forget(suspensions, entry);
}

size_t suspensions_list(const struct suspensions *suspensions, int64_t now_ms,
                        struct suspension *ret_rows, size_t most)
{
	size_t count = 0;
	const struct entry *entry = suspensions->entries;
	for (; entry && count < most; entry = entry->hh.next)
		if (is_suspended(entry, now_ms))
			ret_rows[count++] = show(entry);
	return count;
}
