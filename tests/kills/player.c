/* Peers of a broker that is killed, or that looks on while others are: an observer that feeds
 * commits by compare-and-swap and asks until all have their verdict, and workers that run nothing.
 *
 *   player FOLDER fleet OUT                       twenty commits, two workers, until all are judged
 *   player FOLDER feed REPOSITORY URL REF STEP COMMIT...   the same for real ones and real workers
 *   player FOLDER mark REPOSITORY URL REF COMMIT...        marks alone are set, REF by REF
 *   player FOLDER await REPOSITORY URL REF COMMIT...       until others have moved them so far
 *
 * FOLDER is the broker's. A byte on stdin says that the broker was started anew. On stdout are the
 * rows that the broker showed, as JSON; in OUT is what each worker said and heard. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/scoped.h"
#include "proto/wire.h"
#include "tests/fleet/peer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	WORKERS = 2,
	SLOTS = 1,
	COMMITS = 20,
	CHUNK = 3,     /* commits of an update */
	ANSWER_MS = 8, /* then the broker may be another one; doubles while nothing comes */
	ANSWER_MAX_MS = 256,
	PUSH_AGAIN_MS = 50, /* without progress of the mark */
	PAUSE_MS = 3,
	PATIENCE_MS = 20000,
};

struct player {
	struct fleet *fleet;
	struct wire_socket *updates;
	FILE *said[WORKERS];
	const char *repository, *url, *ref, *step;
	char (*commits)[COMMIT_SIZE + 1]; /* oldest first */
	size_t count;
	int64_t answer_ms, ends_ms;
};

/* ---- what the workers of a fleet do -------------------------------------------------------- */

static void say(struct fleet_worker *worker, const char *way, const struct message *message)
{
	char stamp[CLOCK_TEXT_SIZE];
	scoped(text_finish) struct text line = { 0 };
	message_print(message, &line);
	fprintf(worker->user, "%s fettle-worker debug: %s %s\n", clock_text(clock_wall_ms(), stamp),
	        way, line.data);
}

static void on_sent(void *user, struct fleet_worker *worker, const struct message *message)
{
	(void)user;
	say(worker, "sent", message);
}

static void on_received(void *user, struct fleet_worker *worker, const struct message *message)
{
	(void)user;
	say(worker, "received", message);
}

/* Every fifth job fails; one has a log of several pieces. */
static void on_started(void *user, struct fleet_worker *worker, const struct msg_offer *offer)
{
	(void)user;
	uint64_t size = offer->job == 3 ? 2 * LOG_CHUNK_MAX + 100 : 64 * (1 + offer->job % 3);
	fleet_worker_end(worker, offer->job, offer->attempt,
	                 offer->job % 5 == 0 ? OUTCOME_failed : OUTCOME_passed, size);
}

static bool add_workers(struct player *player, const char *out)
{
	for (size_t i = 0; i < WORKERS; i++) {
		scoped(free_text) char *name = text_format("w%zu", i);
		scoped(free_text) char *path = text_format("%s/worker-%s.log", out, name);
		if (!(player->said[i] = fopen(path, "we")))
			return false;
		fleet_worker_add(player->fleet,
		                 &(struct fleet_worker_settings){
					 .name = name, .slots = SLOTS, .user = player->said[i] });
	}
	return true;
}

static bool is_somebody_busy(const struct player *player)
{
	for (const struct fleet_worker *worker = player->fleet->workers; worker;
	     worker = worker->next)
		if (worker->core.attempts.count > 0)
			return true;
	return false;
}

/* ---- the broker ---------------------------------------------------------------------------- */

static enum err connect_updates(struct player *player)
{
	scoped(free_text) char *endpoint = address_endpoint(&player->fleet->broker, DOOR_UPDATES);
	wire_close(&player->updates);
	player->updates = wire_socket(ZMQ_PUSH);
	return wire_connect(player->updates, endpoint);
}

/* Nobody waits for time-outs: whoever killed the broker tells. */
static void meet_new_broker(struct player *player)
{
	char told;
	if (read(STDIN_FILENO, &told, 1) != 1)
		return;
	log_at(LOG_LEVEL_INFO, "broker started anew");
	for (struct fleet_worker *worker = player->fleet->workers; worker; worker = worker->next)
		fleet_worker_reconnect(worker);
	connect_updates(player);
	player->answer_ms = ANSWER_MS;
}

