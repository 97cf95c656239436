/* Broker addresses. */
#include "proto/address.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/un.h>

static const char *const door_names[DOOR_COUNT] = { "workers", "updates", "admin", "events" };

const char *door_text(enum door door)
{
	return door_names[door];
}

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

static const char name_bytes[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

/* What is between brackets, as bytes; an interface may follow: [fe80::1%eth0]. */
static bool read_ipv6(const char *host, size_t size, struct in6_addr *ret_bytes)
{
	char text[INET6_ADDRSTRLEN];
	if (size < 4 || host[0] != '[' || host[size - 1] != ']')
		return false;
	const char *zone = memchr(host, '%', size);
	size_t length = (zone ? (size_t)(zone - host) : size - 1) - 1;
	if (length >= sizeof text ||
	    (zone &&
	     (zone[1] == ']' || zone + 1 + strspn(zone + 1, name_bytes) != host + size - 1)))
		return false;
	memcpy(text, host + 1, length);
	text[length] = 0;
	return inet_pton(AF_INET6, text, ret_bytes) == 1;
}

static bool is_host(const char *host, size_t size)
{
	struct in6_addr bytes;
	if (size == 0 || size > 255 || host[0] == '-')
		return false;
	return host[0] == '[' ? read_ipv6(host, size, &bytes) : strspn(host, name_bytes) >= size;
}

static bool is_ipv4(const char *host)
{
	struct in_addr bytes;
	return inet_pton(AF_INET, host, &bytes) == 1;
}

static bool is_name(const struct address *address)
{
	return address->host && address->host[0] != '[' && !is_ipv4(address->host);
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

bool address_is_loopback(const struct address *address)
{
	struct in6_addr bytes;
	const char *host = address->host;
	if (!host)
		return true;
	if (host[0] != '[')
		return is_ipv4(host) && strncmp(host, "127.", 4) == 0;
	if (!read_ipv6(host, strlen(host), &bytes))
		return false;
	return IN6_IS_ADDR_LOOPBACK(&bytes) ||
	       (IN6_IS_ADDR_V4MAPPED(&bytes) && bytes.s6_addr[12] == 127);
}

/* The host as libzmq wants it. */
static char *print_host(const struct sockaddr *found)
{
	char text[INET6_ADDRSTRLEN] = "";
	bool is_six = found->sa_family == AF_INET6;
	const void *bytes = is_six ? (const void *)&((const struct sockaddr_in6 *)found)->sin6_addr
	                           : &((const struct sockaddr_in *)found)->sin_addr;
	inet_ntop(found->sa_family, bytes, text, sizeof text);
	return is_six ? text_format("[%s]", text) : memory_copy_text(text);
}

enum err address_resolve(struct address *address)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int error = 0;
	if (!is_name(address))
		return OK;
	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		struct addrinfo hints = { .ai_family = families[i], .ai_socktype = SOCK_STREAM };
		struct addrinfo *found;
		int tried = getaddrinfo(address->host, NULL, &hints, &found);
		if (tried == 0) {
			free_text(&address->host);
			address->host = print_host(found->ai_addr);
			freeaddrinfo(found);
			return OK;
		}
		error = i == 0 ? tried : error;
	}
	return fail(ERR_USAGE, "address: '%s' cannot be looked up: %s", address->host,
	            gai_strerror(error));
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

static void add_place(struct addresses *addresses, struct address *address)
{
	struct address other = { 0 };
	if (is_name(address))
		other = (struct address){ .host = memory_copy_text(address->host),
			                  .port = address->port,
			                  .ipv4_only = true };
	addresses->places[addresses->count++] = *address;
	if (other.host)
		addresses->places[addresses->count++] = other;
	addresses->words++;
	*address = (struct address){ 0 };
}

enum err addresses_parse(const struct text_list *words, struct addresses *ret_addresses)
{
	scoped(addresses_finish) struct addresses read = { 0 };
	if (words->count == 0)
		return fail(ERR_USAGE, "address: a broker is needed: HOST[:PORT] or ipc:FOLDER");
	if (words->count > ADDRESSES_MAX)
		return fail(ERR_USAGE, "address: at most %d of a broker", ADDRESSES_MAX);
	for (size_t i = 0; i < words->count; i++) {
		struct address address = { 0 };
		enum err err = address_parse(words->items[i], &address);
		if (err)
			return err;
		add_place(&read, &address);
	}
	*ret_addresses = read;
	read = (struct addresses){ 0 };
	return OK;
}

struct addresses addresses_of(struct address *address)
{
	struct addresses addresses = { 0 };
	add_place(&addresses, address);
	return addresses;
}

void addresses_finish(struct addresses *addresses)
{
	for (size_t i = 0; i < addresses->count; i++)
		address_finish(&addresses->places[i]);
	*addresses = (struct addresses){ 0 };
}

char *addresses_text(const struct addresses *addresses)
{
	struct text line = { 0 };
	for (size_t i = 0; i < addresses->count; i++) {
		if (addresses->places[i].ipv4_only)
			continue;
		scoped(free_text) char *word = address_text(&addresses->places[i]);
		text_addf(&line, "%s%s", i ? "," : "", word);
	}
	return text_take(&line);
}
