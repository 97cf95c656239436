/* Supervisors as their agent sees them: a process, a socket, a folder. */
#include "worker/jobs.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/process.h"
#include "base/scoped.h"
#include "worker/run.h"
#include "worker/settings.h"
#include "worker/spool.h"
#include "worker/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { LEAVE_MS = 2000 };

void jobs_init(struct jobs *jobs, const struct worker_settings *settings,
               const struct containment *containment)
{
	*jobs = (struct jobs){ .settings = settings,
		               .containment = containment,
		               .program = starter_program() };
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	trash_init(&jobs->trash, settings->state, jobs->program);
}

struct job *jobs_find(struct jobs *jobs, uint64_t job, uint32_t attempt)
{
	for (size_t i = 0; i < jobs->count; i++)
		if (jobs->items[i].job == job && jobs->items[i].attempt == attempt)
			return &jobs->items[i];
	return NULL;
}

static struct job *add(struct jobs *jobs, uint64_t job, uint32_t attempt)
{
	memory_reserve((void **)&jobs->items, &jobs->capacity, jobs->count + 1,
	               sizeof *jobs->items);
	struct job *added = &jobs->items[jobs->count++];
	*added = (struct job){ .job = job,
		               .attempt = attempt,
		               .folder = spool_folder(jobs->settings->state, job, attempt),
		               .end = -1,
		               .socket = -1,
		               .log = -1,
		               .parcel = -1 };
	return added;
}

/* The last job takes its place. */
static void drop(struct jobs *jobs, struct job *job)
{
	if (job->forgotten) {
		spool_discard_work(job->folder, &jobs->trash); /* of one that was killed */
		if (file_remove_tree(job->folder) != OK)
			trash_put(&jobs->trash, job->folder);
	}
	close_fd(&job->end);
	close_fd(&job->socket);
	close_fd(&job->log);
	close_fd(&job->parcel);
	free(job->folder);
	free(job->error);
	*job = jobs->items[--jobs->count];
}

void jobs_add_restored(struct jobs *jobs, uint64_t job, uint32_t attempt)
{
	add(jobs, job, attempt)->ended = true;
}

enum adoption_result jobs_adopt(struct jobs *jobs, uint64_t job, uint32_t attempt)
{
	struct adoption adoption;
	scoped(free_text) char *folder = spool_folder(jobs->settings->state, job, attempt);
	enum adoption_result result = adoption_try(folder, &adoption);
	if (result != ADOPTION_DONE)
		return result;
	struct job *adopted = add(jobs, job, attempt);
	adopted->pid = adoption.pid;
	adopted->end = adoption.end;
	adopted->socket = adoption.socket;
	adopted->slot = adoption.slot;
	adopted->grew = true; /* it may have a result by now */
	return result;
}

/* ---- starting ------------------------------------------------------------------------------ */

static bool is_taken(const struct jobs *jobs, uint32_t slot)
{
	for (size_t i = 0; i < jobs->count; i++)
		if (jobs->items[i].pid && jobs->items[i].slot == slot)
			return true;
	return jobs->lost[slot];
}

/* The lowest in service that no living supervisor has. */
static uint32_t free_slot(const struct jobs *jobs)
{
	uint32_t slot = 0;
	while (slot < SLOTS_MAX - 1 && is_taken(jobs, slot))
		slot++;
	return slot;
}

static enum err start(struct jobs *jobs, struct job *job, const struct msg_offer *offer)
{
	job->slot = free_slot(jobs);
	struct starter starter = { .program = jobs->program,
		                   .settings = jobs->settings,
		                   .containment = jobs->containment,
		                   .slot = job->slot };
	return starter_start(&starter, job->folder, offer, &job->socket, &job->pid);
}

/* The folder gets a result when its supervisor left none. */
static void write_error(struct job *job, const char *reason)
{
	struct msg_result result = {
		.job = job->job,
		.attempt = job->attempt,
		.outcome = OUTCOME_error,
		.reason = reason,
		.log_size = spool_log_size(job->folder),
	};
	if (spool_write_result(job->folder, &result) == OK)
		return;
	log_at(LOG_LEVEL_ERROR, "result not kept job=%" PRIu64 " attempt=%u reason=\"%s\"",
	       job->job, job->attempt, error_text());
	job->error = memory_copy_text(reason);
}

void jobs_start(struct jobs *jobs, const struct msg_offer *offer)
{
	struct job *job = add(jobs, offer->job, offer->attempt);
	log_at(LOG_LEVEL_INFO,
	       "job started job=%" PRIu64 " attempt=%u name=%s repository=%s commit=%.12s",
	       offer->job, offer->attempt, offer->spec->name, offer->repository, offer->commit);
	if (start(jobs, job, offer) == OK)
		return;
	log_at(LOG_LEVEL_ERROR, "job not started job=%" PRIu64 " reason=\"%s\"", offer->job,
	       error_text());
	scoped(free_text) char *reason =
		text_format("supervisor not started: %.900s", error_text());
	write_error(job, reason);
}

