/* Jobs that wait for others of their commit: blocked, neither offered nor counted as queued. Each
 * wait is held once and stands in two lists: what a job waits for, and who waits for a job. */
#include "broker/core/state.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

void after_add(struct core *core, struct job *job, struct job *predecessor, const char *name)
{
	assert(!job->course->lease && !job->place);
	for (const struct wait *wait = job->course->waits; wait; wait = wait->next)
		if (wait->predecessor == predecessor)
			return; /* its file names it twice */
	if (!job->course->waits)
		core->blocked++;
	struct wait *wait = memory_new(1, sizeof *wait);
	wait->job = job;
	wait->predecessor = predecessor;
	struct course *before = course_of(predecessor), *after = course_of(job);
	DL_APPEND(after->waits, wait);
	DL_APPEND2(before->followers, wait, follower_prev, follower_next);
	if (!before->name)
		before->name = memory_copy_text(name);
}

static void remove_wait(struct core *core, struct wait *wait)
{
	struct job *job = wait->job;
	struct course *before = course_of(wait->predecessor), *after = course_of(job);
	DL_DELETE2(before->followers, wait, follower_prev, follower_next);
	DL_DELETE(after->waits, wait);
	free(wait);
	if (!after->waits)
		core->blocked--;
}

void after_forget(struct core *core, struct job *job)
{
	while (job->course->waits)
		remove_wait(core, job->course->waits);
}

struct job *after_release(struct core *core, struct job *predecessor)
{
	struct job *job = predecessor->course->followers->job;
	remove_wait(core, predecessor->course->followers);
	return job->course->waits ? NULL : job;
}

void after_explain(const struct job *job, struct text *reason)
{
	text_add(reason, "waits for ");
	for (const struct wait *wait = job->course->waits; wait; wait = wait->next)
		text_addf(reason, "%s%s", wait == job->course->waits ? "" : ", ",
		          wait->predecessor->course->name);
}