static bool has_time(struct player *player)
{
	meet_new_broker(player);
	return !player->fleet->interrupted && clock_mono_ms() < player->ends_ms;
}

static enum err ask(struct player *player, const char *method, enum record_type params_type,
                    const void *params, enum record_type result_type, struct arena *arena,
                    void *result)
{
	enum err err = fleet_ask(player->fleet, method, params_type, params, result_type, arena,
	                         result, clock_mono_ms() + player->answer_ms);
	player->answer_ms *= 2;
	if (!err || player->answer_ms > ANSWER_MAX_MS)
		player->answer_ms = ANSWER_MS;
	if (err) /* each question has a connection of its own */
		fleet_wait(player->fleet, NULL, NULL, clock_mono_ms() + PAUSE_MS);
	return err;
}

/* The mark of our ref; ZERO_COMMIT when it has none. */
static enum err ask_mark(struct player *player, char mark[COMMIT_SIZE + 1])
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_marks_params params = { .repository = player->repository };
	struct rec_marks_result result;
	enum err err = ask(player, "marks", RECORD_marks_params, &params, RECORD_marks_result,
	                   &arena, &result);
	if (err)
		return err;
	memcpy(mark, ZERO_COMMIT, COMMIT_SIZE + 1);
	for (size_t i = 0; i < result.marks_count; i++)
		if (strcmp(result.marks[i].ref, player->ref) == 0)
			memcpy(mark, result.marks[i].commit, COMMIT_SIZE + 1);
	return OK;
}

/* How many of our commits the mark has passed. */
static size_t passed_by(const struct player *player, const char *mark)
{
	for (size_t i = player->count; i > 0; i--)
		if (strcmp(player->commits[i - 1], mark) == 0)
			return i;
	return 0;
}

static bool is_made_up(const struct player *player)
{
	return !player->step;
}

static struct rec_commit commit_of(const struct player *player, size_t index)
{
	static const char *const nothing[] = { "true" };
	static const struct rec_spec two[] = {
		{ .name = "job-0", .steps = nothing, .steps_count = 1 },
		{ .name = "job-1", .steps = nothing, .steps_count = 1 },
	};
	struct rec_commit commit = { .commit = player->commits[index] };
	commit.jobs = two;
	commit.jobs_count = 1;
	if (!is_made_up(player))
		return commit;
	switch (index) {
	case 4: commit.jobs_count = 2; break;
	case 6: commit.error = "no such key"; break;
	case 10: commit.jobs_count = 0; break;
	default: break;
	}
	return commit;
}

static void push_update(struct player *player, const char *from, size_t first, size_t count)
{
	struct rec_commit commits[CHUNK];
	struct rec_spec spec = { .name = "main",
		                 .steps = (const char *const[]){ player->step },
		                 .steps_count = 1 };
	for (size_t i = 0; i < count; i++) {
		commits[i] = commit_of(player, first + i);
		if (!is_made_up(player))
			commits[i].jobs = &spec;
	}
	struct message update = { .type = MESSAGE_update,
		                  .update = { .repository = player->repository,
		                              .url = player->url,
		                              .ref = player->ref,
		                              .from = from,
		                              .to = player->commits[first + count - 1],
		                              .tip = player->commits[player->count - 1],
		                              .commits = commits,
		                              .commits_count = count } };
	if (wire_send(player->updates, NULL, &update))
		log_at(LOG_LEVEL_INFO, "%s", error_text());
}

static void push_from(struct player *player, const char *mark)
{
	const char *from = mark;
	for (size_t done = passed_by(player, mark), count; done < player->count; done += count) {
		count = player->count - done < CHUNK ? player->count - done : CHUNK;
		push_update(player, from, done, count);
		from = player->commits[done + count - 1];
	}
}

