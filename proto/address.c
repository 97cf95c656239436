/* Broker addresses. */
#include "proto/address.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "base/text.h"

#include <string.h>
#include <sys/un.h>

static const char *const door_names[DOOR_COUNT] = { "workers", "updates", "admin", "events" };

static enum err parse_folder(const char *path, struct address *ret_address)
{
	struct sockaddr_un name;
	if (!*path)
		return fail(ERR_USAGE, "address: 'ipc:' needs a folder");
	if (strlen(path) + sizeof "/workers.sock" > sizeof name.sun_path)
		return fail(ERR_USAGE, "address: '%s' is too long for a socket (at most %zu bytes)",
		            path, sizeof name.sun_path - sizeof "/workers.sock");
	*ret_address = (struct address){ .folder = memory_copy_text(path) };
	return OK;
}

static bool is_host(const char *host, size_t size)
{
	if (size == 0 || size > 255 || host[0] == '-')
		return false;
	bool brackets = host[0] == '[';
	if (brackets)
		return size > 2 && host[size - 1] == ']' &&
		       strspn(host + 1, "0123456789abcdefABCDEF:.%") == size - 2;
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	return strspn(host, allowed) >= size;
}

enum err address_parse(const char *text, struct address *ret_address)
{
	if (strncmp(text, "ipc:", 4) == 0)
		return parse_folder(text + (strncmp(text, "ipc://", 6) == 0 ? 6 : 4), ret_address);
	if (strchr(text, '/'))
		return parse_folder(text, ret_address);
	const char *bracket = text[0] == '[' ? strchr(text, ']') : NULL;
	const char *colon = strchr(bracket ? bracket : text, ':');
	size_t size = colon ? (size_t)(colon - text) : strlen(text);
	int64_t port = PORT_DEFAULT;
	if (colon && strchr(colon + 1, ':'))
		return fail(ERR_USAGE, "address: write IPv6 in brackets, [%s]", text);
	if (!is_host(text, size))
		return fail(ERR_USAGE,
		            "address: '%s' is not HOST, HOST:PORT, [IPv6]:PORT or ipc:FOLDER",
		            text);
	if (colon &&
	    (!text_to_count(colon + 1, &port) || port < 1 || port > 65535 - DOOR_COUNT + 1))
		return fail(ERR_USAGE, "address: '%s' needs a port from 1 to %d", text,
		            65535 - DOOR_COUNT + 1);
	*ret_address = (struct address){ .host = text_format("%.*s", (int)size, text),
		                         .port = (uint16_t)port };
	return OK;
}

void address_finish(struct address *address)
{
	free_text(&address->host);
	free_text(&address->folder);
	address->port = 0;
}

char *address_endpoint(const struct address *address, enum door door)
{
	if (address->folder)
		return text_format("ipc://%s/%s.sock", address->folder, door_names[door]);
	return text_format("tcp://%s:%d", address->host, address->port + (int)door);
}

char *address_text(const struct address *address)
{
	if (address->folder)
		return text_format("ipc:%s", address->folder);
	return text_format("%s:%d", address->host, address->port);
}
