/* fettle backup: a copy of the broker's store, in a file here that is whole or not there. */
#include "base/file.h"
#include "base/scoped.h"
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 50 }; /* again, while the copy is checked */

static enum err fail_write(const char *path)
{
	return fail(ERR_SYSTEM, "'%s': %s", path, strerror(errno));
}

static enum err ask(struct session *session, const struct rec_backup_params *params,
                    struct rec_backup_result *result)
{
	arena_reset(&session->arena);
	return session_ask_once(session, "backup", RECORD_backup_params, params,
	                        RECORD_backup_result, result);
}

/* Until the broker has a copy, and found it sound. */
static enum err make_copy(struct session *session, struct rec_backup_result *result)
{
	struct rec_backup_params params = { 0 };
	for (;;) {
		enum err err = ask(session, &params, result);
		if (!err && strcmp(result->state, "checking") == 0)
			err = session_wait(session, LOOK_MS);
		if (err || strcmp(result->state, "ready") == 0)
			return err;
		params.id = result->id;
	}
}

static enum err fetch(struct session *session, struct rec_backup_result *result, int fd)
{
	const uint64_t size = result->size;
	struct rec_backup_params params = { .id = result->id };
	while (params.offset < size) {
		enum err err = file_write_all(fd, result->bytes.data, result->bytes.size);
		if (!err && result->bytes.size == 0)
			err = fail(ERR_SYSTEM, "the copy ended early");
		params.offset += result->bytes.size;
		if (!err && params.offset < size)
			err = ask(session, &params, result);
		if (err)
			return err;
	}
	return OK;
}

/* On disk, and only then under its name. */
static enum err put_in_place(int fd, const char *aside, const char *path)
{
	if (fsync(fd) != 0 || rename(aside, path) != 0)
		return fail_write(path);
	scoped(free_text) char *copy = text_format("%s", path);
	return file_sync_folder(dirname(copy));
}

static enum err fetch_to(struct session *session, struct rec_backup_result *result,
                         const char *path)
{
	scoped(free_text) char *aside = text_format("%s.part", path);
	scoped(close_fd) int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_write(aside);
	enum err err = fetch(session, result, fd);
	if (!err)
		err = put_in_place(fd, aside, path);
	if (err)
		unlink(aside);
	return err;
}

static void print(const char *path, uint64_t size, bool json)
{
	char text[CLOCK_TEXT_SIZE];
	if (!json) {
		printf("%s: %s\n", path, output_size(size, text));
		return;
	}
	struct json out = json_start(stdout);
	json_open(&out, '{');
	json_key(&out, "file");
	json_text(&out, path);
	json_key(&out, "size");
	json_number(&out, size);
	json_close(&out, '}');
	json_finish(&out);
}

enum err verb_backup(struct session *session)
{
	struct rec_backup_result result;
	const char *path = session->words->items[0];
	enum err err = make_copy(session, &result);
	uint64_t size = err ? 0 : result.size;
	if (!err)
		err = fetch_to(session, &result, path);
	if (!err)
		print(path, size, session->options->json);
	return err;
}
