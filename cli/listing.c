/* Verbs that print rows. */
#include "cli/listing.h"

#include "base/scoped.h"
#include "cli/json.h"
#include "proto/schema.h"

#include <assert.h>
#include <string.h>

enum { PAGE_ROWS = 1000, RESULT_SIZE_MAX = 256 };

struct page {
	const struct listing *listing;
	const struct field *list;
	size_t left; /* rows still wanted */
	struct columns table;
	struct json json;
	bool json_wanted;
	size_t rows;
};

static void add_rows(struct page *page, const char *result)
{
	const struct schema *row = schema_of_record(page->list->record);
	size_t count = *(const size_t *)(const void *)(result + page->list->count_offset);
	const char *rows = *(const char *const *)(const void *)(result + page->list->offset);
	for (size_t i = 0; i < count && page->left > 0; i++, page->left--, page->rows++) {
		if (page->json_wanted)
			json_record(&page->json, page->list->record, rows + i * row->size);
		else
			page->listing->add(&page->table, rows + i * row->size);
	}
}

static enum err fetch_pages(struct session *session, struct page *page)
{
	const struct schema *schema = schema_of_record(page->listing->result);
	const struct field *next = &schema->fields[1];
	struct rec_page_params params = { .repository = session->options->repository };
	_Alignas(16) char result[RESULT_SIZE_MAX] = { 0 };
	assert(schema->size <= sizeof result && strcmp(next->name, "next") == 0);
	do {
		params.limit = (uint32_t)(page->left < PAGE_ROWS ? page->left : PAGE_ROWS);
		enum err err = session_ask(session, page->listing->method, RECORD_page_params,
		                           &params, page->listing->result, result);
		if (err)
			return err;
		add_rows(page, result);
		params.after = *(const uint64_t *)(const void *)(result + next->offset);
		arena_reset(&session->arena);
	} while (params.after && page->left > 0);
	return OK;
}

enum err listing_print(struct session *session, const struct listing *listing)
{
	int64_t limit = session->options->limit;
	struct page page = { .listing = listing,
		             .list = &schema_of_record(listing->result)->fields[0],
		             .left = limit > 0 ? (size_t)limit : SIZE_MAX,
		             .json = json_start(stdout),
		             .json_wanted = session->options->json };
	/* Answers first: an error must not leave half a JSON value behind. */
	scoped(free_text) char *written = NULL;
	size_t written_size = 0;
	FILE *aside = open_memstream(&written, &written_size);
	if (!aside)
		return fail(ERR_SYSTEM, "out of memory");
	page.json.file = aside;
	page.table = columns_start(listing->columns, listing->titles);
	enum err err = fetch_pages(session, &page);
	fclose(aside);
	if (!err && page.json_wanted)
		printf("{\"%s\": [%s]}\n", page.list->name, written);
	else if (!err && page.rows > 0)
		columns_print(&page.table, "");
	else if (!err)
		fprintf(stderr, "%s\n", listing->none);
	columns_finish(&page.table);
	return err;
}
