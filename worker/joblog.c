/* The log file of a job. What is over the cap waits in a ring and is appended when the job ends, so
 * the file only ever grows and can be sent while it does. The ring is a file, too: a job that says
 * much costs no more memory than one that says nothing. */
#include "worker/joblog.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

enum { SUMMARY_SIZE = 64 * 1024, COPY_SIZE = 64 * 1024 };

static enum err create(const char *path, int *ret_fd)
{
	*ret_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (*ret_fd < 0)
		return fail(ERR_SYSTEM, "create '%s': %s", path, strerror(errno));
	return OK;
}

enum err joblog_open(struct joblog *log, const char *path)
{
	scoped(free_text) char *ring = text_format("%s.ring", path);
	*log = (struct joblog){ .fd = -1, .ring = -1 };
	enum err err = create(path, &log->fd);
	if (!err && !(err = create(ring, &log->ring)))
		unlink(ring);
	return err;
}

void joblog_close(struct joblog *log)
{
	close_fd(&log->fd);
	close_fd(&log->ring);
}

static void note(struct joblog *log, enum err err)
{
	if (!log->err && err)
		snprintf(log->why, sizeof log->why, "%s", error_text());
	if (!log->err)
		log->err = err;
}

static void put(struct joblog *log, const char *data, size_t size)
{
	if (log->err || size == 0)
		return;
	note(log, file_write_all(log->fd, data, size));
	if (!log->err)
		log->size += size;
}

static void keep(struct joblog *log, const char *data, size_t size)
{
	if (size > JOBLOG_TAIL) {
		log->beyond += size - JOBLOG_TAIL;
		data += size - JOBLOG_TAIL;
		size = JOBLOG_TAIL;
	}
	while (size > 0 && !log->err) {
		uint64_t at = log->beyond % JOBLOG_TAIL;
		size_t part = JOBLOG_TAIL - at < size ? JOBLOG_TAIL - at : size;
		ssize_t got = pwrite(log->ring, data, part, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			note(log, fail(ERR_SYSTEM, "keep the log's end: %s", strerror(errno)));
			return;
		}
		log->beyond += (uint64_t)got;
		data += got;
		size -= (size_t)got;
	}
}

void joblog_write(struct joblog *log, const void *data, size_t size)
{
	if (size > 0)
		log->mid_line = ((const char *)data)[size - 1] != '\n';
	size_t head = log->size < JOBLOG_HEAD ? JOBLOG_HEAD - (size_t)log->size : 0;
	if (head > size || log->err)
		head = size;
	put(log, data, head);
	if (size > head)
		keep(log, (const char *)data + head, size - head);
}

void joblog_begin_line(struct joblog *log)
{
	if (log->mid_line)
		joblog_write(log, "\n", 1);
}

void joblog_line(struct joblog *log, const char *format, ...)
{
	char line[2048];
	va_list args;
	va_start(args, format);
	int size = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	joblog_begin_line(log);
	if (size > 0)
		joblog_write(log, line,
		             (size_t)size < sizeof line ? (size_t)size : sizeof line - 1);
	joblog_write(log, "\n", 1);
}

/* `size` bytes of the ring, from `at` on and then from its start. */
static void put_ring(struct joblog *log, uint64_t at, uint64_t size)
{
	char chunk[COPY_SIZE];
	while (size > 0 && !log->err) {
		uint64_t part = size < sizeof chunk ? size : sizeof chunk;
		part = JOBLOG_TAIL - at < part ? JOBLOG_TAIL - at : part;
		ssize_t got = pread(log->ring, chunk, part, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			note(log, fail(ERR_SYSTEM, "read the log's end: %s",
			               got < 0 ? strerror(errno) : "it is gone"));
			return;
		}
		put(log, chunk, (size_t)got);
		at = (at + (uint64_t)got) % JOBLOG_TAIL;
		size -= (uint64_t)got;
	}
}

static void put_tail(struct joblog *log)
{
	uint64_t kept = log->beyond < JOBLOG_TAIL ? log->beyond : JOBLOG_TAIL;
	if (log->beyond > kept) {
		char line[128];
		int size = snprintf(line, sizeof line, "\n[fettle: %" PRIu64 " bytes cut here]\n",
		                    log->beyond - kept);
		put(log, line, (size_t)size);
	}
	put_ring(log, (log->beyond - kept) % JOBLOG_TAIL, kept);
}

enum err joblog_end(struct joblog *log)
{
	put_tail(log);
	close_fd(&log->ring);
	if (!log->err && fsync(log->fd) != 0)
		note(log, fail(ERR_SYSTEM, "sync the log: %s", strerror(errno)));
	return log->err ? fail(log->err, "%s", log->why) : OK;
}

void joblog_last_line(const struct joblog *log, char ret_line[JOBLOG_LINE_SIZE])
{
	enum { SIZE = JOBLOG_LINE_SIZE - 1 };
	uint64_t from = log->size > SIZE ? log->size - SIZE : 0;
	ssize_t size = pread(log->fd, ret_line, SIZE, (off_t)from);
	while (size > 0 && strchr("\r\n ", ret_line[size - 1]))
		size--;
	ret_line[size > 0 ? size : 0] = 0;
	const char *newline = strrchr(ret_line, '\n');
	if (newline)
		memmove(ret_line, newline + 1, strlen(newline));
}

int joblog_tests_run(const struct joblog *log)
{
	scoped(free_text) char *end = memory_new(1, SUMMARY_SIZE + 1);
	uint64_t from = log->size > SUMMARY_SIZE ? log->size - SUMMARY_SIZE : 0;
	ssize_t size = pread(log->fd, end, SUMMARY_SIZE, (off_t)from);
	int tests = -1;
	for (ssize_t i = 0; i < size; i++) {
		int count, used = 0;
		if ((i == 0 || end[i - 1] == '\n') && strncmp(end + i, "Ran ", 4) == 0 &&
		    sscanf(end + i, "Ran %9d test%n", &count, &used) == 1 && used > 0)
			tests = count;
	}
	return tests;
}
