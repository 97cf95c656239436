/* A file of keys: what is accepted can be written, and read again as the same. What is refused is
 * said without showing what may be a secret. */
#include "proto/key.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static bool is_same(const struct key *a, const struct key *b)
{
	bool same = strcmp(a->public_text, b->public_text) == 0 &&
	            strcmp(a->secret, b->secret) == 0 && a->server_count == b->server_count;
	for (size_t i = 0; same && i < a->server_count; i++)
		same = strcmp(a->servers[i], b->servers[i]) == 0;
	return same;
}

static void check_key(const struct key *key)
{
	struct text written = { 0 };
	struct key again;
	fuzz_demand(key_is_text(key->public_text) && key_is_text(key->secret));
	fuzz_demand(key->server_count <= KEY_SERVERS_MAX);
	for (size_t i = 0; i < key->server_count; i++)
		fuzz_demand(key_is_text(key->servers[i]));
	key_print(key, &written);
	fuzz_demand(key_parse(written.data, "written", &again) == OK);
	fuzz_demand(is_same(key, &again));
	text_finish(&written);
}

/* Of no word is as much told as half a key. What we say ourselves has blanks more often. */
static void check_refusal(const char *content)
{
	enum { SHOWN_MAX = KEY_SIZE / 2 };
	const char *said = error_text();
	size_t size = strlen(content);
	for (size_t i = 0; i + SHOWN_MAX <= size; i++) {
		char part[SHOWN_MAX + 1];
		memcpy(part, content + i, SHOWN_MAX);
		part[SHOWN_MAX] = 0;
		fuzz_demand(strcspn(part, " \t\n") < SHOWN_MAX || !strstr(said, part));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text content = { 0 }, kept = { 0 };
	struct key key;
	text_add(&content, "");
	text_add_bytes(&content, (const char *)data, size);
	text_add(&kept, "");
	text_add_bytes(&kept, (const char *)data, strnlen((const char *)data, size));
	if (key_parse(content.data, "w", &key) == OK)
		check_key(&key);
	else
		check_refusal(kept.data);
	text_finish(&content);
	text_finish(&kept);
	return 0;
}
