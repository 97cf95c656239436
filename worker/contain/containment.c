/* What there is to hold jobs with: see containment.h. Each means is tried, not guessed. */
#include "worker/contain/containment.h"

#include "base/file.h"
#include "base/scoped.h"
#include "worker/contain/cover.h"
#include "worker/contain/sandbox.h"
#include "worker/contain/user.h"
#include "worker/settings.h"

#include <string.h>
#include <sys/wait.h>

struct wish {
	bool cgroup, sandbox;
	bool strict; /* or else */
};

static enum err read_wish(const struct text_list *list, struct wish *ret_wish)
{
	struct wish wish = { .strict = true };
	for (size_t i = 0; i < list->count; i++) {
		const char *word = list->items[i];
		if (strcmp(word, "cgroup") == 0)
			wish.cgroup = true;
		else if (strcmp(word, "bubblewrap") == 0)
			wish.sandbox = true;
		else if (strcmp(word, "auto") == 0 && list->count == 1)
			wish = (struct wish){ .cgroup = true, .sandbox = true };
		else if (strcmp(word, "none") != 0 || list->count != 1)
			return fail(ERR_USAGE,
			            "--containment: auto, none, or a list of cgroup and "
			            "bubblewrap, not '%s'",
			            word);
	}
	*ret_wish = wish;
	return OK;
}

static void say(char why[CONTAINMENT_WHY_SIZE], const char *reason)
{
	snprintf(why, CONTAINMENT_WHY_SIZE, "%s", reason);
}

/* A child tries to hide this state folder, as jobs' children will. */
static enum err probe_cover(const char *state)
{
	const char *const none[] = { NULL };
	pid_t pid = fork();
	int status = 0;
	if (pid == 0)
		_exit(cover_state(state, none) == OK ? 0 : 1);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return fail(ERR_SYSTEM,
		            "root may not mount here, so the worker's files cannot be hidden");
	return OK;
}

static enum err find_users(struct containment *containment, const struct worker_settings *settings,
                           const char *instance)
{
	enum err err;
	if (!user_can_drop())
		return fail(ERR_SYSTEM, "root has no capability to become another user here");
	if ((err = probe_cover(settings->state)))
		return err;
	if (settings->job_uid) {
		containment->first_uid = (uid_t)settings->job_uid;
		return OK;
	}
	if (!instance) {
		containment->first_uid = user_first();
		return OK;
	}
	return user_take_range(instance, &containment->first_uid, &containment->users);
}

static enum err check(const struct containment *containment, const struct wish *wish,
                      const struct worker_settings *settings)
{
	if (geteuid() == 0 && !containment->first_uid && !settings->allow_root_jobs)
		return fail(ERR_USAGE,
		            "jobs would run as root: %s; run the worker as another user, or say "
		            "--allow-root-jobs",
		            containment->why_no_users);
	if (wish->strict && wish->cgroup && !containment->cgroup.path[CGROUP_TREE])
		return fail(ERR_USAGE, "--containment cgroup: %s", containment->why_no_cgroup);
	if (wish->strict && wish->sandbox && !containment->sandbox)
		return fail(ERR_USAGE, "--containment bubblewrap: %s", containment->why_no_sandbox);
	return OK;
}

enum err containment_open(struct containment *containment, const struct worker_settings *settings,
                          const char *instance)
{
	struct wish wish = { 0 };
	*containment = (struct containment){ .users = -1, .cgroup.lock = { -1, -1, -1 } };
	enum err err = read_wish(&settings->containment, &wish);
	if (err)
		return err;
	if (geteuid() != 0)
		say(containment->why_no_users, "only root can give each slot a user");
	else if (settings->allow_root_jobs)
		say(containment->why_no_users, "--allow-root-jobs");
	else if (find_users(containment, settings, instance) != OK)
		say(containment->why_no_users, error_text());
	if (!wish.cgroup)
		say(containment->why_no_cgroup, "--containment");
	else
		cgroup_find(instance ? instance : "check", &containment->cgroup);
	if (wish.cgroup && !containment->cgroup.path[CGROUP_TREE])
		say(containment->why_no_cgroup, cgroup_missing());
	if (!wish.sandbox)
		say(containment->why_no_sandbox, "--containment");
	else if (sandbox_probe(containment->first_uid) != OK)
		say(containment->why_no_sandbox, error_text());
	else
		containment->sandbox = true;
	return check(containment, &wish, settings);
}

void containment_close(struct containment *containment)
{
	cgroup_finish(&containment->cgroup);
	close_fd(&containment->users);
	*containment = (struct containment){ .users = -1, .cgroup.lock = { -1, -1, -1 } };
}

void containment_add_labels(const struct containment *containment, struct text_list *labels)
{
	const struct {
		const char *label;
		bool there;
	} rows[] = {
		{ "containment.bubblewrap", containment->sandbox },
		{ "containment.cgroup", containment->cgroup.path[CGROUP_TREE] },
		{ "containment.user", containment->first_uid },
		{ "containment.weak",
		  !containment->sandbox && !containment->cgroup.path[CGROUP_TREE] },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].there)
			text_list_add(labels, rows[i].label);
}

void containment_order(const struct containment *containment,
                       const struct worker_settings *settings, struct rec_orders *orders)
{
	orders->cgroup = containment->cgroup.path[CGROUP_TREE];
	orders->cgroup_pids = containment->cgroup.path[CGROUP_PIDS];
	orders->cgroup_memory = containment->cgroup.path[CGROUP_MEMORY];
	orders->sandbox = containment->sandbox;
	orders->uid = containment->first_uid ? containment->first_uid + orders->slot : 0;
	orders->processes = (uint32_t)settings->max_processes;
	orders->memory = (uint64_t)settings->max_memory;
	orders->open_files = (uint32_t)settings->max_files;
	orders->disk = (uint64_t)settings->max_disk;
}
