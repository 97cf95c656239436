/* What a job runs: shell scripts, some with a name. */
#include "jobfile/draft.h"

#include "base/text.h"

#include <string.h>

enum { STEPS_MAX = 256, STEP_SIZE_MAX = 65536, STEP_NAME_MAX = 256 };

static const char *const step_keys[] = { "always", "name", "run" };

enum { STEP_KEYS = sizeof step_keys / sizeof *step_keys };

static bool check_script(const struct reading *r, const struct node *script)
{
	if (script->text[strspn(script->text, " \t\r\n")] == 0)
		complain(r, script, "a step is empty");
	else if (script->size > STEP_SIZE_MAX)
		complain(r, script, "a step is over %d KiB", STEP_SIZE_MAX / 1024);
	else
		return true;
	return false;
}

static void read_name(const struct reading *r, const struct node *value, struct rec_step_note *note)
{
	if (value->kind == NODE_REFUSED)
		return;
	if (value->kind != NODE_TEXT || value->size == 0 || value->size > STEP_NAME_MAX ||
	    strpbrk(value->text, "\r\n"))
		complain(r, value, "the name of a step is one line of at most %d bytes",
		         STEP_NAME_MAX);
	else
		note->name = value->text;
}

/* `- echo a: b` is a map for YAML, and its author meant a text. */
static bool is_meant_as_text(const struct node *map)
{
	for (const struct node *key = map->first; key; key = key->next->next)
		if (text_nearest(key->text, step_keys, STEP_KEYS))
			return false;
	return map->first != NULL;
}

/* NULL when there is no script in it. */
static const char *read_map(const struct reading *r, const struct node *map,
                            struct rec_step_note *note)
{
	const struct node *run = NULL;
	if (is_meant_as_text(map)) {
		complain(r, map,
		         "a step is a text, or a map with run; quote a text with \": \" in it");
		return NULL;
	}
	size_t known = r->problems->total;
	for (const struct node *key = map->first; key; key = key->next->next) {
		if (strcmp(key->text, "run") == 0)
			run = key->next;
		else if (strcmp(key->text, "name") == 0)
			read_name(r, key->next, note);
		else if (strcmp(key->text, "always") == 0)
			read_flag(r, key, &note->always);
		else
			complain_unknown(r, key, step_keys, STEP_KEYS,
			                 "a step has run, name and always");
	}
	if (!run && r->problems->total == known)
		complain(r, map, "a step without run");
	else if (run && (run->kind == NODE_LIST || run->kind == NODE_MAP))
		complain(r, run, "run must be a text");
	else if (run && run->kind == NODE_TEXT && check_script(r, run))
		return run->text;
	return NULL;
}

static const char *read_step(const struct reading *r, const struct node *item,
                             struct rec_step_note *note)
{
	switch (item->kind) {
	case NODE_TEXT: return check_script(r, item) ? item->text : NULL;
	case NODE_MAP: return read_map(r, item, note);
	case NODE_LIST: complain(r, item, "a step is a text, or a map with run"); return NULL;
	case NODE_REFUSED: return NULL;
	}
	return NULL;
}

void read_steps(const struct reading *r, const struct node *key, struct rec_spec *spec)
{
	const struct node *value = key->next;
	if (value->kind == NODE_REFUSED)
		return;
	if (value->kind == NODE_MAP) {
		complain(r, value, "steps must be a list");
		return;
	}
	if (!first_item(value)) {
		complain(r, value, "steps is empty");
		return;
	}
	if (value->count > STEPS_MAX) {
		complain(r, value, "steps: %zu are too many, at most %d", value->count, STEPS_MAX);
		return;
	}
	const char **steps = arena_new(r->arena, (value->count + 1) * sizeof *steps);
	struct rec_step_note *notes = arena_new(r->arena, (value->count + 1) * sizeof *notes);
	size_t count = 0, notes_count = 0;
	for (const struct node *item = first_item(value); item; item = next_item(value, item)) {
		struct rec_step_note note = { .step = (uint32_t)count };
		steps[count] = read_step(r, item, &note);
		count += steps[count] != NULL;
		if (note.name || note.always)
			notes[notes_count++] = note;
	}
	spec->steps = steps;
	spec->steps_count = count;
	spec->step_notes = notes;
	spec->step_notes_count = notes_count;
}
