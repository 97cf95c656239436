/* Finding and reading files of credentials: see credentials.h. */
#include "base/credentials.h"

#include "base/file.h"
#include "base/scoped.h"
#include "base/settings.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_SIZE_MAX = 64 * 1024 };

static char *usual_folder(void)
{
	static const char *const fallback = "/etc/fettle/credentials";
	const char *given = getenv("CREDENTIALS_DIRECTORY");
	if (given && *given)
		return text_format("%s", given);
	scoped(free_text) char *own = settings_config_path("credentials");
	return own && access(own, F_OK) == 0 ? steal(&own) : text_format("%s", fallback);
}

enum err credentials_choose(char **folder)
{
	if (!*folder)
		*folder = usual_folder();
	char *absolute = realpath(*folder, NULL);
	if (absolute) {
		free(*folder);
		*folder = absolute;
	}
	bool plain = **folder == '/';
	for (const char *c = *folder; *c; c++)
		plain = plain && (unsigned char)*c >= 0x20 && !strchr("'\"\\", *c);
	if (plain)
		return OK;
	return fail(ERR_USAGE,
	            "credentials '%s': an absolute path without quotes, backslashes and control "
	            "characters is needed",
	            *folder);
}

/* ---- lines --------------------------------------------------------------------------------- */

/* A part of a text. */
struct span {
	const char *data;
	size_t size;
};

/* What a url is made of; `user` and `token` of a line only. */
struct server {
	struct span scheme, host, user, token;
	bool has_token;
};