static void tell(const struct job *job, char what, const char *more)
{
	char packet[RUN_PACKET_MAX] = { what };
	size_t size = more ? strnlen(more, sizeof packet - 1) : 0;
	if (size)
		memcpy(packet + 1, more, size);
	if (job->socket >= 0 &&
	    send(job->socket, packet, size + 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_at(LOG_LEVEL_DEBUG, "supervisor not told job=%" PRIu64, job->job);
}

void jobs_cancel(struct jobs *jobs, uint64_t job, uint32_t attempt, const char *reason)
{
	struct job *found = jobs_find(jobs, job, attempt);
	if (!found)
		return;
	log_at(LOG_LEVEL_INFO, "job cancelled job=%" PRIu64 " attempt=%u reason=\"%s\"", job,
	       attempt, reason);
	tell(found, RUN_TELL_CANCEL, reason);
}

void jobs_forget(struct jobs *jobs, uint64_t job, uint32_t attempt)
{
	struct job *found = jobs_find(jobs, job, attempt);
	if (!found)
		return;
	found->forgotten = true;
	if (found->pid)
		tell(found, RUN_TELL_STOP, NULL);
	else if (found->ended)
		drop(jobs, found);
}

/* ---- hearing ------------------------------------------------------------------------------- */

size_t jobs_poll_items(const struct jobs *jobs, zmq_pollitem_t *items)
{
	size_t count = 0;
	for (size_t i = 0; i < jobs->count; i++) {
		const struct job *job = &jobs->items[i];
		if (job->socket >= 0)
			items[count++] =
				(zmq_pollitem_t){ .fd = job->socket, .events = ZMQ_POLLIN };
		if (job->pid && job->end >= 0)
			items[count++] = (zmq_pollitem_t){ .fd = job->end, .events = ZMQ_POLLIN };
	}
	return count;
}

static void hear(struct job *job)
{
	char packet[RUN_PACKET_MAX];
	while (job->socket >= 0) {
		ssize_t got = recv(job->socket, packet, sizeof packet, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0)
			close_fd(&job->socket);
		else if (packet[0] == RUN_TELL_GROUP && got == 1 + (ssize_t)sizeof job->group)
			memcpy(&job->group, packet + 1, sizeof job->group);
		else if (packet[0] == RUN_TELL_STUCK)
			job->stuck = true;
		else if (packet[0] == RUN_TELL_GREW || packet[0] == RUN_TELL_RESULT)
			job->grew = true;
	}
}

/* Told once for each: by the count the core hears of it. */
static void lose_slot(struct jobs *jobs, struct job *job)
{
	job->stuck = false;
	if (jobs->lost[job->slot])
		return;
	jobs->lost[job->slot] = true;
	jobs->lost_count++;
	log_at(LOG_LEVEL_ERROR,
	       "slot out of service, processes of its job cannot be ended slot=%u job=%" PRIu64
	       " attempt=%u",
	       job->slot, job->job, job->attempt);
}

void jobs_listen(struct jobs *jobs)
{
	for (size_t i = 0; i < jobs->count; i++) {
		hear(&jobs->items[i]);
		if (jobs->items[i].stuck)
			lose_slot(jobs, &jobs->items[i]);
	}
}

/* The number is a group of this job for as long as its leader is in the supervisor's session. */
static void kill_group(const struct job *job, pid_t supervisor)
{
	if (job->group > 1 && getsid(job->group) == supervisor)
		kill(-job->group, SIGKILL);
}

/* How one ended that is not our child, nobody tells us: neither exited nor signaled. */
enum { STATUS_UNKNOWN = -1 };

/* A supervisor that was killed took its group along, but for a group whose leader was stopped: that
 * is ours to kill. */
static void bury(struct jobs *jobs, struct job *job, int status)
{
	pid_t supervisor = job->pid;
	job->pid = 0;
	close_fd(&job->end);
	if (job->ended || spool_has_result(job->folder))
		return;
	kill_group(job, supervisor);
	char reason[64] = "supervisor died";
	if (WIFSIGNALED(status))
		snprintf(reason, sizeof reason, "supervisor died (signal %d)", WTERMSIG(status));
	else if (WIFEXITED(status))
		snprintf(reason, sizeof reason, "supervisor died (exit %d)", WEXITSTATUS(status));
	if (job->forgotten)
		return;
	log_at(LOG_LEVEL_ERROR, "%s job=%" PRIu64 " attempt=%u", reason, job->job, job->attempt);
	spool_discard_work(job->folder, &jobs->trash);
	write_error(job, reason);
}

static bool is_ours(const struct jobs *jobs, pid_t pid)
{
	if (pid == jobs->trash.cleaner)
		return true;
	for (size_t i = 0; i < jobs->count; i++)
		if (jobs->items[i].pid == pid)
			return true;
	return false;
}

/* All our children are supervisors and a cleaner; the others were left by one that was killed, and
 * may leave some themselves. */
static void end_strangers(struct jobs *jobs)
{
	bool ended;
	do {
		pid_t *children;
		size_t count = process_children(&children);
		ended = jobs->strangers = false;
		for (size_t i = 0; i < count; i++) {
			if (is_ours(jobs, children[i]))
				continue;
			kill(children[i], SIGKILL);
			jobs->strangers = true;
			ended = waitpid(children[i], NULL, WNOHANG) > 0 || ended;
		}
		free(children);
	} while (ended);
}

static bool has_ended(const struct job *job, int *ret_status)
{
	*ret_status = STATUS_UNKNOWN;
	return job->end >= 0 ? adoption_is_over(job->end)
	                     : waitpid(job->pid, ret_status, WNOHANG) == job->pid;
}

void jobs_reap(struct jobs *jobs)
{
	for (size_t i = jobs->count; i-- > 0;) {
		struct job *job = &jobs->items[i];
		int status;
		if (job->pid == 0 || !has_ended(job, &status))
			continue;
		hear(job);
		bury(jobs, job, status);
		jobs->strangers =
			jobs->strangers || (WIFSIGNALED(status) && !PLANTED(leave_strangers));
		if (job->forgotten && job->ended)
			drop(jobs, job);
	}
	if (jobs->strangers)
		end_strangers(jobs);
	trash_tend(&jobs->trash);
}

/* The result in the folder; when even that cannot be read, one that says so. */
static void read_result(const struct job *job, struct message *ret_result)
{
	if (spool_read(job->folder, "result", MESSAGE_result, ret_result) == OK)
		return;
	*ret_result = (struct message){ .type = MESSAGE_result };
	ret_result->result = (struct msg_result){
		.job = job->job,
		.attempt = job->attempt,
		.outcome = OUTCOME_error,
		.reason = job->error ? job->error : "the worker could not keep the result"
	};
}

/* A forgotten job ends when its supervisor is gone; another as soon as its result is there. */
static bool next_is(struct job *job, bool *ret_ended)
{
	*ret_ended =
		!job->ended &&
		(job->pid == 0 || (job->grew && !job->forgotten && spool_has_result(job->folder)));
	return *ret_ended || (job->grew && !job->ended);
}

bool jobs_next(struct jobs *jobs, struct job **ret_job, bool *ret_ended, struct message *ret_result)
{
	for (size_t i = 0; i < jobs->count; i++) {
		struct job *job = &jobs->items[i];
		if (!next_is(job, ret_ended))
			continue;
		job->grew = false;
		if (*ret_ended) {
			job->ended = true;
			read_result(job, ret_result);
		}
		*ret_job = job;
		return true;
	}
	return false;
}

static void read_part(const struct job *job, const char *name, int *file, uint64_t offset,
                      void *data, size_t size)
{
	if (*file < 0) {
		scoped(free_text) char *path = text_format("%s/%s", job->folder, name);
		*file = open(path, O_RDONLY | O_CLOEXEC);
	}
	ssize_t got = *file < 0 ? 0 : pread(*file, data, size, (off_t)offset);
	if (got < 0)
		got = 0;
	if ((size_t)got < size)
		memset((char *)data + got, '?', size - (size_t)got);
}

void jobs_read_log(struct job *job, uint64_t offset, void *data, size_t size)
{
	read_part(job, "log", &job->log, offset, data, size);
}

void jobs_read_parcel(struct job *job, uint64_t offset, void *data, size_t size)
{
	read_part(job, "parcel", &job->parcel, offset, data, size);
}

/* ---- leaving ------------------------------------------------------------------------------- */

static int wait_for_end(const struct job *job)
{
	if (job->end < 0)
		return process_wait(job->pid);
	adoption_wait(job->end);
	return STATUS_UNKNOWN;
}

static void wait_for_all(struct jobs *jobs, int64_t until_ms)
{
	for (size_t i = 0; i < jobs->count; i++) {
		struct job *job = &jobs->items[i];
		struct pollfd end = { .fd = job->socket, .events = POLLIN };
		while (job->pid && job->socket >= 0 && clock_mono_ms() < until_ms) {
			poll(&end, 1, (int)(until_ms - clock_mono_ms()));
			hear(job);
		}
		if (job->pid && job->socket >= 0) {
			kill(job->pid, SIGKILL);
			jobs->strangers = true;
		}
		if (job->pid)
			bury(jobs, job, wait_for_end(job));
	}
}

void jobs_finish(struct jobs *jobs)
{
	for (size_t i = 0; i < jobs->count; i++)
		if (jobs->items[i].pid)
			tell(&jobs->items[i], RUN_TELL_STOP, NULL);
	wait_for_all(jobs, clock_mono_ms() + LEAVE_MS);
	if (jobs->strangers)
		process_end_children();
	while (jobs->count > 0)
		drop(jobs, &jobs->items[jobs->count - 1]);
	trash_finish(&jobs->trash);
	free(jobs->items);
	free(jobs->program);
	*jobs = (struct jobs){ 0 };
}
