/* Broker addresses: what is accepted, and the endpoints they become. */
#include "proto/address.h"

#include "base/scoped.h"

#include <criterion/criterion.h>
#include <string.h>

static void reads(const char *text, enum door door, const char *endpoint, const char *as_text)
{
	scoped(address_finish) struct address address = { 0 };
	cr_assert_eq(address_parse(text, &address), OK, "%s: %s", text, error_text());
	scoped(free_text) char *got = address_endpoint(&address, door);
	scoped(free_text) char *shown = address_text(&address);
	cr_assert_str_eq(got, endpoint);
	cr_assert_str_eq(shown, as_text);
}

Test(address, hosts_ports_and_folders)
{
	reads("localhost", DOOR_WORKERS, "tcp://localhost:5570", "localhost:5570");
	reads("ci.example.org:7000", DOOR_ADMIN, "tcp://ci.example.org:7002",
	      "ci.example.org:7000");
	reads("127.0.0.1:1", DOOR_UPDATES, "tcp://127.0.0.1:2", "127.0.0.1:1");
	reads("[::1]", DOOR_EVENTS, "tcp://[::1]:5573", "[::1]:5570");
	reads("[fe80::1%2]:65532", DOOR_EVENTS, "tcp://[fe80::1%2]:65535", "[fe80::1%2]:65532");
	reads("[fe80::1%eth0]:7000", DOOR_WORKERS, "tcp://[fe80::1%eth0]:7000",
	      "[fe80::1%eth0]:7000");
	reads("ipc:/run/fettle", DOOR_ADMIN, "ipc:///run/fettle/admin.sock", "ipc:/run/fettle");
	reads("ipc:///run/fettle", DOOR_ADMIN, "ipc:///run/fettle/admin.sock", "ipc:/run/fettle");
	reads("./state", DOOR_WORKERS, "ipc://./state/workers.sock", "ipc:./state");
}

static void refused(const char *text)
{
	struct address address = { 0 };
	cr_assert_eq(address_parse(text, &address), ERR_USAGE, "'%s'", text);
	cr_assert_null(address.host);
	cr_assert_null(address.folder);
}

Test(address, everything_else_is_refused)
{
	static const char *const bad[] = {
		"",           ":5570",       "host:",      "host:0",
		"host:x",     "host:-1",     "host:65533", "host:99999999999999999999",
		"::1",        "[::1",        "[::1]x",     "[]",
		"[%s]",       "a b",         "-x",         "host:1:2",
		"ipc:",       "ipc://",      "h%s:1",      "host:1 ",
		"[fe80::1%]", "[::1%a b]",   "[1.2.3.4]",  "[1:2]",
		"[:::]",      "[fe80::1%%x]"
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused(bad[i]);
}

Test(address, a_folder_must_leave_room_for_the_socket_name)
{
	char path[128] = "/";
	memset(path + 1, 'x', 93);
	scoped(address_finish) struct address address = { 0 };
	cr_assert_eq(address_parse(path, &address), OK);
	path[94] = 'x';
	refused(path);
}

static bool is_local(const char *text)
{
	scoped(address_finish) struct address address = { 0 };
	cr_assert_eq(address_parse(text, &address), OK, "%s: %s", text, error_text());
	return address_is_loopback(&address);
}

Test(address, loopback_in_every_spelling_and_nothing_else)
{
	static const char *const local[] = { "127.0.0.1",         "127.3.2.1:9",        "[::1]:9",
		                             "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.9]", "/folder" };
	static const char *const others[] = { "0.0.0.0",
		                              "[::]",
		                              "10.127.0.1",
		                              "[::2]",
		                              "[::ffff:10.0.0.1]",
		                              "127.example.org",
		                              "127.0.0.1.example.org" };
	for (size_t i = 0; i < sizeof local / sizeof *local; i++)
		cr_assert(is_local(local[i]), "%s", local[i]);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		cr_assert_not(is_local(others[i]), "%s", others[i]);
}

Test(address, a_name_to_listen_at_is_looked_up)
{
	scoped(address_finish) struct address address = { 0 };
	cr_assert_eq(address_parse("localhost:7000", &address), OK);
	cr_assert_not(address_is_loopback(&address));
	cr_assert_eq(address_resolve(&address), OK, "%s", error_text());
	cr_assert_str_eq(address.host, "127.0.0.1");
	cr_assert(address_is_loopback(&address));
}

Test(address, an_address_is_not_looked_up_and_an_unknown_name_is_refused)
{
	scoped(address_finish) struct address literal = { 0 }, unknown = { 0 };
	cr_assert_eq(address_parse("[::1]", &literal), OK);
	cr_assert_eq(address_resolve(&literal), OK);
	cr_assert_str_eq(literal.host, "[::1]");
	cr_assert_eq(address_parse("nobody.invalid", &unknown), OK);
	cr_assert_eq(address_resolve(&unknown), ERR_USAGE);
	cr_assert(strstr(error_text(), "'nobody.invalid' cannot be looked up: "), "%s",
	          error_text());
	cr_assert_str_eq(unknown.host, "nobody.invalid");
}

static enum err read_several(const char *const *texts, size_t count, struct addresses *ret_read)
{
	scoped(text_list_finish) struct text_list words = { 0 };
	for (size_t i = 0; i < count; i++)
		text_list_add(&words, texts[i]);
	return addresses_parse(&words, ret_read);
}

/* libzmq takes one of the addresses that a name has: IPv6, where it has one. */
Test(address, a_name_is_two_places)
{
	static const char *const texts[] = { "a.example:7000", "[::1]", "10.0.0.1", "ipc:/x" };
	scoped(addresses_finish) struct addresses read = { 0 };
	cr_assert_eq(read_several(texts, 4, &read), OK, "%s", error_text());
	cr_assert_eq(read.words, 4);
	cr_assert_eq(read.count, 5);
	cr_assert_str_eq(read.places[1].host, "a.example");
	cr_assert_eq(read.places[1].port, 7000);
	cr_assert(!read.places[0].ipv4_only && read.places[1].ipv4_only);
	scoped(free_text) char *shown = addresses_text(&read);
	cr_assert_str_eq(shown, "a.example:7000,[::1]:5570,10.0.0.1:5570,ipc:/x");
}

Test(address, one_to_eight_of_a_broker)
{
	static const char *const texts[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i" };
	static const char *const bad[] = { "a", "b:x" };
	scoped(addresses_finish) struct addresses read = { 0 };
	cr_assert_eq(read_several(texts, 0, &read), ERR_USAGE);
	cr_assert_eq(read_several(texts, 9, &read), ERR_USAGE);
	cr_assert_str_eq(error_text(), "address: at most 8 of a broker");
	cr_assert_eq(read_several(bad, 2, &read), ERR_USAGE);
	cr_assert_eq(read.count, 0);
	cr_assert_eq(read_several(texts, 8, &read), OK);
	cr_assert_eq(read.count, PLACES_MAX);
}
