/* Repositories of the list, for the verbs that need one. */
#pragma once

#include "cli/cli.h"

/* ERR_NOT_FOUND with the nearest name. Texts live as long as the session. */
enum err repo_find(struct session *session, const char *name, struct rec_repo_row *ret_row);
