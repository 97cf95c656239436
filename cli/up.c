/* fettle up: a broker, an observer and workers as children of this process, kept alive, and one
 * line for each event. Whatever ends this process ends them. */
#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/scoped.h"
#include "cli/child.h"
#include "cli/cli.h"
#include "cli/event_line.h"
#include "cli/json.h"
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum {
	START_MS = 30000, /* for the broker to answer */
	TURN_MS = 250,    /* children are looked at this often */
	HEALTH_MS = 2000, /* repositories are looked at this often */
	ORPHAN_MS = 5000, /* for what a killed worker left to end by itself */
	WORKERS_MAX = 64,
	CHILDREN_MAX = WORKERS_MAX + 2,
	EXIT_USAGE = 2,
};

/* Children lie in the order in which they are stopped: observer, workers, broker. */
struct house {
	struct session *session;
	int lock;     /* on the state folder, as long as we live */
	char *folder; /* absolute */
	char *hint;   /* what `fettle log` needs to find us again */
	struct child children[CHILDREN_MAX];
	size_t count;
	int64_t health_ms;         /* when repositories are looked at again */
	int64_t orphans_end_ms;    /* when orphans are killed; 0: there are none */
	struct text_list troubles; /* "name: error" of repositories that have one */
};

static struct child *broker_of(struct house *house)
{
	return &house->children[house->count - 1];
}

static void add_flag(struct child *child, const char *flag, const char *value)
{
	text_list_add(&child->argv, flag);
	text_list_add(&child->argv, value);
}

static void add_list_flag(struct child *child, const char *flag, const struct text_list *values)
{
	for (size_t i = 0; i < values->count; i++)
		add_flag(child, flag, values->items[i]);
}

/* A child with its program, state folder and log; the caller adds the rest. `folder` is its place
 * in ours: "worker/local-1" is, for people, the worker local-1. */
static enum err add_child(struct house *house, const char *program, const char *folder,
                          struct child **ret_child)
{
	scoped(free_text) char *path = child_program(program);
	scoped(free_text) char *state = text_format("%s/%s", house->folder, folder);
	if (!path)
		return ERR_SYSTEM;
	struct child *child = &house->children[house->count++];
	const char *slash = strchr(folder, '/');
	int size = slash ? (int)(slash - folder) : (int)strlen(folder);
	const char *own = slash ? slash + 1 : "";
	child->name = text_format("%.*s%s%s", size, folder, slash ? " " : "", own);
	child->log_path =
		text_format("%s/%.*s%s%s.log", house->folder, size, folder, slash ? "-" : "", own);
	text_list_add(&child->argv, path);
	add_flag(child, "--state", state);
	*ret_child = child;
	return OK;
}

static enum err add_observer(struct house *house, const char *broker,
                             const struct text_list *repositories)
{
	const struct options *options = house->session->options;
	struct child *child;
	enum err err = add_child(house, "fettle-observer", "observer", &child);
	if (err)
		return err;
	add_flag(child, "--broker", broker);
	if (options->interval_ms) {
		scoped(free_text) char *interval =
			text_format("%lldms", (long long)options->interval_ms);
		add_flag(child, "--interval", interval);
	}
	if (options->policy)
		add_flag(child, "--policy", options->policy);
	add_list_flag(child, "--ref", &options->ref);
	text_list_add(&child->argv, "--");
	text_list_copy(&child->argv, repositories);
	return OK;
}

static enum err add_worker(struct house *house, const char *broker, int64_t number)
{
	const struct options *options = house->session->options;
	scoped(free_text) char *name = text_format("local-%lld", (long long)number);
	scoped(free_text) char *folder = text_format("worker/%s", name);
	struct child *child;
	enum err err = add_child(house, "fettle-worker", folder, &child);
	if (err)
		return err;
	add_flag(child, "--broker", broker);
	add_flag(child, "--name", name);
	add_flag(child, "--drain-timeout", "0");
	if (options->slots) {
		scoped(free_text) char *slots = text_format("%lld", (long long)options->slots);
		add_flag(child, "--slots", slots);
	}
	if (options->allow_root_jobs)
		text_list_add(&child->argv, "--allow-root-jobs");
	add_list_flag(child, "--label", &options->label);
	return OK;
}