/* Until the mark is at the newest commit. */
static bool feed(struct player *player)
{
	char mark[COMMIT_SIZE + 1], before[COMMIT_SIZE + 1] = "";
	int64_t push_ms = 0;
	while (has_time(player)) {
		if (ask_mark(player, mark))
			continue;
		if (strcmp(mark, player->commits[player->count - 1]) == 0)
			return true;
		if (strcmp(mark, before) != 0)
			push_ms = *before ? clock_mono_ms() + PUSH_AGAIN_MS : 0;
		memcpy(before, mark, sizeof mark);
		if (clock_mono_ms() >= push_ms) {
			push_from(player, mark);
			push_ms = clock_mono_ms() + PUSH_AGAIN_MS;
		}
		fleet_wait(player->fleet, NULL, NULL, clock_mono_ms() + PAUSE_MS);
	}
	log_at(LOG_LEVEL_ERROR, "not all commits were accepted");
	return false;
}

static void push_mark(struct player *player, const char *from, const char *to)
{
	struct message update = { .type = MESSAGE_update,
		                  .update = { .repository = player->repository,
		                              .url = player->url,
		                              .ref = player->ref,
		                              .from = from,
		                              .to = to,
		                              .tip = to,
		                              .forced = true } };
	if (wire_send(player->updates, NULL, &update))
		log_at(LOG_LEVEL_INFO, "%s", error_text());
}

/* Until the mark of `ref` is there; it is put there, or others do that. */
static bool reach_mark(struct player *player, const char *ref, const char *commit, bool push)
{
	char mark[COMMIT_SIZE + 1] = "";
	player->ref = ref;
	while (has_time(player)) {
		if (ask_mark(player, mark))
			continue;
		if (strcmp(mark, commit) == 0)
			return true;
		if (push)
			push_mark(player, mark, commit);
		fleet_wait(player->fleet, NULL, NULL, clock_mono_ms() + PAUSE_MS);
	}
	log_at(LOG_LEVEL_ERROR, "the mark of %s is %s", ref, mark);
	return false;
}

/* ---- what is shown ------------------------------------------------------------------------- */

static const char *json_outcome(enum outcome outcome, char text[32])
{
	if (outcome == OUTCOME_NONE)
		return "null";
	snprintf(text, 32, "\"%s\"", outcome_text(outcome));
	return text;
}

static void show_build(const struct rec_build_row *row)
{
	char outcome[32];
	printf("{\"build\": %" PRIu64 ", \"repository\": \"%s\", \"ref\": \"%s\", "
	       "\"commit\": \"%s\", \"run\": %u, \"outcome\": %s, \"unfinished\": %u}\n",
	       row->build, row->repository, row->ref, row->commit, row->run,
	       json_outcome(row->outcome, outcome), row->unfinished);
}

/* Reasons of our steps hold no quotes; those of git may. */
static void print_text(const char *text)
{
	putchar('"');
	for (; text && *text; text++)
		printf(strchr("\"\\", *text) ? "\\%c" : "%c", *text);
	putchar('"');
}

static void show_job(const struct rec_job_row *row)
{
	char outcome[32];
	printf("{\"build\": %" PRIu64 ", \"job\": %" PRIu64 ", \"name\": \"%s\", "
	       "\"state\": \"%s\", \"attempt\": %u, \"worker\": \"%s\", \"outcome\": %s, "
	       "\"reason\": ",
	       row->build, row->job, row->name, row->state, row->attempt,
	       row->worker ? row->worker : "", json_outcome(row->outcome, outcome));
	if (row->reason)
		print_text(row->reason);
	else
		printf("null");
	printf("}\n");
}

/* True once every build of the repository has its verdict. */
static bool are_all_judged(struct player *player)
{
	scoped(arena_finish) struct arena arena = { 0 };
	struct rec_page_params params = { .limit = 1000, .repository = player->repository };
	struct rec_builds_result result;
	size_t judged = 0;
	if (ask(player, "builds", RECORD_page_params, &params, RECORD_builds_result, &arena,
	        &result))
		return false;
	for (size_t i = 0; i < result.builds_count; i++) {
		show_build(&result.builds[i]);
		judged += result.builds[i].outcome != OUTCOME_NONE;
	}
	return judged >= player->count && judged == result.builds_count;
}

