/* Random texts. */
#include "base/token.h"

#include "base/file.h"
#include "base/scoped.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum err token_make(char token[TOKEN_SIZE + 1])
{
	unsigned char random[TOKEN_SIZE / 2];
	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		return fail(ERR_SYSTEM, "getrandom: %s", strerror(errno));
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(token + 2 * i, 3, "%02x", random[i]);
	return OK;
}

static bool is_token(const char *text)
{
	return strspn(text, "0123456789abcdef") == TOKEN_SIZE && strlen(text) == TOKEN_SIZE;
}

enum err token_keep(const char *path, char token[TOKEN_SIZE + 1])
{
	scoped(text_finish) struct text content = { 0 };
	if (access(path, F_OK) == 0) {
		enum err err = file_read(path, 4096, &content);
		if (err)
			return err;
	}
	if (content.data && is_token(content.data)) {
		memcpy(token, content.data, TOKEN_SIZE + 1);
		return OK;
	}
	enum err err = token_make(token);
	return err ? err : file_write_durable(path, token, TOKEN_SIZE);
}
