/* The parent's side of a poll. Nothing the child does can stop the observer: it is read without
 * waiting, its answer is bounded and decoded strictly, and it is killed at its deadline. */
#include "observer/poll.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/scoped.h"
#include "observer/frames.h"
#include "observer/still.h"
#include "proto/entry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum {
	PAGE_MARKS = 1000,
	ANSWER_SIZE_MAX = FRAME_STREAM_MAX,
	SPARED_MAX = 60, /* looks in a row: what nobody thought of is seen then */
};

static void pack_request(struct rec_poll_request *request, const struct rec_mark *marks,
                         size_t mark_count, struct text *stream)
{
	request->pages = (uint32_t)((mark_count + PAGE_MARKS - 1) / PAGE_MARKS);
	size_t begin = frame_begin(stream);
	record_pack(RECORD_poll_request, request, stream);
	frame_end(stream, begin);
	for (size_t done = 0; done < mark_count; done += PAGE_MARKS) {
		size_t left = mark_count - done;
		struct rec_marks_result page = { .marks = marks + done,
			                         .marks_count =
			                                 left < PAGE_MARKS ? left : PAGE_MARKS };
		begin = frame_begin(stream);
		record_pack(RECORD_marks_result, &page, stream);
		frame_end(stream, begin);
	}
}

/* The request as a file in memory: the child reads it when it likes, and nobody waits. */
static enum err open_request(const struct text *stream, int *ret_fd)
{
	int fd = memfd_create("poll-request", MFD_CLOEXEC);
	if (fd < 0)
		return fail(ERR_SYSTEM, "memfd_create: %s", strerror(errno));
	enum err err = file_write_all(fd, stream->data, stream->size);
	if (!err && lseek(fd, 0, SEEK_SET) < 0)
		err = fail(ERR_SYSTEM, "lseek: %s", strerror(errno));
	if (err)
		close(fd);
	else
		*ret_fd = fd;
	return err;
}

/* Who looks at a url talks to strangers, and gets a process with an address space of its own. */
static enum err start_child(struct poll_maker *maker, const char *url, int in, int out,
                            pid_t *ret_pid)
{
	const char *const argv[] = { maker->program, POLL_FLAG, NULL };
	const struct process process = { .argv = argv,
		                         .in = in,
		                         .out = out,
		                         .err = STDERR_FILENO,
		                         .keep = -1,
		                         .new_session = true };
	if (entry_url_is_path(url))
		return forker_fork(&maker->forker, maker->program, in, out, ret_pid);
	return process_start(&process, ret_pid);
}

static uint64_t number_of(const struct text *stream)
{
	unsigned char hash[crypto_generichash_BYTES_MIN];
	uint64_t number;
	crypto_generichash(hash, sizeof hash, (const unsigned char *)stream->data, stream->size,
	                   NULL, 0);
	memcpy(&number, hash, sizeof number);
	return number;
}

/* The child before found where the disk is: one of this machine, so that nobody waits for it. */
static bool may_spare(const struct poll *poll, const char *url)
{
	const struct poll_still *still = &poll->still;
	return still->print && still->left > 0 && still->request == poll->request &&
	       still_look(url, clock_wall_ms(), NULL, NULL).print == still->print;
}

enum err poll_start(struct poll *poll, struct poll_maker *maker, struct rec_poll_request request,
                    const struct rec_mark *marks, size_t mark_count)
{
	scoped(text_finish) struct text stream = { 0 };
	scoped(close_fd) int in = -1;
	int ends[2];
	pid_t pid;
	pack_request(&request, marks, mark_count, &stream);
	poll->request = number_of(&stream);
	if ((poll->spared = may_spare(poll, request.url)))
		return OK;
	enum err err = open_request(&stream, &in);
	if (err)
		return err;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail(ERR_SYSTEM, "pipe: %s", strerror(errno));
	scoped(close_fd) int out = ends[1];
	if ((err = start_child(maker, request.url, in, out, &pid))) {
		close(ends[0]);
		return err;
	}
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	poll->pid = pid;
	poll->answer = ends[0];
	return OK;
}

