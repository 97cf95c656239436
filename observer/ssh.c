/* A subtransport of libgit2: bytes to and from `ssh HOST git-upload-pack PATH`. What ssh says on
 * its standard error is read beside them, or it would stand still; its last words become the error.
 */
#include "observer/ssh.h"

#include "base/memory.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <git2/sys/transport.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

enum { SAID_SIZE_MAX = 8192 };

struct ssh {
	git_smart_subtransport transport; /* first: libgit2's pointer is ours */
	git_smart_subtransport_stream stream;
	const char *command;
	pid_t pid; /* 0: not started */
	int in, out, err;
	struct text said; /* on its standard error */
};

/* ---- urls ---------------------------------------------------------------------------------- */

/* [USER@]HOST, where HOST may be an address in brackets; they are not for ssh. */
static char *host_of(const char *start, size_t size)
{
	const char *at = memrchr(start, '@', size);
	const char *host = at ? at + 1 : start;
	size_t user_size = (size_t)(host - start), host_size = size - user_size;
	bool brackets = host_size > 2 && host[0] == '[' && host[host_size - 1] == ']';
	return text_format("%.*s%.*s", (int)user_size, start, (int)host_size - 2 * brackets,
	                   host + brackets);
}

/* The colon behind a host that may be in brackets; NULL when there is none before `end`. */
static const char *colon_of(const char *start, const char *end)
{
	const char *bracket = memrchr(start, ']', (size_t)(end - start));
	const char *from = bracket ? bracket : start;
	return memchr(from, ':', (size_t)(end - from));
}

enum err ssh_read_target(const char *url, struct ssh_target *ret)
{
	bool scheme = strncmp(url, "ssh://", 6) == 0;
	const char *start = scheme ? url + 6 : url, *end = start + strlen(start);
	*ret = (struct ssh_target){ 0 };
	if (scheme)
		end = start + strcspn(start, "/");
	const char *colon = colon_of(start, end), *host_end = colon ? colon : end;
	const char *path = scheme ? end : colon ? colon + 1 : end;
	if (scheme && colon && colon + 1 < end)
		ret->port = text_format("%.*s", (int)(end - colon - 1), colon + 1);
	if (scheme && path[0] == '/' && path[1] == '~')
		path++; /* ~user is no folder of the root */
	ret->host = host_of(start, (size_t)(host_end - start));
	ret->path = text_format("%s", path);
	bool port_is_good = !ret->port || strspn(ret->port, "0123456789") == strlen(ret->port);
	if (*ret->host && *ret->host != '-' && *ret->path && port_is_good)
		return OK;
	return fail(ERR_USAGE, "'%s': not ssh://[USER@]HOST[:PORT]/PATH", url);
}

void ssh_target_finish(struct ssh_target *target)
{
	free(target->host);
	free(target->port);
	free(target->path);
	*target = (struct ssh_target){ 0 };
}

/* For the shell at the other end. */
static char *quote(const char *path)
{
	struct text text = { 0 };
	text_add(&text, "'");
	for (const char *c = path; *c; c++)
		if (*c == '\'' || *c == '!') /* the second for a csh */
			text_addf(&text, "'\\%c'", *c);
		else
			text_add_bytes(&text, c, 1);
	text_add(&text, "'");
	return text_take(&text);
}

/* ---- the process --------------------------------------------------------------------------- */

static enum err start(struct ssh *ssh, const char *url)
{
	scoped(ssh_target_finish) struct ssh_target target = { 0 };
	enum err err = ssh_read_target(url, &target);
	if (err)
		return err;
	scoped(free_text) char *path = quote(target.path);
	scoped(free_text) char *remote = text_format("git-upload-pack %s", path);
	scoped(free_text) char *script = text_format("exec %s \"$@\"", ssh->command);
	const char *argv[10] = { "sh", "-c", script, ssh->command };
	size_t count = 4;
	if (target.port) {
		argv[count++] = "-p";
		argv[count++] = target.port;
	}
	argv[count++] = target.host;
	argv[count] = remote;
	int to[2] = { -1, -1 }, from[2] = { -1, -1 }, said[2] = { -1, -1 };
	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0 || pipe2(said, O_CLOEXEC) != 0)
		err = fail(ERR_SYSTEM, "pipe: %s", strerror(errno));
	const struct process process = {
		.argv = argv, .in = to[0], .out = from[1], .err = said[1], .keep = -1
	};
	if (!err)
		err = process_start(&process, &ssh->pid);
	close_fd(&to[0]);
	close_fd(&from[1]);
	close_fd(&said[1]);
	ssh->in = to[1];
	ssh->out = from[0];
	ssh->err = said[0];
	return err;
}

static void stop(struct ssh *ssh)
{
	close_fd(&ssh->in);
	close_fd(&ssh->out);
	close_fd(&ssh->err);
	if (ssh->pid) {
		kill(ssh->pid, SIGTERM);
		process_wait(ssh->pid);
	}
	ssh->pid = 0;
	text_clear(&ssh->said);
}

