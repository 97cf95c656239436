/* fettle log: the bytes of a job's log, followed through its attempts when asked. A file gets them
 * as they are, a terminal what is fit for it. */
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/log_view.h"
#include "cli/output.h"
#include "cli/pick.h"
#include "proto/wire.h"

#include <errno.h>
#include <string.h>

/* A growing log is no event, so following looks again after this long. */
enum { FOLLOW_MS = 300 };

struct reading {
	uint64_t job;
	const char *name;
	uint32_t attempt; /* 0: the newest, whichever that is */
	uint64_t offset;
	bool follow;
	bool away_said;
	struct json json;
	struct log_view view;
};

/* A character that was cut by the end of a part is asked for again with the next one. */
static size_t whole_characters(const struct rec_log_result *part)
{
	const char *data = part->bytes.data;
	size_t size = part->bytes.size;
	if (part->offset + size >= part->size && part->ended)
		return size;
	for (size_t tail = 1; tail <= 3 && tail < size; tail++) {
		unsigned char byte = (unsigned char)data[size - tail];
		if ((byte & 0xc0) == 0x80)
			continue;
		size_t whole = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
		return whole > tail ? size - tail : size;
	}
	return size;
}

/* One JSON value a line for each part. Returns how many bytes of the part it holds. */
static size_t write_json(struct reading *reading, const struct rec_log_result *part)
{
	struct json *json = &reading->json;
	size_t size = whole_characters(part);
	json_open(json, '{');
	json_key(json, "job");
	json_number(json, part->job);
	json_key(json, "name");
	json_text(json, reading->name);
	json_key(json, "attempt");
	json_number(json, part->attempt);
	json_key(json, "offset");
	json_number(json, part->offset);
	json_key(json, "size");
	json_number(json, part->size);
	json_key(json, "ended");
	json_flag(json, part->ended);
	json_key(json, "outcome");
	json_text(json, part->outcome ? outcome_text(part->outcome) : NULL);
	json_key(json, "reason");
	json_text(json, part->reason);
	json_key(json, "text");
	json_bytes(json, part->bytes.data, size);
	json_close(json, '}');
	json_finish(json);
	return size;
}

static enum err write_text(struct reading *reading, const struct bytes *bytes, bool last)
{
	scoped(text_finish) struct text shown = { 0 };
	const char *data = bytes->data;
	size_t size = bytes->size;
	if (output_is_terminal()) {
		log_view_add(&reading->view, data, size, &shown);
		if (last)
			log_view_end(&reading->view, &shown);
		data = shown.data;
		size = shown.size;
	}
	if (fwrite(data, 1, size, stdout) != size || fflush(stdout) != 0)
		return fail(ERR_SYSTEM, "stdout: %s", strerror(errno));
	return OK;
}

static enum err write_part(struct session *session, struct reading *reading,
                           const struct rec_log_result *part, bool last)
{
	size_t size = part->bytes.size;
	enum err err = OK;
	if (!session->options->json)
		err = write_text(reading, &part->bytes, last);
	else if (size > 0 || last)
		size = write_json(reading, part);
	reading->offset = part->offset + size;
	return err;
}

static enum err ask(struct session *session, uint64_t job, uint32_t attempt, uint64_t offset,
                    struct rec_log_result *ret_part)
{
	const struct rec_log_params params = { .job = job, .attempt = attempt, .offset = offset };
	arena_reset(&session->arena);
	return session_ask(session, "log", RECORD_log_params, &params, RECORD_log_result, ret_part);
}

/* Its log ended without a verdict: go on with the next attempt once there is one. */
static enum err find_next_attempt(struct session *session, struct reading *reading)
{
	struct rec_log_result newest;
	enum err err = ask(session, reading->job, 0, 0, &newest);
	if (err || newest.attempt <= reading->attempt)
		return err;
	fprintf(stderr, "fettle: attempt %u of %s ended without a verdict; attempt %u follows\n",
	        reading->attempt, reading->name, newest.attempt);
	reading->attempt = newest.attempt;
	reading->offset = 0;
	return OK;
}

static enum err wait_for_broker(struct session *session, struct reading *reading)
{
	if (!reading->away_said)
		fprintf(stderr, "fettle: the broker went away; waiting for it to come back\n");
	reading->away_said = true;
	return session_wait(session, REFRESH_MS);
}

static void say_no_log(const struct reading *reading, const struct rec_log_result *part)
{
	scoped(text_finish) struct text line = { 0 };
	if (part->outcome)
		text_addf(&line, "fettle: %s never ran, it is %s", reading->name,
		          outcome_text(part->outcome));
	else
		text_addf(&line, "fettle: %s has not run yet; fettle queue says why",
		          reading->name);
	if (part->reason) {
		text_add(&line, ": ");
		output_add(&line, TINT_NONE, part->reason);
	}
	fprintf(stderr, "%s\n", line.data);
}

/* The first part, or a later one once the broker answered before. */
static enum err read_part(struct session *session, struct reading *reading, bool first,
                          bool *ret_end)
{
	struct rec_log_result part;
	enum err err = ask(session, reading->job, reading->attempt, reading->offset, &part);
	if (err == ERR_UNREACHABLE && !first && reading->follow)
		return wait_for_broker(session, reading);
	if (err)
		return err;
	reading->away_said = false;
	reading->attempt = part.attempt;
	bool all = part.offset + part.bytes.size >= part.size;
	bool never_leased = part.attempt == 0;
	*ret_end = all && (!reading->follow || part.outcome ||
	                   (session->options->attempt > 0 && part.ended));
	if ((err = write_part(session, reading, &part, *ret_end)))
		return err;
	if (*ret_end && never_leased)
		say_no_log(reading, &part);
	if (*ret_end || !all)
		return OK;
	if (part.ended && !never_leased && (err = find_next_attempt(session, reading)))
		return err;
	return session_wait(session, FOLLOW_MS);
}

static enum err read_log(struct session *session, const struct rec_job_row *job, bool head)
{
	/* The rows of the commit are gone with the first answer: keep what is said later. */
	scoped(free_text) char *name = text_format("%s", job->name);
	struct reading reading = { .job = job->job,
		                   .name = name,
		                   .attempt = (uint32_t)session->options->attempt,
		                   .follow = session->options->follow,
		                   .json = json_start(stdout),
		                   .view.colour = output_is_coloured() };
	enum err err = OK;
	if (head)
		fprintf(stderr, "==> %s\n", name);
	bool first = true;
	for (bool end = false; !err && !end; first = false)
		err = read_part(session, &reading, first, &end);
	return err;
}

enum err verb_log(struct session *session)
{
	scoped(picked_finish) struct picked picked = { 0 };
	if (session->options->attempt > ATTEMPT_MAX)
		return fail(ERR_USAGE, "--attempt is at most %d", ATTEMPT_MAX);
	enum err err = pick_jobs(session, session->words->items[0], &picked);
	for (size_t i = 0; i < picked.count && !err; i++)
		err = read_log(session, &picked.jobs[i], picked.count > 1);
	return err;
}