static enum err add_children(struct house *house, const struct text_list *repositories)
{
	const struct options *options = house->session->options;
	scoped(free_text) char *broker = text_format("ipc:%s/broker", house->folder);
	struct child *child;
	enum err err = add_observer(house, broker, repositories);
	for (int64_t i = 1; i <= options->workers && !err; i++)
		err = add_worker(house, broker, i);
	if (!err)
		err = add_child(house, "fettle-broker", "broker", &child);
	if (!err)
		add_flag(child, "--listen", options->listen);
	return err;
}

/* The code that a child's end means for us; says what it logged last. */
static enum err fail_child(const struct child *child)
{
	scoped(free_text) char *line = child_last_line(child);
	bool usage = WIFEXITED(child->status) && WEXITSTATUS(child->status) == EXIT_USAGE;
	return fail(usage ? ERR_USAGE : ERR_SYSTEM, "the %s ended: %s", child->name,
	            *line ? line : "it said nothing");
}

static enum err start_broker(struct house *house)
{
	struct session *session = house->session;
	struct child *broker = broker_of(house);
	int64_t deadline = clock_mono_ms() + START_MS;
	struct rec_status_result status;
	enum err err = child_start(broker);
	while (!err) {
		err = session_ask(session, "status", RECORD_no_params, NULL, RECORD_status_result,
		                  &status);
		if (err != ERR_UNREACHABLE)
			break;
		child_reap(house->children, house->count);
		if (broker->pid == 0)
			return fail_child(broker);
		if (clock_mono_ms() >= deadline)
			return fail(ERR_UNREACHABLE, "the broker does not answer; see %s",
			            broker->log_path);
		err = OK;
	}
	arena_reset(&session->arena);
	return err ? err : client_wait_event(session->client, 0, NULL); /* subscribe */
}

static enum err start_others(struct house *house)
{
	enum err err = OK;
	for (size_t i = house->count - 1; i > 0 && !err; i--)
		err = child_start(&house->children[i - 1]);
	return err;
}

static void say_ended(const struct child *child)
{
	char delay[CLOCK_TEXT_SIZE];
	scoped(free_text) char *line = child_last_line(child);
	scoped(free_text) char *how =
		WIFSIGNALED(child->status)
			? text_format("was killed (signal %d)", WTERMSIG(child->status))
			: text_format("ended with exit code %d (%s)", WEXITSTATUS(child->status),
	                              line);
	fprintf(stderr, "fettle: the %s %s; it starts again in %s; its log: %s\n", child->name, how,
	        clock_duration_text(child->delay_ms, delay), child->log_path);
}

static bool is_ours(const struct house *house, pid_t pid)
{
	for (size_t i = 0; i < house->count; i++)
		if (house->children[i].pid == pid)
			return true;
	return false;
}

/* Supervisors wait for their worker to start again, and end by themselves when it does not. */
static bool is_supervisor(pid_t pid)
{
	char words[PATH_MAX] = "";
	scoped(free_text) char *path = text_format("/proc/%d/cmdline", (int)pid);
	scoped(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, words, sizeof words - 1);
	size_t first = strlen(words) + 1; /* the words end with NULs */
	return size > (ssize_t)first && strcmp(words + first, "--supervise") == 0;
}

/* What a killed worker leaves comes to us: supervisors, and what escaped from those that were
 * killed as well. */
