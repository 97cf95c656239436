/* Starting a supervisor: see starter.h. */
#include "worker/starter.h"

#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"
#include "proto/message.h"
#include "worker/contain/containment.h"
#include "worker/link.h"
#include "worker/settings.h"
#include "worker/spool.h"

#include <string.h>
#include <unistd.h>

char *starter_program(void)
{
	static const char role[] = "worker", ours[] = "supervisor";
	char *self = process_self();
	char *name = strrchr(self, '/');
	char *at = name ? strstr(name, role) : NULL;
	if (!at)
		return self;
	char *program = text_format("%.*s%s%s", (int)(at - self), self, ours, at + strlen(role));
	if (access(program, X_OK) != 0) {
		free(program);
		return self;
	}
	free(self);
	return program;
}

void starter_args(const char *program, const char *folder, const char *ret_argv[STARTER_ARGS_SIZE])
{
	const char *const argv[STARTER_ARGS_SIZE] = { program, SUPERVISOR_FLAG, folder, NULL };
	memcpy(ret_argv, argv, sizeof argv);
}

static enum err start_process(const char *program, const char *folder, int listener, pid_t *ret_pid)
{
	const char *argv[STARTER_ARGS_SIZE];
	starter_args(program, folder, argv);
	struct process process = { .argv = argv,
		                   .folder = folder,
		                   .in = -1,
		                   .out = -1,
		                   .err = STDERR_FILENO,
		                   .keep = listener,
		                   .new_session = true };
	return process_start(&process, ret_pid);
}

enum err starter_start(const struct starter *starter, const char *folder,
                       const struct msg_offer *offer, int *ret_socket, pid_t *ret_pid)
{
	const struct worker_settings *settings = starter->settings;
	scoped(free_text) char *mirrors = text_format("%s/mirrors", settings->state);
	scoped(free_text) char *trees = text_format("%s/trees", settings->state);
	struct rec_orders orders = { .worker = settings->name,
		                     .mirrors = mirrors,
		                     .credentials = settings->credentials,
		                     .slot = starter->slot,
		                     .timeout_ms = settings->job_timeout_ms,
		                     .silence_ms = settings->silence_timeout_ms,
		                     .grace_ms = settings->kill_grace_ms,
		                     .orphan_ms = settings->orphan_timeout_ms,
		                     .trees = strcmp(settings->checkout, "clone") ? trees : NULL,
		                     .trees_max = (uint64_t)settings->trees_size,
		                     .files_max = (uint64_t)settings->repository_files,
		                     .bytes_max = (uint64_t)settings->repository_size,
		                     .fetch_max = (uint64_t)settings->fetch_size,
		                     .artifacts_max = (uint64_t)settings->max_artifacts };
	containment_order(starter->containment, settings, &orders);
	scoped(close_fd) int listener = -1;
	enum err err;
	if ((err = spool_begin(folder, offer, &orders)) || (err = link_listen(folder, &listener)) ||
	    (err = link_connect(folder, ret_socket)))
		return err;
	return start_process(starter->program, folder, listener, ret_pid);
}
