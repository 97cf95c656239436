/* The environment of a job's steps: what they get, and nothing else. */
#include "worker/environment.h"

#include "base/plant.h"
#include "base/scoped.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void set_env(struct text_list *env, const char *name, const char *value)
{
	char *row = text_format("%s=%s", name, value);
	size_t size = strlen(name);
	if (size == 0 || strchr(name, '=')) {
		free(row);
		return;
	}
	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->items[i], row, size + 1) == 0) {
			free(env->items[i]);
			env->items[i] = row;
			return;
		}
	}
	text_list_add(env, row);
	free(row);
}

static void set_env_number(struct text_list *env, const char *name, uint64_t value)
{
	char text[32];
	snprintf(text, sizeof text, "%" PRIu64, value);
	set_env(env, name, text);
}

void environment_make(const struct msg_offer *offer, const struct rec_orders *orders,
                      const char *folder, struct text_list *env)
{
	for (char **row = environ; PLANTED(environment_leaks) && *row; row++)
		text_list_add(env, *row);
	const char *path = getenv("PATH"), *language = getenv("LANG");
	scoped(free_text) char *home = text_format("%s/home", folder);
	scoped(free_text) char *tmp = text_format("%s/tmp", folder);
	set_env(env, "PATH", path ? path : "/usr/local/bin:/usr/bin:/bin");
	set_env(env, "LANG", language ? language : "C.UTF-8");
	set_env(env, "HOME", home);
	set_env(env, "TMPDIR", tmp);
	set_env(env, "CI", "true");
	set_env(env, "FETTLE", "true");
	set_env(env, "FETTLE_REPO", offer->repository);
	set_env(env, "FETTLE_COMMIT", offer->commit);
	set_env(env, "FETTLE_REF", offer->ref);
	set_env_number(env, "FETTLE_BUILD", offer->build);
	set_env(env, "FETTLE_JOB", offer->spec->name);
	set_env_number(env, "FETTLE_ATTEMPT", offer->attempt);
	set_env(env, "FETTLE_WORKER", orders->worker);
	for (size_t i = 0; i < offer->spec->env_count; i++) {
		const struct rec_variable *variable = &offer->spec->env[i];
		set_env(env, variable->name, variable->value ? variable->value : "");
	}
	text_list_end(env);
}