static void end_orphans(struct house *house)
{
	pid_t *pids;
	size_t count = process_children(&pids), orphans = 0;
	int64_t now_ms = clock_mono_ms();
	bool late = house->orphans_end_ms && now_ms >= house->orphans_end_ms;
	for (size_t i = 0; i < count; i++) {
		if (is_ours(house, pids[i]) || is_supervisor(pids[i]))
			continue;
		orphans++;
		if (late)
			kill(pids[i], SIGKILL);
	}
	free(pids);
	if (!orphans)
		house->orphans_end_ms = 0;
	else if (!house->orphans_end_ms)
		house->orphans_end_ms = now_ms + ORPHAN_MS;
}

/* Ended children get a time to start again; exit code 2 means that it would only end again. */
static enum err tend_children(struct house *house)
{
	child_reap(house->children, house->count);
	end_orphans(house);
	for (size_t i = 0; i < house->count; i++) {
		struct child *child = &house->children[i];
		enum err err = OK;
		if (child->pid > 0)
			continue;
		if (child->status == EXIT_USAGE << 8)
			return fail_child(child);
		if (child->status >= 0) {
			child_plan_restart(child);
			say_ended(child);
			child->status = -1; /* said */
		} else if (clock_mono_ms() >= child->start_ms) {
			err = child_start(child);
		}
		if (err)
			return err;
	}
	return OK;
}

/* Where the list says "repository: ..."; its count when it does not. */
static size_t find_trouble(const struct text_list *troubles, const char *repository)
{
	size_t size = strlen(repository), i = 0;
	while (i < troubles->count && (strncmp(troubles->items[i], repository, size) != 0 ||
	                               troubles->items[i][size] != ':'))
		i++;
	return i;
}

/* Say each new trouble of a repository, and its end, once. */
static void say_trouble(struct text_list *troubles, const struct rec_watched *watched)
{
	scoped(text_finish) struct text line = { 0 };
	size_t at = find_trouble(troubles, watched->repository);
	bool known = at < troubles->count;
	output_add(&line, TINT_NONE, watched->repository);
	text_add(&line, ": ");
	output_add(&line, TINT_NONE, watched->error ? watched->error : "fine again");
	if (known ? strcmp(troubles->items[at], line.data) == 0 : !watched->error)
		return;
	fprintf(stderr, "fettle: %s\n", line.data);
	if (known) {
		free(troubles->items[at]);
		troubles->items[at] = troubles->items[--troubles->count];
	}
	if (watched->error)
		text_list_add(troubles, line.data);
}

static enum err look_at_repositories(struct house *house)
{
	struct session *session = house->session;
	struct rec_status_result status;
	if (broker_of(house)->pid == 0 || clock_mono_ms() < house->health_ms)
		return OK;
	enum err err = session_ask(session, "status", RECORD_no_params, NULL, RECORD_status_result,
	                           &status);
	for (size_t i = 0; !err && i < status.repositories_count; i++)
		say_trouble(&house->troubles, &status.repositories[i]);
	arena_reset(&session->arena);
	house->health_ms = clock_mono_ms() + HEALTH_MS;
	return err == ERR_STOPPED ? err : OK; /* a broker that is away comes back */
}

static void print_event(const struct house *house, struct message *message)
{
	if (house->session->options->json) {
		struct json json = json_start(stdout);
		json_message(&json, message);
		json_finish(&json);
		return;
	}
	scoped(text_finish) struct text line = { 0 };
	event_line_add(&line, &message->event, house->hint);
	puts(line.data);
	fflush(stdout);
}

static enum err serve(struct house *house)
{
	enum err err = OK;
	while (!err) {
		struct message message;
		if ((err = tend_children(house)) || (err = look_at_repositories(house)) ||
		    (err = client_wait_event(house->session->client, TURN_MS, &message)))
			break;
		if (message.type == MESSAGE_event)
			print_event(house, &message);
		message_finish(&message);
	}
	return err;
}

static bool is_git_repository(void)
{
	return access(".git", F_OK) == 0 ||
	       (access("HEAD", F_OK) == 0 && access("objects", F_OK) == 0 &&
	        access("refs", F_OK) == 0);
}

