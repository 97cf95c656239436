/* JOBID, or COMMIT[/JOB]. */
#include "cli/target.h"

#include <string.h>

enum { JOB_DIGITS_MAX = COMMIT_SHORT_SIZE - 1 };

enum err target_read(struct session *session, const char *word, struct rec_target *ret_target)
{
	int64_t job;
	const char *slash = strchr(word, '/');
	*ret_target = (struct rec_target){ 0 };
	if (!slash && strlen(word) <= JOB_DIGITS_MAX && text_to_count(word, &job)) {
		ret_target->job = (uint64_t)job;
		return job ? OK : fail(ERR_NOT_FOUND, "no job 0");
	}
	ret_target->commit =
		arena_copy(&session->arena, word, slash ? (size_t)(slash - word) : strlen(word));
	ret_target->name = slash ? slash + 1 : NULL;
	if (slash && !text_is_name(ret_target->name))
		return fail(ERR_USAGE, "'%s' is no name of a job", ret_target->name);
	return session_check_commit(ret_target->commit);
}
