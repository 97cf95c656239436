/* The writer of parcels. */
#include "worker/parcel.h"

#include "base/file.h"
#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { BUFFER_SIZE = 64 * 1024, LENGTH_SIZE = 4 };

static void add_frame(struct text *frame, enum record_type type, const void *record)
{
	scoped(text_finish) struct text body = { 0 };
	record_pack(type, record, &body);
	uint32_t size = (uint32_t)body.size;
	uint8_t length[LENGTH_SIZE] = { (uint8_t)(size >> 24), (uint8_t)(size >> 16),
		                        (uint8_t)(size >> 8), (uint8_t)size };
	text_add_bytes(frame, length, sizeof length);
	text_add_bytes(frame, body.data, body.size);
}

static void put(struct parcel *parcel, const void *data, size_t size)
{
	if (!parcel->err)
		parcel->err = file_write_all(parcel->fd, data, size);
	if (!parcel->err)
		parcel->size += size;
}

/* Packed twice, so that they are never all in memory a second time. */
static void put_tests(struct parcel *parcel, const struct rec_test *tests, size_t count)
{
	scoped(text_finish) struct text frames = { 0 };
	struct rec_parcel head = { .tests = (uint32_t)count };
	for (size_t i = 0; i < count; i++) {
		text_clear(&frames);
		add_frame(&frames, RECORD_test, &tests[i]);
		head.tests_size += frames.size;
	}
	text_clear(&frames);
	add_frame(&frames, RECORD_parcel, &head);
	for (size_t i = 0; i < count; i++) {
		if (frames.size >= BUFFER_SIZE) {
			put(parcel, frames.data, frames.size);
			text_clear(&frames);
		}
		add_frame(&frames, RECORD_test, &tests[i]);
	}
	put(parcel, frames.data, frames.size);
}

enum err parcel_begin(struct parcel *parcel, const char *folder, const struct rec_test *tests,
                      size_t count)
{
	scoped(free_text) char *path = text_format("%s/parcel", folder);
	*parcel =
		(struct parcel){ .fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) };
	if (parcel->fd < 0)
		return parcel->err = fail(ERR_SYSTEM, "create '%s': %s", path, strerror(errno));
	put_tests(parcel, tests, count);
	return parcel->err;
}

/* Back to where it was. */
static bool take_back(struct parcel *parcel, uint64_t size)
{
	if (ftruncate(parcel->fd, (off_t)size) != 0 ||
	    lseek(parcel->fd, (off_t)size, SEEK_SET) != (off_t)size)
		parcel->err = fail(ERR_SYSTEM, "shorten the parcel: %s", strerror(errno));
	parcel->size = size;
	return false;
}

bool parcel_add(struct parcel *parcel, const struct rec_artifact *artifact, int file)
{
	char buffer[BUFFER_SIZE];
	uint64_t before = parcel->size, left = artifact->size;
	scoped(text_finish) struct text frame = { 0 };
	add_frame(&frame, RECORD_artifact, artifact);
	put(parcel, frame.data, frame.size);
	while (left > 0 && !parcel->err) {
		ssize_t got = read(file, buffer, left < sizeof buffer ? left : sizeof buffer);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return take_back(parcel, before);
		put(parcel, buffer, (size_t)got);
		left -= (uint64_t)got;
	}
	return !parcel->err;
}

enum err parcel_end(struct parcel *parcel)
{
	if (!parcel->err && fsync(parcel->fd) != 0)
		parcel->err = fail(ERR_SYSTEM, "sync the parcel: %s", strerror(errno));
	close_fd(&parcel->fd);
	return parcel->err;
}

void parcel_remove(const char *folder)
{
	scoped(free_text) char *path = text_format("%s/parcel", folder);
	unlink(path);
}