/* Only the end of it is of interest. */
static void listen_to(struct ssh *ssh)
{
	char chunk[1024];
	ssize_t got = read(ssh->err, chunk, sizeof chunk);
	if (got <= 0) {
		if (got == 0 || errno != EINTR)
			close_fd(&ssh->err);
		return;
	}
	if (ssh->said.size > SAID_SIZE_MAX)
		text_clear(&ssh->said);
	text_add_bytes(&ssh->said, chunk, (size_t)got);
}

/* Wait until ssh takes or gives bytes, and hear what it says meanwhile. */
static void await(struct ssh *ssh, int fd, short events)
{
	struct pollfd ready[2] = { { .fd = fd, .events = events },
		                   { .fd = ssh->err, .events = POLLIN } };
	for (;;) {
		ready[1].fd = ssh->err; /* negative once it is closed: passed over */
		if (poll(ready, 2, -1) < 0)
			continue;
		if (ready[1].revents)
			listen_to(ssh);
		if (ready[0].revents)
			return;
	}
}

/* The last line that it said, once nothing more comes. */
static int fail_with_words(struct ssh *ssh)
{
	text_add(&ssh->said, ""); /* it may have said nothing */
	while (ssh->err >= 0)
		listen_to(ssh);
	char *said = ssh->said.data;
	size_t size = ssh->said.size;
	while (size && (said[size - 1] == '\n' || said[size - 1] == '\r'))
		said[--size] = 0;
	const char *line = strrchr(said, '\n');
	scoped(free_text) char *why = text_format("ssh: %s", line   ? line + 1
	                                                     : size ? said
	                                                            : "the connection ended");
	git_error_set_str(GIT_ERROR_SSH, why);
	return -1;
}

/* ---- what libgit2 calls -------------------------------------------------------------------- */

static int stream_read(git_smart_subtransport_stream *stream, char *buffer, size_t size,
                       size_t *ret_size)
{
	struct ssh *ssh = (struct ssh *)stream->subtransport;
	ssize_t got;
	do {
		await(ssh, ssh->out, POLLIN);
		got = read(ssh->out, buffer, size);
	} while (got < 0 && errno == EINTR);
	if (got <= 0)
		return fail_with_words(ssh);
	*ret_size = (size_t)got;
	return 0;
}

static int stream_write(git_smart_subtransport_stream *stream, const char *buffer, size_t size)
{
	struct ssh *ssh = (struct ssh *)stream->subtransport;
	while (size) {
		await(ssh, ssh->in, POLLOUT);
		ssize_t put = write(ssh->in, buffer, size);
		if (put < 0 && errno != EINTR && errno != EAGAIN)
			return fail_with_words(ssh);
		buffer += put > 0 ? put : 0;
		size -= put > 0 ? (size_t)put : 0;
	}
	return 0;
}

/* A part of the transport. */
static void stream_free(git_smart_subtransport_stream *stream)
{
	(void)stream;
}

static int act(git_smart_subtransport_stream **ret, git_smart_subtransport *transport,
               const char *url, git_smart_service_t action)
{
	struct ssh *ssh = (struct ssh *)transport;
	if (action != GIT_SERVICE_UPLOADPACK_LS && action != GIT_SERVICE_UPLOADPACK)
		return -1;
	if (!ssh->pid) {
		if (start(ssh, url)) {
			git_error_set_str(GIT_ERROR_SSH, error_text());
			return -1;
		}
		fcntl(ssh->in, F_SETFL, O_NONBLOCK);
	}
	*ret = &ssh->stream;
	return 0;
}

static int close_transport(git_smart_subtransport *transport)
{
	stop((struct ssh *)transport);
	return 0;
}

static void free_transport(git_smart_subtransport *transport)
{
	struct ssh *ssh = (struct ssh *)transport;
	stop(ssh);
	text_finish(&ssh->said);
	free(ssh);
}

static const char *used; /* the command of this process */

static int make_transport(git_smart_subtransport **ret, git_transport *owner, void *parameter)
{
	struct ssh *ssh = memory_new(1, sizeof *ssh);
	(void)owner, (void)parameter;
	*ssh = (struct ssh){
		.transport = { act, close_transport, free_transport },
		.stream = { &ssh->transport, stream_read, stream_write, stream_free },
		.command = used,
		.in = -1,
		.out = -1,
		.err = -1,
	};
	*ret = &ssh->transport;
	return 0;
}

static git_smart_subtransport_definition definition = { make_transport, 0, NULL };

enum err ssh_use(const char *command)
{
	signal(SIGPIPE, SIG_IGN);
	used = command;
	int error = git_transport_register("ssh", git_transport_smart, &definition);
	if (error == 0 || error == GIT_EEXISTS)
		return OK;
	return fail(ERR_REPOSITORY, "ssh cannot be used by libgit2");
}
