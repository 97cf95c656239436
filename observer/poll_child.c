/* The child's side of a poll: limits first, then one look at the repository. */
#include "observer/poll.h"

#include "base/file.h"
#include "base/scoped.h"
#include "observer/frames.h"
#include "observer/repository.h"
#include "observer/sanitizer.h"
#include "observer/scan.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { GRACE_MS = 5000 };
static const rlim_t memory_max = (rlim_t)2 << 30;

static void set_limits(void)
{
	struct rlimit memory = { memory_max, memory_max }, core = { 0, 0 };
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* no observer, no poll */
	setrlimit(RLIMIT_CORE, &core);
	if (!HAS_SANITIZER) /* its shadow memory alone is terabytes */
		setrlimit(RLIMIT_AS, &memory);
}

/* A second deadline, should the observer have died before the first line of set_limits(). */
static void set_deadline(int64_t timeout_ms)
{
	alarm((unsigned)((timeout_ms + GRACE_MS) / 1000));
}

static enum err read_stream(int fd, struct text *stream)
{
	char chunk[65536];
	for (;;) {
		ssize_t got = read(fd, chunk, sizeof chunk);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(ERR_SYSTEM, "read request: %s", strerror(errno));
		if (got == 0)
			return OK;
		if (stream->size + (size_t)got > FRAME_STREAM_MAX)
			return fail(ERR_MALFORMED, "the request is too large");
		text_add_bytes(stream, chunk, (size_t)got);
	}
}

struct request {
	struct rec_poll_request head;
	struct rec_mark *marks;
	size_t mark_count;
};

static enum err read_request(const struct text *stream, struct arena *arena,
                             struct request *request)
{
	const void *body = NULL;
	size_t size = 0, offset = 0;
	if (!frame_next(stream, &offset, &body, &size))
		return fail(ERR_MALFORMED, "no request");
	enum err err = record_unpack(RECORD_poll_request, body, size, arena, &request->head);
	if (err)
		return err;
	request->marks =
		arena_new(arena, ((size_t)request->head.pages * 1000 + 1) * sizeof *request->marks);
	for (uint32_t i = 0; i < request->head.pages; i++) {
		struct rec_marks_result page = { 0 };
		if (!frame_next(stream, &offset, &body, &size))
			return fail(ERR_MALFORMED, "the request is cut short");
		if ((err = record_unpack(RECORD_marks_result, body, size, arena, &page)))
			return err;
		if (page.marks_count)
			memcpy(request->marks + request->mark_count, page.marks,
			       page.marks_count * sizeof *page.marks);
		request->mark_count += page.marks_count;
	}
	return OK;
}

static void pack_answer(const struct scan *scan, struct text *stream)
{
	size_t begin = frame_begin(stream);
	record_pack(RECORD_poll_result, &scan->result, stream);
	frame_end(stream, begin);
	for (uint32_t i = 0; i < scan->result.updates; i++) {
		begin = frame_begin(stream);
		message_pack(&scan->updates[i], stream);
		frame_end(stream, begin);
	}
}

static enum err answer(struct arena *arena)
{
	scoped(text_finish) struct text stream = { 0 };
	struct request request = { 0 };
	struct scan scan = { 0 };
	enum err err = read_stream(STDIN_FILENO, &stream);
	if (err || (err = read_request(&stream, arena, &request)))
		return err;
	set_deadline(request.head.timeout_ms);
	scan_repository(&request.head, request.marks, request.mark_count, arena, &scan);
	text_clear(&stream);
	pack_answer(&scan, &stream);
	return file_write_all(STDOUT_FILENO, stream.data, stream.size);
}

int poll_run(void)
{
	scoped(arena_finish) struct arena arena = { 0 };
	set_limits();
	return error_exit_code(answer(&arena));
}

int poll_main(void)
{
	repository_library_start();
	int code = poll_run();
	git_libgit2_shutdown();
	return code;
}
