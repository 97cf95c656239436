/* The file of the journal: see journal.h. */
#include "broker/journal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "broker/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium/crypto_shorthash.h>
#include <sodium/randombytes.h>
#include <string.h>
#include <sys/stat.h>

struct head {
	uint64_t epoch;
	uint64_t sequence;
	uint64_t size; /* of what follows */
	uint64_t sum;  /* of this head with a sum of 0, and of that */
};

static char *journal_path(const struct store *store)
{
	return text_format("%s/fettle.journal", store->folder);
}

static enum err put(struct store *store, const void *data, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t got = pwrite(store->journal.fd, (const char *)data + done, size - done,
		                     (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return store_fail_file("write the journal of", store->path);
		done += (size_t)got;
	}
	return OK;
}

/* The first `size` bytes, or as many as there are. */
static enum err get(const struct store *store, size_t size, struct text *ret_data)
{
	char chunk[16 * 1024];
	while (ret_data->size < size) {
		size_t most =
			size - ret_data->size < sizeof chunk ? size - ret_data->size : sizeof chunk;
		ssize_t got = pread(store->journal.fd, chunk, most, (off_t)ret_data->size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(ERR_STORE, "read the journal of '%s': %s", store->path,
			            strerror(errno));
		if (got == 0)
			break;
		text_add_bytes(ret_data, chunk, (size_t)got);
	}
	return OK;
}

/* What a sync that failed has left, nobody knows; space is none of its reasons. */
static enum err sync_all(const struct store *store)
{
	if (PLANTED(journal_not_synced) || fdatasync(store->journal.fd) == 0)
		return OK;
	return fail(ERR_STORE, "sync the journal of '%s': %s", store->path, strerror(errno));
}

/* Keyed with the epoch, which is nobody's business: no text in a batch can pass for a record. */
static uint64_t sum_of(const char *record, size_t size)
{
	union {
		uint64_t number;
		uint8_t bytes[crypto_shorthash_BYTES];
	} sum;
	uint8_t key[crypto_shorthash_KEYBYTES] = { 0 };
	memcpy(key, record, sizeof(uint64_t));
	crypto_shorthash(sum.bytes, (const uint8_t *)record, size, key);
	return sum.number;
}

void journal_init(struct store *store)
{
	store->journal.fd = -1;
}

/* ---- records -------------------------------------------------------------------------------- */

static void make_record(struct journal *journal, const struct batch *batch)
{
	struct head head = { .epoch = journal->epoch, .sequence = journal->sequence + 1 };
	struct text *record = &journal->record;
	text_clear(record);
	text_add_bytes(record, (const char *)&head, sizeof head);
	entries_pack(batch, record);
	head.size = record->size - sizeof head;
	memcpy(record->data, &head, sizeof head);
	head.sum = sum_of(record->data, record->size);
	memcpy(record->data, &head, sizeof head);
}

enum err journal_put(struct store *store, const struct batch *batch, bool *ret_durable)
{
	struct journal *journal = &store->journal;
	*ret_durable = false;
	if (journal->fd < 0 || !entries_can_pack(batch))
		return OK;
	make_record(journal, batch);
	size_t size = journal->record.size;
	if (size > JOURNAL_RECORD_MAX || journal->size + size > JOURNAL_SIZE)
		return OK;
	uint64_t offset = journal->size;
	enum err err = put(store, journal->record.data, size, offset);
	if (!err)
		err = sync_all(store);
	if (err)
		return err;
	journal->size += size;
	journal->sequence++;
	*ret_durable = true;
	struct bytes packed = { journal->record.data + sizeof(struct head),
		                size - sizeof(struct head) };
	return pending_add(&store->pending, &packed, offset);
}

/* They have no sum then, and are none. From the last one on: what a kill leaves is refused again.
 */
enum err journal_take_back(struct store *store)
{
	static const struct head none;
	struct journal *journal = &store->journal;
	const struct pending *pending = &store->pending;
	if (PLANTED(record_stays))
		return OK;
	size_t first = PLANTED(later_records_stay) ? pending->count - 1 : pending->refused;
	enum err err = OK;
	for (size_t part = pending->count; part-- > first && !err;)
		err = put(store, &none, sizeof none, pending->parts[part].offset);
	journal->size = pending->parts[first].offset;
	journal->sequence -= pending->count - first;
	return err ? err : sync_all(store);
}

/* The record at the beginning of `data`; 0 when it is none, else its size. */
static size_t next_record(const char *data, size_t left, uint64_t epoch, struct head *ret_head)
{
	struct head *head = ret_head;
	if (left < sizeof *head)
		return 0;
	memcpy(head, data, sizeof *head);
	if ((head->epoch != epoch && !PLANTED(old_journal_believed)) ||
	    head->size > left - sizeof *head)
		return 0;
	scoped(text_finish) struct text copy = { 0 };
	size_t size = sizeof *head + head->size;
	text_add_bytes(&copy, data, size);
	memset(copy.data + offsetof(struct head, sum), 0, sizeof head->sum);
	return sum_of(copy.data, size) == head->sum ? size : 0;
}

static enum err fail_damaged(const struct store *store, const char *what)
{
	return fail(ERR_STORE, "store '%s': its journal 'fettle.journal' is damaged: %s",
	            store->path, what);
}

enum err journal_reload(struct store *store)
{
	struct journal *journal = &store->journal;
	scoped(text_finish) struct text all = { 0 };
	pending_clear(&store->pending);
	enum err err = get(store, journal->size, &all);
	for (size_t at = 0; !err && at < journal->size && !PLANTED(journal_not_redone);) {
		struct head head;
		size_t size = next_record(all.data + at, all.size - at, journal->epoch, &head);
		if (size == 0)
			return fail_damaged(store, "a record is not there any more");
		struct bytes packed = { all.data + at + sizeof head, head.size };
		if (pending_add(&store->pending, &packed, at))
			return fail_damaged(store, error_text());
		at += size;
	}
	return err;
}

void journal_forget(struct journal *journal)
{
	journal->size = 0;
}

/* ---- begin and end -------------------------------------------------------------------------- */

/* The records that follow what the database has. */
static enum err find_records(struct store *store, const struct text *all)
{
	struct journal *journal = &store->journal;
	for (;;) {
		struct head head;
		size_t size = next_record(all->data + journal->size, all->size - journal->size,
		                          journal->epoch, &head);
		if (size > 0 && journal->size == 0 && head.sequence > journal->sequence + 1)
			return fail_damaged(store, "it begins after what the database ends with");
		if (size == 0 || head.sequence != journal->sequence + 1)
			return OK;
		journal->sequence++;
		journal->size += size;
	}
}

static enum err load_position(struct store *store)
{
	bool row;
	sqlite3_stmt *found = sql_bind(store, SQL_load_journal, "");
	enum err err = sql_step(store, found, &row);
	if (err)
		return err;
	store->journal.epoch = (uint64_t)sqlite3_column_int64(found, 0);
	store->journal.sequence = sql_number(found, 1);
	sqlite3_reset(found);
	return OK;
}

enum err journal_open(struct store *store)
{
	struct journal *journal = &store->journal;
	scoped(text_finish) struct text all = { 0 };
	scoped(free_text) char *path = journal_path(store);
	enum err err = load_position(store);
	if (err || journal->epoch == 0)
		return err;
	journal->fd = open(path, O_RDWR | O_CLOEXEC);
	if (journal->fd < 0 && errno == ENOENT)
		return fail(ERR_STORE,
		            "store '%s': its journal '%s' is gone, and with it what was kept last; "
		            "put it back, or both from a backup",
		            store->path, path);
	if (journal->fd < 0)
		return store_fail_file("open", path);
	err = get(store, JOURNAL_SIZE, &all);
	if (!err && all.size > 0)
		err = find_records(store, &all);
	if (err || journal->size == 0)
		return err;
	err = put(store, all.data, journal->size, 0);
	return err ? err : sync_all(store);
}

/* All of it is written once, so that no write to it changes more than its bytes. */
static enum err make_file(struct store *store, const char *path)
{
	static const char zeros[64 * 1024];
	struct stat status;
	store->journal.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (store->journal.fd < 0 || fstat(store->journal.fd, &status) != 0)
		return store_fail_file("open", path);
	enum err err = OK;
	for (size_t at = 0; !err && status.st_size < JOURNAL_SIZE && at < JOURNAL_SIZE;
	     at += sizeof zeros)
		err = put(store, zeros, sizeof zeros, at);
	if (!err && fsync(store->journal.fd) != 0)
		err = store_fail_file("sync", path);
	return err ? err : file_sync_folder(store->folder);
}

static enum err begin(struct store *store, const char *path)
{
	struct journal *journal = &store->journal;
	enum err err = make_file(store, path);
	if (err)
		return err;
	randombytes_buf(&journal->epoch, sizeof journal->epoch);
	journal->epoch |= 1; /* 0 is none */
	journal->sequence = 0;
	return sql_run(store,
	               sql_bind(store, SQL_save_journal, "ii", (int64_t)journal->epoch, (int64_t)0),
	               1);
}

enum err journal_begin(struct store *store)
{
	if (store->journal.epoch)
		return OK;
	scoped(free_text) char *path = journal_path(store);
	enum err err = begin(store, path);
	if (err != ERR_FULL)
		return err;
	log_at(LOG_LEVEL_WARN, "without a journal until the next start: %s", error_text());
	close_fd(&store->journal.fd);
	store->journal.epoch = 0;
	return OK;
}

enum err journal_end(struct store *store)
{
	struct journal *journal = &store->journal;
	if (journal->fd < 0 || journal->size > 0)
		return OK;
	enum err err =
		sql_run(store, sql_bind(store, SQL_save_journal, "ii", (int64_t)0, (int64_t)0), 1);
	if (!err) {
		close_fd(&journal->fd);
		journal->epoch = 0;
	}
	return err;
}

void journal_finish(struct journal *journal)
{
	close_fd(&journal->fd);
	text_finish(&journal->record);
}
