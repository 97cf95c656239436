/* The spool of attempts on disk. */
#include "worker/spool.h"

#include "base/file.h"
#include "base/log.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "worker/trash.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

char *spool_folder(const char *state, uint64_t job, uint32_t attempt)
{
	return text_format("%s/jobs/%" PRIu64 ".%" PRIu32, state, job, attempt);
}

/* Not durable, and not at once. */
static enum err write_quickly(const char *path, const struct text *body)
{
	FILE *file = fopen(path, "we");
	if (!file)
		return fail(ERR_SYSTEM, "create '%s': %s", path, strerror(errno));
	size_t put = fwrite(body->data, 1, body->size, file);
	if (fclose(file) != 0 || put != body->size)
		return fail(ERR_SYSTEM, "write '%s': %s", path, strerror(errno));
	return OK;
}

static enum err write_part(const char *folder, const char *file, const struct text *body)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, file);
	return write_quickly(path, body); /* without a result it is worth nothing */
}

enum err spool_begin(const char *folder, const struct msg_offer *offer,
                     const struct rec_orders *orders)
{
	scoped(text_finish) struct text offered = { 0 }, ordered = { 0 };
	struct message message = { .type = MESSAGE_offer, .offer = *offer };
	enum err err;
	message_pack(&message, &offered);
	record_pack(RECORD_orders, orders, &ordered);
	if ((err = file_remove_tree(folder)) || (err = file_make_folder(folder, 0700)) ||
	    (err = write_part(folder, "orders", &ordered)))
		return err;
	return write_part(folder, "offer", &offered);
}

enum err spool_read_orders(const char *folder, struct arena *arena, struct rec_orders *ret_orders)
{
	scoped(text_finish) struct text body = { 0 };
	scoped(free_text) char *path = text_format("%s/orders", folder);
	enum err err = file_read(path, MESSAGE_SIZE_MAX, &body);
	if (!err && (err = record_unpack(RECORD_orders, body.data, body.size, arena, ret_orders)))
		return fail(ERR_MALFORMED, "'%s': %s", path, error_text());
	return err;
}

static uint64_t size_of(const char *folder, const char *file)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, file);
	struct stat status;
	return stat(path, &status) == 0 && S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
}

enum err spool_read(const char *folder, const char *file, enum message_type type,
                    struct message *ret_message)
{
	scoped(text_finish) struct text body = { 0 };
	scoped(free_text) char *path = text_format("%s/%s", folder, file);
	if (access(path, F_OK) != 0)
		return fail(ERR_NOT_FOUND, "'%s': %s", path, strerror(errno));
	enum err err = file_read(path, MESSAGE_SIZE_MAX, &body);
	if (err)
		return err;
	scoped(message_finish) struct message message = { 0 };
	if (message_unpack(body.data, body.size, &message) != OK)
		return fail(ERR_MALFORMED, "'%s': %s", path, error_text());
	if (message.type != type)
		return fail(ERR_MALFORMED, "'%s': holds '%s'", path,
		            message_type_text(message.type));
	if (type == MESSAGE_result && message.result.parcel_size != size_of(folder, "parcel"))
		message.result.parcel_size = 0; /* that file was damaged: there is no parcel */
	*ret_message = message;
	message = (struct message){ 0 };
	return OK;
}

enum err spool_write_result(const char *folder, const struct msg_result *result)
{
	scoped(text_finish) struct text body = { 0 };
	scoped(free_text) char *path = text_format("%s/result", folder);
	struct message message = { .type = MESSAGE_result, .result = *result };
	message_pack(&message, &body);
	if (PLANTED(result_in_place))
		return write_quickly(path, &body);
	return file_write_durable(path, body.data, body.size);
}

bool spool_has_result(const char *folder)
{
	scoped(free_text) char *path = text_format("%s/result", folder);
	return access(path, F_OK) == 0;
}

uint64_t spool_log_size(const char *folder)
{
	return size_of(folder, "log");
}

static const char *const work_parts[] = { "work", "layer", "mirror", "home", "tmp", "git" };

void spool_discard_work(const char *folder, struct trash *trash)
{
	for (size_t i = 0; i < sizeof work_parts / sizeof *work_parts; i++) {
		scoped(free_text) char *path = text_format("%s/%s", folder, work_parts[i]);
		if (access(path, F_OK) == 0)
			trash_put(trash, path);
	}
}

void spool_remove_work(const char *folder)
{
	for (size_t i = 0; i < sizeof work_parts / sizeof *work_parts; i++) {
		scoped(free_text) char *path = text_format("%s/%s", folder, work_parts[i]);
		if (file_remove_tree(path) != OK)
			log_at(LOG_LEVEL_WARN, "folder not removed reason=\"%s\"", error_text());
	}
}

static void move_aside(const char *state, const char *folder, const char *name)
{
	log_at(LOG_LEVEL_ERROR, "spool entry damaged, moved aside attempt=%s reason=\"%s\"", name,
	       error_text());
	scoped(free_text) char *damaged = text_format("%s/damaged", state);
	scoped(free_text) char *target = text_format("%s/%s", damaged, name);
	if (file_make_folder(damaged, 0700) != OK || file_remove_tree(target) != OK ||
	    rename(folder, target) != 0)
		log_at(LOG_LEVEL_ERROR, "spool entry not moved attempt=%s", name);
}

static void restore_one(const char *state, const char *name, const struct spool_visitor *visitor)
{
	uint64_t job;
	uint32_t attempt;
	int end = 0;
	if (sscanf(name, "%" SCNu64 ".%" SCNu32 "%n", &job, &attempt, &end) != 2 || name[end])
		return; /* not ours */
	scoped(free_text) char *folder = text_format("%s/jobs/%s", state, name);
	scoped(message_finish) struct message message = { 0 };
	if (visitor->running(visitor->user, job, attempt))
		return;
	enum err err = spool_read(folder, "result", MESSAGE_result, &message);
	if (!err && (message.result.job != job || message.result.attempt != attempt))
		err = fail(ERR_MALFORMED, "result of job %" PRIu64 " attempt %" PRIu32,
		           message.result.job, message.result.attempt);
	if (err == ERR_NOT_FOUND) {
		trash_put(visitor->trash, folder);
		return;
	}
	spool_discard_work(folder, visitor->trash);
	if (err)
		move_aside(state, folder, name);
	else
		visitor->ended(visitor->user, &message.result, spool_log_size(folder));
}

enum err spool_restore(const char *state, const struct spool_visitor *visitor)
{
	scoped(free_text) char *path = text_format("%s/jobs", state);
	enum err err = file_make_folder(path, 0700);
	if (err)
		return err;
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	if (count < 0)
		return fail(ERR_SYSTEM, "read folder '%s': %s", path, strerror(errno));
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.')
			restore_one(state, entries[i]->d_name, visitor);
		free(entries[i]);
	}
	free(entries);
	return OK;
}