static bool wait_for_verdicts(struct player *player)
{
	bool judged = false;
	while (has_time(player)) {
		judged = judged || are_all_judged(player);
		if (judged && !is_somebody_busy(player))
			return true;
		fleet_wait(player->fleet, NULL, NULL, clock_mono_ms() + PAUSE_MS);
	}
	log_at(LOG_LEVEL_ERROR,
	       judged ? "a result was never acknowledged" : "not all commits have their verdict");
	return false;
}

static bool show_jobs(struct player *player)
{
	for (size_t i = 0; i < player->count;) {
		scoped(arena_finish) struct arena arena = { 0 };
		struct rec_show_params params = { .commit = player->commits[i] };
		struct rec_show_result result;
		if (!has_time(player))
			return false;
		if (ask(player, "show", RECORD_show_params, &params, RECORD_show_result, &arena,
		        &result))
			continue;
		for (size_t b = 0; b < result.builds_count; b++)
			for (size_t j = 0; j < result.builds[b].jobs_count; j++)
				if (strcmp(result.builds[b].build->repository,
				           player->repository) == 0)
					show_job(&result.builds[b].jobs[j]);
		i++;
	}
	return true;
}

/* ---- modes --------------------------------------------------------------------------------- */

static void take_commits(struct player *player, char **commits, size_t count)
{
	player->count = count;
	player->commits = memory_new(count, sizeof *player->commits);
	for (size_t i = 0; i < count; i++)
		snprintf(player->commits[i], COMMIT_SIZE + 1, "%s", commits[i]);
}

static void make_up_commits(struct player *player)
{
	player->repository = "made-up";
	player->url = "/nowhere";
	player->ref = "refs/heads/main";
	player->count = COMMITS;
	player->commits = memory_new(COMMITS, sizeof *player->commits);
	for (size_t i = 0; i < COMMITS; i++)
		snprintf(player->commits[i], COMMIT_SIZE + 1, "%040zx", i + 1);
}

static bool play_fleet(struct player *player, const char *out)
{
	make_up_commits(player);
	return add_workers(player, out) && feed(player) && wait_for_verdicts(player);
}

static bool play_feed(struct player *player, int count, char **words)
{
	player->ref = words[0];
	player->step = words[1];
	take_commits(player, words + 2, (size_t)(count - 2));
	return feed(player) && wait_for_verdicts(player) && show_jobs(player);
}

static bool play_marks(struct player *player, int count, char **words, bool push)
{
	for (int i = 0; i + 1 < count; i += 2)
		if (!reach_mark(player, words[i], words[i + 1], push))
			return false;
	return true;
}

/* The words after FOLDER. */
static bool play(struct player *player, int count, char **words)
{
	if (count == 2 && strcmp(words[0], "fleet") == 0)
		return play_fleet(player, words[1]);
	if (count < 5)
		return false;
	player->repository = words[1];
	player->url = words[2];
	if (strcmp(words[0], "feed") == 0)
		return play_feed(player, count - 3, words + 3);
	return play_marks(player, count - 3, words + 3, strcmp(words[0], "mark") == 0);
}

static void finish(struct player *player)
{
	wire_close(&player->updates);
	fleet_destroy(&player->fleet);
	for (size_t i = 0; i < WORKERS; i++)
		if (player->said[i])
			fclose(player->said[i]);
	free(player->commits);
}

int main(int argc, char **argv)
{
	const struct fleet_hooks hooks = { .started = on_started,
		                           .sent = on_sent,
		                           .received = on_received };
	scoped(address_finish) struct address address = { 0 };
	struct player player = { .answer_ms = ANSWER_MS, .ends_ms = clock_mono_ms() + PATIENCE_MS };
	log_start("player", "info");
	if (argc < 4)
		return 2;
	scoped(free_text) char *broker = text_format("ipc:%s", argv[1]);
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	if (address_parse(broker, &address) ||
	    fleet_new(&address, WORKERS, &hooks, &player.fleet) || connect_updates(&player)) {
		log_at(LOG_LEVEL_ERROR, "%s", error_text());
		return 2;
	}
	bool good = play(&player, argc - 2, argv + 2);
	finish(&player);
	return good ? 0 : 1;
}
