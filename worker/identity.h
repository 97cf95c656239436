/* Who this worker is: its settings, and two random texts. */
#pragma once

#include "base/token.h"
#include "worker/core/core.h"

struct worker_settings;

/* `worker` borrows from the settings and from the texts beside it. */
struct identity {
	struct worker_identity worker;
	char session[TOKEN_SIZE + 1];
	char instance[TOKEN_SIZE + 1];
	char host[NAME_SIZE_MAX + 1];
};

/* Reads the instance from the state folder, or makes it there. */
enum err identity_load(const struct worker_settings *settings, struct identity *identity);

/* The instance alone. */
enum err identity_instance(const char *state, char instance[TOKEN_SIZE + 1]);
