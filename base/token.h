/* Random texts that tell one program's state folder, or run, from another. */
#pragma once

#include "base/error.h"

enum { TOKEN_SIZE = 32 };

/* A new one. */
enum err token_make(char token[TOKEN_SIZE + 1]);

/* The one that is kept in a file; made, durably, when there is none. */
enum err token_keep(const char *path, char token[TOKEN_SIZE + 1]);
