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

/* So many bytes from there on, or as many as there are. */
static enum err get(const struct store *store, uint64_t from, size_t size, struct text *ret_data)
{
	char chunk[16 * 1024];
	while (ret_data->size < size) {
		size_t most =
			size - ret_data->size < sizeof chunk ? size - ret_data->size : sizeof chunk;
		ssize_t got = pread(store->journal.fd, chunk, most, (off_t)(from + ret_data->size));
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
	store->journal.long_size = JOURNAL_COMMIT_SIZE;
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
	if (size > JOURNAL_RECORD_MAX || journal->newest.size + size > JOURNAL_HALF)
		return OK;
	uint64_t offset = journal->newest.begin + journal->newest.size;
	enum err err = put(store, journal->record.data, size, offset);
	if (!err)
		err = sync_all(store);
	if (err)
		return err;
	journal->newest.size += size;
	journal->sequence++;
	*ret_durable = true;
	struct bytes packed = { journal->record.data + sizeof(struct head),
		                size - sizeof(struct head) };
	return pending_add(&store->pending, &packed, offset);
}

uint64_t journal_size(const struct journal *journal)
{
	return journal->older.size + journal->newest.size;
}

bool journal_can_turn(const struct journal *journal)
{
	return journal->older.size == 0 || PLANTED(half_written_early);
}

void journal_turn(struct journal *journal)
{
	journal->older = journal->newest;
	journal->newest = (struct journal_half){ JOURNAL_HALF - journal->older.begin, 0 };
}

void journal_forget_older(struct journal *journal)
{
	journal->older.size = 0;
}

void journal_forget(struct journal *journal)
{
	journal->older.size = journal->newest.size = 0;
}

/* From the last one on: what a kill leaves is refused again. */
static enum err take_back(struct store *store, const struct pending *pending, size_t first)
{
	static const struct head none;
	struct journal *journal = &store->journal;
	enum err err = OK;
	for (size_t part = pending->count; part-- > first && !err;) {
		uint64_t offset = pending->parts[part].offset;
		bool is_older = offset - journal->newest.begin >= JOURNAL_HALF;
		struct journal_half *half = is_older ? &journal->older : &journal->newest;
		err = put(store, &none, sizeof none, offset);
		half->size = offset - half->begin;
		journal->sequence--;
	}
	return err;
}

/* They have no sum then, and are none. */
enum err journal_take_back(struct store *store, const struct pending *pending)
{
	enum err err = OK;
	if (PLANTED(record_stays))
		return OK;
	if (pending != &store->pending) /* which came after it */
		err = take_back(store, &store->pending, 0);
	size_t first = PLANTED(later_records_stay) ? pending->count - 1 : pending->refused;
	if (!err)
		err = take_back(store, pending, first);
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

static enum err reload(struct store *store, const struct journal_half *half)
{
	scoped(text_finish) struct text all = { 0 };
	enum err err = get(store, half->begin, half->size, &all);
	for (size_t at = 0; !err && at < half->size && !PLANTED(journal_not_redone);) {
		struct head head;
		size_t size =
			next_record(all.data + at, all.size - at, store->journal.epoch, &head);
		if (size == 0)
			return fail_damaged(store, "a record is not there any more");
		struct bytes packed = { all.data + at + sizeof head, head.size };
		if (pending_add(&store->pending, &packed, half->begin + at))
			return fail_damaged(store, error_text());
		at += size;
	}
	return err;
}

enum err journal_reload(struct store *store)
{
	pending_clear(&store->pending);
	enum err err = PLANTED(older_half_forgotten) ? OK : reload(store, &store->journal.older);
	return err ? err : reload(store, &store->journal.newest);
}

/* ---- begin and end -------------------------------------------------------------------------- */

/* The number of the first record of a half; 0 without one. */
static uint64_t first_of(const struct journal *journal, const struct text *all, uint64_t begin)
{
	struct head head;
	if (begin >= all->size)
		return 0;
	size_t size = next_record(all->data + begin, all->size - begin, journal->epoch, &head);
	return size > 0 ? head.sequence : 0;
}

/* Those that follow each other from the beginning of a half on. */
static void take_half(struct journal *journal, const struct text *all, uint64_t begin)
{
	uint64_t end = begin + JOURNAL_HALF < all->size ? begin + JOURNAL_HALF : all->size;
	journal->older = journal->newest;
	journal->newest = (struct journal_half){ begin, 0 };
	for (;;) {
		struct head head;
		uint64_t at = begin + journal->newest.size;
		size_t size = next_record(all->data + at, end - at, journal->epoch, &head);
		if (size == 0 || head.sequence != journal->sequence + 1)
			return;
		journal->sequence++;
		journal->newest.size += size;
	}
}

/* The records that follow what the database has, in one half, and then perhaps in the other. */
static enum err find_records(struct store *store, const struct text *all)
{
	struct journal *journal = &store->journal;
	uint64_t begins[] = { 0, JOURNAL_HALF, 0 };
	for (int i = 0; i < 3; i++) {
		uint64_t first = first_of(journal, all, begins[i]);
		if (first > 0 && first == journal->sequence + 1)
			take_half(journal, all, begins[i]);
	}
	for (int i = 0; i < 2; i++)
		if (first_of(journal, all, begins[i]) > journal->sequence + 1)
			return fail_damaged(store, "it begins after what the database ends with");
	return OK;
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
	err = get(store, 0, JOURNAL_SIZE, &all);
	if (!err)
		err = find_records(store, &all);
	if (err || journal_size(journal) == 0)
		return err;
	const struct journal_half *older = &journal->older, *newest = &journal->newest;
	err = put(store, all.data + older->begin, older->size, older->begin);
	if (!err)
		err = put(store, all.data + newest->begin, newest->size, newest->begin);
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
	if (journal->fd < 0 || journal_size(journal) > 0)
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
