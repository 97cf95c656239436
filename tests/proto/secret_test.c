/* Memory for the secrets of a handshake: whose it is, that it comes back wiped, and that libzmq
 * uses it. */
#include "proto/secret.h"

#include "base/scoped.h"
#include "proto/wire.h"
#include "tests/base/folder.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 100, SMALL = 300, LARGE = 5000, PATIENCE_MS = 10000 };

static void start(void)
{
	cr_assert_geq(sodium_init(), 0); /* as libzmq does */
	secret_start();
}

TestSuite(secret, .init = start);

static bool all_are(const char *bytes, size_t size, char value)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

Test(secret, more_pieces_than_there_is_room_for_are_pieces_of_their_own)
{
	char *pieces[MANY];
	for (size_t i = 0; i < MANY; i++) {
		pieces[i] = sodium_allocarray(SMALL, 1);
		cr_assert_not_null(pieces[i]);
		memset(pieces[i], (int)i, SMALL);
	}
	for (size_t i = 0; i < MANY; i++)
		cr_expect(all_are(pieces[i], SMALL, (char)i), "piece %zu", i);
	cr_expect_gt(secret_handed_out(), 0);
	cr_expect_lt(secret_handed_out(), MANY);
	for (size_t i = 0; i < MANY; i++)
		sodium_free(pieces[i]);
}

Test(secret, a_piece_that_came_back_is_wiped_and_handed_out_again)
{
	char *piece = sodium_allocarray(SMALL, 1);
	memset(piece, 'k', SMALL);
	sodium_free(piece);
	cr_assert_eq((char *)sodium_allocarray(1, SMALL), piece);
	cr_expect(all_are(piece, SMALL, 0));
	sodium_free(piece);
}

Test(secret, a_large_piece_is_libsodiums)
{
	char *piece = sodium_allocarray(LARGE, 1);
	cr_assert_not_null(piece);
	memset(piece, 'k', LARGE);
	sodium_free(piece);
	cr_expect_null(sodium_allocarray(SIZE_MAX, 2));
	cr_expect_eq(secret_handed_out(), 0);
	sodium_free(NULL);
}

static void set_text(struct wire_socket *socket, int option, const char *text)
{
	cr_assert_eq(zmq_setsockopt(wire_handle(socket), option, text, strlen(text) + 1), 0);
}

Test(secret, a_handshake_uses_it)
{
	char public_key[41], secret_key[41];
	int yes = 1;
	scoped(free_text) char *endpoint = text_format("ipc://%s/socket", folder_start());
	cr_assert_eq(zmq_curve_keypair(public_key, secret_key), 0);
	struct wire_socket *server = wire_socket(ZMQ_ROUTER), *client = wire_socket(ZMQ_DEALER);
	zmq_setsockopt(wire_handle(server), ZMQ_CURVE_SERVER, &yes, sizeof yes);
	set_text(server, ZMQ_CURVE_SECRETKEY, secret_key);
	set_text(client, ZMQ_CURVE_SERVERKEY, public_key);
	set_text(client, ZMQ_CURVE_PUBLICKEY, public_key);
	set_text(client, ZMQ_CURVE_SECRETKEY, secret_key);
	cr_assert_eq(wire_bind(server, endpoint), OK, "%s", error_text());
	cr_assert_eq(wire_connect(client, endpoint), OK, "%s", error_text());
	zmq_pollitem_t item = { .socket = wire_handle(client), .events = ZMQ_POLLOUT };
	cr_expect_eq(zmq_poll(&item, 1, PATIENCE_MS), 1, "no handshake");
	cr_expect_gt(secret_handed_out(), 4);
	wire_close(&client);
	wire_close(&server);
	wire_finish();
	folder_stop();
}