bool poll_receive(struct poll *poll)
{
	char chunk[65536];
	for (;;) {
		ssize_t got = read(poll->answer, chunk, sizeof chunk);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return false;
		if (got <= 0 || poll->received.size + (size_t)got > ANSWER_SIZE_MAX)
			return true;
		text_add_bytes(&poll->received, chunk, (size_t)got);
	}
}

/* Killed, and not yet gone. */
static struct {
	pid_t *pids;
	size_t count, capacity;
} killed;

void poll_reap(void)
{
	size_t left = 0;
	for (size_t i = 0; i < killed.count; i++)
		if (waitpid(killed.pids[i], NULL, WNOHANG) == 0)
			killed.pids[left++] = killed.pids[i];
	killed.count = left;
}

static void forget_child(struct poll *poll)
{
	close(poll->answer);
	text_finish(&poll->received);
	poll->pid = 0;
}

/* With its ssh: it leads a group, but for the first moment of a fork. */
static void kill_all(const struct poll *poll)
{
	kill(-poll->pid, SIGKILL);
	kill(poll->pid, SIGKILL);
}

void poll_kill(struct poll *poll)
{
	poll->spared = false;
	if (!poll->pid)
		return;
	kill_all(poll);
	memory_reserve((void **)&killed.pids, &killed.capacity, killed.count + 1,
	               sizeof *killed.pids);
	killed.pids[killed.count++] = poll->pid;
	poll_reap();
	forget_child(poll);
	poll->still = (struct poll_still){ 0 };
}

enum err poll_read_answer(const struct text *stream, struct poll_answer *answer)
{
	const void *body = NULL;
	size_t size = 0, offset = 0;
	struct rec_poll_result result = { 0 };
	if (!frame_next(stream, &offset, &body, &size))
		return fail(ERR_MALFORMED, "the poll ended without an answer");
	enum err err = record_unpack(RECORD_poll_result, body, size, &answer->arena, &result);
	if (err)
		return err;
	answer->poll = (struct observer_poll){ .error = result.error,
		                               .refs = result.refs,
		                               .more = result.more,
		                               .gone = result.gone,
		                               .gone_count = result.gone_count };
	answer->still = (struct still){ result.near, result.print };
	size_t capacity = 0; /* as they come: how many there are to be is the child's word only */
	for (uint32_t i = 0; i < result.updates; i++) {
		if (!frame_next(stream, &offset, &body, &size))
			return fail(ERR_MALFORMED, "the poll's answer is cut short");
		memory_reserve((void **)&answer->updates, &capacity, i + 1,
		               sizeof *answer->updates);
		answer->poll.updates = answer->updates;
		if ((err = message_unpack(body, size, &answer->updates[i])))
			return err;
		answer->poll.update_count++;
		if (answer->updates[i].type != MESSAGE_update)
			return fail(ERR_MALFORMED, "the poll's answer holds more than updates");
	}
	return OK;
}

static bool brought_nothing(const struct observer_poll *found)
{
	return !found->error && !found->more && !found->gone_count && !found->update_count;
}

void poll_finish(struct poll *poll, struct poll_answer *ret_answer)
{
	*ret_answer = (struct poll_answer){ 0 };
	if (poll->spared) {
		ret_answer->poll.refs = poll->still.refs;
		poll->still.left--;
		poll->spared = false;
		return;
	}
	kill_all(poll); /* it may have closed its answer and gone on */
	int status = process_wait(poll->pid);
	if (poll_read_answer(&poll->received, ret_answer)) {
		scoped(free_text) char *why = memory_copy_text(error_text());
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
			fail(ERR_SYSTEM, "%s (signal %d)", why, WTERMSIG(status));
		poll_answer_finish(ret_answer);
		ret_answer->poll.error = arena_copy_text(&ret_answer->arena, error_text());
	}
	poll->still = (struct poll_still){ 0 };
	if (brought_nothing(&ret_answer->poll))
		poll->still = (struct poll_still){ poll->request, ret_answer->still.print,
			                           (uint32_t)ret_answer->poll.refs, SPARED_MAX };
	forget_child(poll);
}

void poll_answer_finish(struct poll_answer *answer)
{
	for (size_t i = 0; i < answer->poll.update_count; i++)
		message_finish(&answer->updates[i]);
	free(answer->updates);
	arena_finish(&answer->arena);
	*answer = (struct poll_answer){ 0 };
}
