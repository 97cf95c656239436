/* Names come from the file of a commit: they are cut, and what shows them cleans them. */
#include "worker/steps.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { NAME_SHOWN_MAX = 100 };

/* NULL: nothing is said of it but its script. */
static const struct rec_step_note *find_note(const struct rec_spec *spec, size_t step)
{
	for (size_t i = 0; i < spec->step_notes_count; i++)
		if (spec->step_notes[i].step == step)
			return &spec->step_notes[i];
	return NULL;
}

static const char *name_of(const struct rec_spec *spec, size_t step, int *ret_size)
{
	const struct rec_step_note *note = find_note(spec, step);
	const char *name = note && note->name ? note->name : "";
	*ret_size = (int)text_cut(name, strlen(name), NAME_SHOWN_MAX);
	return name;
}

bool steps_always(const struct rec_spec *spec, size_t step)
{
	const struct rec_step_note *note = find_note(spec, step);
	return note && note->always;
}

bool steps_always_behind(const struct rec_spec *spec, size_t step)
{
	for (size_t i = step + 1; i < spec->steps_count; i++)
		if (steps_always(spec, i))
			return true;
	return false;
}

const char *steps_title(const struct rec_spec *spec, size_t step, char ret_line[STEPS_LINE_SIZE])
{
	int size;
	const char *name = name_of(spec, step, &size);
	if (size)
		snprintf(ret_line, STEPS_LINE_SIZE, "step %zu (%.*s)", step + 1, size, name);
	else
		snprintf(ret_line, STEPS_LINE_SIZE, "step %zu", step + 1);
	return ret_line;
}

const char *steps_command(const struct rec_spec *spec, size_t step, char ret_line[STEPS_LINE_SIZE])
{
	const char *script = spec->steps[step];
	size_t size = strcspn(script, "\n");
	bool whole = !script[size] || !script[size + 1];
	if (size > STEPS_LINE_SIZE - 5) {
		size = STEPS_LINE_SIZE - 5;
		whole = false;
	}
	snprintf(ret_line, STEPS_LINE_SIZE, "%.*s%s", (int)size, script, whole ? "" : " ...");
	return ret_line;
}

const char *steps_headline(const struct rec_spec *spec, size_t step,
                           char ret_line[2 * STEPS_LINE_SIZE])
{
	char command[STEPS_LINE_SIZE];
	int size;
	const char *name = name_of(spec, step, &size);
	snprintf(ret_line, (size_t)2 * STEPS_LINE_SIZE, "$ %.*s%s%s", size, name, size ? ": " : "",
	         steps_command(spec, step, command));
	return ret_line;
}
