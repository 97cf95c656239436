/* What the child of a look answers: it has had a stranger's repository in its hands, and its parent
 * is not to fall with it. */
#include "base/text.h"
#include "observer/poll.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_answer(const struct poll_answer *answer)
{
	const struct observer_poll *poll = &answer->poll;
	fuzz_demand(!poll->error || text_is_utf8(poll->error, strlen(poll->error)));
	for (size_t i = 0; i < poll->gone_count; i++)
		fuzz_demand(text_is_ref(poll->gone[i].ref) && text_is_commit(poll->gone[i].commit));
	for (size_t i = 0; i < poll->update_count; i++) {
		const struct message *message = &answer->updates[i];
		fuzz_demand(message->type == MESSAGE_update);
		fuzz_demand(text_is_ref(message->update.ref) && text_is_commit(message->update.to));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text stream = { 0 };
	struct poll_answer answer = { 0 };
	text_add_bytes(&stream, (const char *)data, size);
	if (poll_read_answer(&stream, &answer) == OK)
		check_answer(&answer);
	poll_answer_finish(&answer);
	text_finish(&stream);
	return 0;
}
