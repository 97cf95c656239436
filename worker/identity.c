/* The identity of a worker. The instance outlives the agent, the session does not. */
#include "worker/identity.h"

#include "base/scoped.h"
#include "worker/settings.h"

#include <string.h>
#include <unistd.h>

enum err identity_instance(const char *state, char instance[TOKEN_SIZE + 1])
{
	scoped(free_text) char *path = text_format("%s/instance", state);
	return token_keep(path, instance);
}

enum err identity_load(const struct worker_settings *settings, struct identity *identity)
{
	enum err err;
	*identity = (struct identity){ 0 };
	if ((err = token_make(identity->session)) ||
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
