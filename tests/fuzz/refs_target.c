/* What a git server says when it is asked for its refs: the input is all that comes from it, as
 * over git://. Libgit2 reads it, and we what libgit2 makes of it. */
#include "base/scoped.h"
#include "observer/core/plan.h"
#include "observer/repository.h"
#include "tests/fuzz/fuzz.h"

#include <git2/sys/transport.h>
#include <string.h>

/* ---- a server that says the input ---------------------------------------------------------- */

static struct {
	const uint8_t *data;
	size_t left;
} input;

static int said(git_smart_subtransport_stream *stream, char *buffer, size_t size, size_t *ret_read)
{
	(void)stream;
	*ret_read = size < input.left ? size : input.left;
	memcpy(buffer, input.data, *ret_read);
	input.data += *ret_read;
	input.left -= *ret_read;
	return 0;
}

static int hear(git_smart_subtransport_stream *stream, const char *buffer, size_t size)
{
	(void)stream;
	(void)buffer;
	(void)size;
	return 0;
}

static void leave_stream(git_smart_subtransport_stream *stream)
{
	(void)stream;
}

/* One connection, and one stream on it. */
static int act(git_smart_subtransport_stream **ret_stream, git_smart_subtransport *transport,
               const char *url, git_smart_service_t service)
{
	static git_smart_subtransport_stream stream;
	(void)url;
	(void)service;
	stream = (git_smart_subtransport_stream){ transport, said, hear, leave_stream };
	*ret_stream = &stream;
	return 0;
}

static int close_transport(git_smart_subtransport *transport)
{
	(void)transport;
	return 0;
}

static void free_transport(git_smart_subtransport *transport)
{
	free(transport);
}

static int make_transport(git_smart_subtransport **ret_transport, git_transport *owner, void *user)
{
	(void)owner;
	(void)user;
	*ret_transport = calloc(1, sizeof **ret_transport);
	**ret_transport = (git_smart_subtransport){ act, close_transport, free_transport };
	return 0;
}

/* ---- what must hold ------------------------------------------------------------------------ */

static const struct rec_ref_rule rules[] = { { .pattern = "refs/heads/**" },
	                                     { .pattern = "refs/tags/*", .latest = true },
	                                     { .pattern = "refs/heads/old", .exclude = true } };
static const struct rec_poll_request request = {
	.repository = "sample", .url = "fuzz://server/sample", .rules = rules, .rules_count = 3
};

static void check_refs(const struct repository_refs *refs)
{
	for (size_t i = 0; i < refs->count; i++) {
		fuzz_demand(text_is_ref(refs->marks[i].ref));
		fuzz_demand(rules_policy(rules, 3, refs->marks[i].ref) != REF_IGNORED);
		fuzz_demand(text_is_commit(refs->marks[i].commit));
		fuzz_demand(text_is_commit(refs->objects[i]));
		fuzz_demand(strcmp(refs->objects[i], ZERO_COMMIT) != 0);
	}
}

/* The broker takes what is made of it. */
static void check_sent(const struct plan_change *change, struct arena *arena)
{
	struct plan_walk walk = { .repository = request.repository,
		                  .url = request.url,
		                  .ref = change->ref,
		                  .mark = change->mark,
		                  .tip = change->tip };
	struct message *updates = NULL;
	size_t count = 0;
	plan_updates(&walk, arena, &updates, &count);
	fuzz_demand(count == 1);
	scoped(text_finish) struct text packed = { 0 };
	scoped(message_finish) struct message read = { 0 };
	message_pack(updates, &packed);
	fuzz_demand(message_unpack(packed.data, packed.size, &read) == OK);
	fuzz_demand(strcmp(read.update.ref, change->ref) == 0);
}

static void check_changes(const struct repository_refs *refs, struct arena *arena)
{
	static const struct rec_mark marks[] = {
		{ .ref = "refs/heads/main", .commit = "1111111111111111111111111111111111111111" },
		{ .ref = "refs/heads/topic", .commit = "2222222222222222222222222222222222222222" },
		{ .ref = "refs/tags/v1", .commit = ZERO_COMMIT },
	};
	struct plan_change *changes = NULL;
	size_t count = 0;
	plan_changes(marks, 3, refs->marks, refs->count, arena, &changes, &count);
	for (size_t i = 0; i < count; i++) {
		fuzz_demand(i == 0 || strcmp(changes[i - 1].ref, changes[i].ref) < 0);
		fuzz_demand(changes[i].kind != PLAN_NEW || !changes[i].mark);
		fuzz_demand((changes[i].kind == PLAN_GONE) == !changes[i].tip);
		check_sent(&changes[i], arena);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static git_smart_subtransport_definition definition = { make_transport, 0, NULL };
	static bool started;
	struct repository repository = { .url = request.url };
	struct repository_refs refs = { 0 };
	struct arena arena = { 0 };
	if (!started) {
		repository_library_start();
		git_transport_register("fuzz", git_transport_smart, &definition);
		started = true;
	}
	input.data = data;
	input.left = size;
	fuzz_demand(git_remote_create_detached(&repository.remote, request.url) == 0);
	if (git_remote_connect(repository.remote, GIT_DIRECTION_FETCH, NULL, NULL, NULL) == 0 &&
	    repository_list_refs(&repository, &request, &arena, &refs) == OK) {
		check_refs(&refs);
		check_changes(&refs, &arena);
	}
	repository_refs_finish(&refs);
	arena_finish(&arena);
	repository_close(&repository);
	return 0;
}
