/* Old against fresh, setting by setting. What the sources said is compared, not what the program
 * goes by: it may have filled in what nobody said. */
#include "base/reload.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static enum err read_sources(const struct reload *reload, void **ret_said)
{
	struct text_list rest = { 0 };
	bool help;
	void *said = memory_new(1, reload->size);
	enum err err = settings_load(reload->table, reload->argc, reload->argv, said, &rest, &help);
	text_list_finish(&rest);
	if (!err)
		err = reload->check(said);
	*ret_said = said;
	return err;
}

static void destroy(const struct reload *reload, void **said)
{
	if (*said)
		settings_finish(reload->table, *said);
	free(*said);
	*said = NULL;
}

static bool is_setting(const struct settings_table *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++)
		if (strcmp(table->settings[i].name, name) == 0)
			return table->settings[i].kind != SETTING_addresses;
	return false;
}

enum err reload_start(struct reload *reload)
{
	for (const char *const *name = reload->live; *name; name++)
		assert(is_setting(reload->table, *name));
	return read_sources(reload, &reload->said);
}

void reload_finish(struct reload *reload)
{
	destroy(reload, &reload->said);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_list(const struct text_list *a, const struct text_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

static bool is_same(const struct setting *setting, void *a, void *b)
{
	const void *left = settings_field(setting, a), *right = settings_field(setting, b);
	switch (setting->kind) {
	case SETTING_text: return same_text(*(char *const *)left, *(char *const *)right);
	case SETTING_list:
	case SETTING_addresses: return same_list(left, right);
	case SETTING_flag: return *(const bool *)left == *(const bool *)right;
	case SETTING_count:
	case SETTING_duration:
	case SETTING_size: break;
	}
	return *(const int64_t *)left == *(const int64_t *)right;
}

static bool is_live(const struct reload *reload, const struct setting *setting)
{
	for (const char *const *name = reload->live; *name; name++)
		if (strcmp(*name, setting->name) == 0)
			return true;
	return false;
}

/* Of a live setting; addresses are none. */
static void take_over(const struct setting *setting, void *current, void *fresh)
{
	void *to = settings_field(setting, current);
	const void *from = settings_field(setting, fresh);
	if (setting->kind == SETTING_text) {
		free_text(to);
		*(char **)to = memory_copy_text(*(char *const *)from);
	} else if (setting->kind == SETTING_list) {
		text_list_finish(to);
		text_list_copy(to, from);
	} else if (setting->kind == SETTING_flag) {
		*(bool *)to = *(const bool *)from;
	} else {
		*(int64_t *)to = *(const int64_t *)from;
	}
}

bool reload_run(struct reload *reload)
{
	void *fresh;
	bool changed = false;
	if (read_sources(reload, &fresh)) {
		log_at(LOG_LEVEL_ERROR, "settings stay as they were: %s", error_text());
		destroy(reload, &fresh);
		return false;
	}
	for (size_t i = 0; i < reload->table->count; i++) {
		const struct setting *setting = &reload->table->settings[i];
		char flag[NAME_SIZE_MAX];
		if (is_same(setting, reload->said, fresh))
			continue;
		settings_flag_name(setting, flag);
		if (!is_live(reload, setting)) {
			log_at(LOG_LEVEL_WARN, "setting changed, a restart takes it over name=%s",
			       flag);
			continue;
		}
		log_at(LOG_LEVEL_INFO, "setting changed name=%s", flag);
		take_over(setting, reload->current, fresh);
		changed = true;
	}
	log_at(LOG_LEVEL_INFO, "settings read again");
	destroy(reload, &reload->said);
	reload->said = fresh;
	return changed;
}
