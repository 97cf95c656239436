/* The identity of a worker. The instance outlives the agent, the session does not. */
#include "worker/identity.h"

#include "base/file.h"
#include "base/scoped.h"
#include "worker/settings.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

static enum err make_token(char token[IDENTITY_TOKEN_SIZE + 1])
{
	unsigned char random[IDENTITY_TOKEN_SIZE / 2];
	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return fail(ERR_SYSTEM, "getrandom: %s", strerror(errno));
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(token + 2 * i, 3, "%02x", random[i]);
	return OK;
}

static bool is_token(const char *text)
{
	return strspn(text, "0123456789abcdef") == IDENTITY_TOKEN_SIZE &&
	       strlen(text) == IDENTITY_TOKEN_SIZE;
}

enum err identity_instance(const char *state, char instance[IDENTITY_TOKEN_SIZE + 1])
{
	scoped(free_text) char *path = text_format("%s/instance", state);
	scoped(text_finish) struct text content = { 0 };
	if (access(path, F_OK) == 0) {
		enum err err = file_read(path, 4096, &content);
		if (err)
			return err;
	}
	if (content.data && is_token(content.data)) {
		memcpy(instance, content.data, IDENTITY_TOKEN_SIZE + 1);
		return OK;
	}
	enum err err = make_token(instance);
	return err ? err : file_write_durable(path, instance, IDENTITY_TOKEN_SIZE);
}

enum err identity_load(const struct worker_settings *settings, struct identity *identity)
{
	enum err err;
	*identity = (struct identity){ 0 };
	if ((err = make_token(identity->session)) ||
	    (err = identity_instance(settings->state, identity->instance)))
		return err;
	gethostname(identity->host, sizeof identity->host - 1);
	if (!text_is_utf8(identity->host, strlen(identity->host)))
		identity->host[0] = 0;
	identity->worker = (struct worker_identity){
		.name = settings->name,
		.session = identity->session,
		.instance = identity->instance,
		.version = FETTLE_VERSION,
		.host = identity->host[0] ? identity->host : NULL,
		.labels = (const char *const *)settings->label.items,
		.label_count = settings->label.count,
		.slots = (uint32_t)settings->slots,
	};
	return OK;
}