static enum err find_folder(struct house *house)
{
	char path[PATH_MAX];
	const char *state = house->session->options->state;
	scoped(free_text) char *folder =
		state ? memory_copy_text(state) : settings_state_folder(NULL);
	enum err err = folder ? file_make_folder(folder, 0750) : ERR_USAGE;
	if (err)
		return err;
	if (!realpath(folder, path))
		return fail(ERR_USAGE, "state folder '%s': %s", folder, strerror(errno));
	scoped(free_text) char *lock = text_format("%s/up.lock", path);
	if ((err = file_lock(lock, &house->lock)) == ERR_IN_USE)
		return fail(err, "another `fettle up` runs with its state in %s", path);
	if (err)
		return err;
	house->folder = memory_copy_text(path);
	house->hint = state ? text_format(" --state %s", state) : memory_copy_text("");
	return OK;
}

static enum err check_options(const struct options *options)
{
	if (options->workers > WORKERS_MAX)
		return fail(ERR_USAGE, "--workers is at most %d", WORKERS_MAX);
	if (options->slots > SLOTS_MAX)
		return fail(ERR_USAGE, "--slots is at most %d", SLOTS_MAX);
	if (options->policy && strcmp(options->policy, "every") != 0 &&
	    strcmp(options->policy, "latest") != 0)
		return fail(ERR_USAGE, "--policy is every or latest, not '%s'", options->policy);
	return OK;
}

static enum err prepare(struct house *house)
{
	scoped(text_list_finish) struct text_list repositories = { 0 };
	scoped(free_text) char *here = NULL;
	struct address address;
	const struct text_list *words = house->session->words;
	enum err err = check_options(house->session->options);
	if (err || (err = find_folder(house)))
		return err;
	for (size_t i = 0; i < words->count; i++)
		text_list_add(&repositories, words->items[i]);
	if (words->count == 0 && is_git_repository() && (here = realpath(".", NULL)))
		text_list_add(&repositories, here);
	scoped(free_text) char *broker = text_format("ipc:%s/broker", house->folder);
	if (strchr(broker, ','))
		return fail(ERR_USAGE, "--state: '%s' has a comma, which divides addresses",
		            house->folder);
	if ((err = address_parse(broker, &address)))
		return err;
	struct addresses addresses = addresses_of(&address);
	house->session->client = client_new(&addresses, house->session->signals, REFRESH_MS);
	if ((err = add_children(house, &repositories)))
		return err;
	fprintf(stderr, "fettle: state and the programs' logs (*.log) are in %s\n", house->folder);
	if (repositories.count == 0)
		fprintf(stderr,
		        "fettle: no repository named; add one: fettle repo add NAME REPO\n");
	return OK;
}

static void stop(struct house *house)
{
	size_t workers = 1, broker = house->count - 1;
	if (house->count == 0)
		return;
	child_stop(house->children, house->count, 0, workers);
	child_stop(house->children, house->count, workers, broker);
	child_stop(house->children, house->count, broker, house->count);
	process_end_children();
}

enum err verb_up(struct session *session)
{
	struct house house = { .session = session, .lock = -1 };
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* what a killed worker leaves behind comes to us */
	enum err err = prepare(&house);
	if (!err)
		err = start_broker(&house);
	if (!err)
		err = start_others(&house);
	if (!err) {
		fprintf(stderr, "fettle: running; Ctrl-C stops\n");
		err = serve(&house);
	}
	if (err == ERR_STOPPED)
		fprintf(stderr, "fettle: stopping\n");
	stop(&house);
	for (size_t i = 0; i < house.count; i++)
		child_finish(&house.children[i]);
	text_list_finish(&house.troubles);
	close_fd(&house.lock);
	free_text(&house.folder);
	free_text(&house.hint);
	return err;
}
