/* fettle version */
#include "cli/cli.h"
#include "cli/json.h"
#include "proto/message.h"

enum err verb_version(struct session *session)
{
	if (!session->options->json) {
		printf("fettle " FETTLE_VERSION " (protocol " MESSAGE_PROTOCOL ")\n");
		return OK;
	}
	struct json json = json_start(stdout);
	json_open(&json, '{');
	json_key(&json, "version");
	json_text(&json, FETTLE_VERSION);
	json_key(&json, "protocol");
	json_text(&json, MESSAGE_PROTOCOL);
	json_close(&json, '}');
	json_finish(&json);
	return OK;
}