static bool span_equal(struct span a, struct span b)
{
	return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Schemes and hosts. */
static bool span_equal_case(struct span a, struct span b)
{
	return a.size == b.size && strncasecmp(a.data, b.data, a.size) == 0;
}

static bool read_server(const char *url, size_t size, struct server *ret)
{
	const char *end = memmem(url, size, "://", 3);
	*ret = (struct server){ 0 };
	if (!end)
		return false;
	ret->scheme = (struct span){ url, (size_t)(end - url) };
	const char *start = end + 3, *slash = memchr(start, '/', size - (size_t)(start - url));
	end = slash ? slash : url + size;
	const char *at = memrchr(start, '@', (size_t)(end - start));
	const char *colon = at ? memchr(start, ':', (size_t)(at - start)) : NULL;
	if (at) {
		ret->user = (struct span){ start, (size_t)((colon ? colon : at) - start) };
		ret->has_token = colon;
		if (colon)
			ret->token = (struct span){ colon + 1, (size_t)(at - colon - 1) };
		start = at + 1;
	}
	ret->host = (struct span){ start, (size_t)(end - start) };
	return ret->host.size > 0;
}

/* RFC 3986, section 2.1; what is no code stays as it is. */
static char *decode(struct span span)
{
	struct text text = { 0 };
	for (size_t i = 0; i < span.size; i++) {
		char digits[3] = { 0 }, *end = digits, byte = span.data[i];
		if (byte == '%' && i + 2 < span.size) {
			memcpy(digits, span.data + i + 1, 2);
			long value = strtol(digits, &end, 16);
			if (end == digits + 2 && value > 0) {
				byte = (char)value;
				i += 2;
			}
		}
		text_add_bytes(&text, &byte, 1);
	}
	return text_take(&text);
}

static bool is_this_machine(struct span host)
{
	char name[64];
	struct in_addr address;
	const char *colon = memrchr(host.data, ':', host.size);
	size_t size =
		colon && host.data[host.size - 1] != ']' ? (size_t)(colon - host.data) : host.size;
	if (size >= sizeof name)
		return false;
	memcpy(name, host.data, size);
	name[size] = 0;
	return strcasecmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0 ||
	       (inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == 127);
}

/* Where a token may travel: encrypted, or over no network at all. */
static bool is_safe(const struct server *server)
{
	static const struct span https = { "https", 5 }, http = { "http", 4 };
	return span_equal_case(server->scheme, https) ||
	       (span_equal_case(server->scheme, http) && is_this_machine(server->host));
}

/* Call `take` for each line; it returns true for the one that was looked for. */
static enum err read_lines(const char *path, bool (*take)(const struct server *, void *), void *of)
{
	scoped(text_finish) struct text content = { 0 };
	enum err err = file_read(path, FILE_SIZE_MAX, &content);
	char *rest = content.data, *line;
	for (int number = 1; !err && rest && (line = strsep(&rest, "\n")); number++) {
		struct server server;
		size_t size = strcspn(line, "\r");
		if (size == 0 || *line == '#')
			continue;
		if (!read_server(line, size, &server) || !server.has_token)
			return fail(ERR_REPOSITORY, "%s:%d: not https://USER:TOKEN@HOST[:PORT]",
			            path, number);
		if (!is_safe(&server))
			return fail(ERR_REPOSITORY,
			            "%s:%d: a token goes over https, or to this machine only", path,
			            number);
		if (take && take(&server, of))
			break;
	}
	return err;
}

/* ---- files --------------------------------------------------------------------------------- */

/* The file of a repository, else that of all; NULL when there is neither. */
static enum err find_file(const char *folder, const char *repository, const char *kind, char **ret)
{
	struct stat status;
	scoped(free_text) char *own = text_format("%s/%s.%s", folder, repository, kind);
	scoped(free_text) char *common = text_format("%s/%s", folder, kind);
	char **found = stat(own, &status) == 0 ? &own : stat(common, &status) == 0 ? &common : NULL;
	if (!found)
		return OK;
	if (!S_ISREG(status.st_mode))
		return fail(ERR_REPOSITORY, "'%s' is not a regular file", *found);
	if (status.st_mode & 077)
		return fail(ERR_REPOSITORY, "'%s' is open to others (mode %04o): chmod 600 it",
		            *found, (unsigned)status.st_mode & 07777);
	*ret = steal(found);
	return OK;
}

static char *ssh_command(const char *folder, const char *key)
{
	struct text command = { 0 };
	const char *given = getenv("GIT_SSH_COMMAND");
	scoped(free_text) char *hosts = folder ? text_format("%s/known_hosts", folder) : NULL;
	text_add(&command, given && *given ? given : "ssh -oBatchMode=yes");
	if (hosts && access(hosts, F_OK) == 0)
		text_addf(&command, " -oUserKnownHostsFile='%s'", hosts);
	if (key)
		text_addf(&command, " -oIdentitiesOnly=yes -oIdentityFile='%s'", key);
	return text_take(&command);
}

enum err credentials_find(const char *folder, const char *repository, struct credentials *ret)
{
	scoped(free_text) char *key = NULL;
	*ret = (struct credentials){ 0 };
	enum err err;
	if (folder && ((err = find_file(folder, repository, "key", &key)) ||
	               (err = find_file(folder, repository, "tokens", &ret->tokens)) ||
	               (ret->tokens && (err = read_lines(ret->tokens, NULL, NULL)))))
		return err;
	ret->ssh = ssh_command(folder, key);
	return OK;
}

void credentials_finish(struct credentials *credentials)
{
	free(credentials->ssh);
	free(credentials->tokens);
	*credentials = (struct credentials){ 0 };
}

struct wanted {
	struct server server;
	char **user, **token;
};

static bool take_wanted(const struct server *line, void *of)
{
	struct wanted *wanted = of;
	if (!span_equal_case(line->scheme, wanted->server.scheme) ||
	    !span_equal_case(line->host, wanted->server.host) ||
	    (wanted->server.user.size && !span_equal(line->user, wanted->server.user)))
		return false;
	*wanted->user = decode(line->user);
	*wanted->token = decode(line->token);
	return true;
}

enum err credentials_for(const struct credentials *credentials, const char *url, char **ret_user,
                         char **ret_token)
{
	struct wanted wanted = { .user = ret_user, .token = ret_token };
	*ret_user = *ret_token = NULL;
	if (!credentials->tokens || !read_server(url, strlen(url), &wanted.server))
		return OK;
	return read_lines(credentials->tokens, take_wanted, &wanted);
}
