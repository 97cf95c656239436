/* Who this worker is: its settings, and two random texts. */
#pragma once

#include "base/error.h"
#include "worker/core/core.h"

struct worker_settings;

enum { IDENTITY_TOKEN_SIZE = 32 };

/* `worker` borrows from the settings and from the texts beside it. */
struct identity {
	struct worker_identity worker;
	char session[IDENTITY_TOKEN_SIZE + 1];
	char instance[IDENTITY_TOKEN_SIZE + 1];
	char host[NAME_SIZE_MAX + 1];
};

/* Reads the instance from the state folder, or makes it there. */
enum err identity_load(const struct worker_settings *settings, struct identity *identity);

/* The instance alone. */
enum err identity_instance(const char *state, char instance[IDENTITY_TOKEN_SIZE + 1]);
