/* A peer that says anything: sends the frames given in hex to an endpoint and prints what is
 * answered, a frame a line, in hex. For tests of what a broker does with bad bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { ANSWER_MS = 3000 };

static size_t from_hex(const char *hex, unsigned char *bytes)
{
	size_t size = strlen(hex) / 2;
	for (size_t i = 0; i < size; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };
		bytes[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return size;
}

static int send_frames(void *socket, char **frames, int count)
{
	for (int i = 0; i < count; i++) {
		unsigned char *bytes = malloc(strlen(frames[i]) / 2 + 1);
		if (!bytes)
			return -1;
		size_t size = from_hex(frames[i], bytes);
		int sent = zmq_send(socket, bytes, size, i + 1 < count ? ZMQ_SNDMORE : 0);
		free(bytes);
		if (sent < 0)
			return -1;
	}
	return 0;
}

static void print_answer(void *socket)
{
	int more = 1;
	while (more) {
		zmq_msg_t frame;
		zmq_msg_init(&frame);
		if (zmq_msg_recv(&frame, socket, 0) < 0) {
			zmq_msg_close(&frame);
			return;
		}
		const unsigned char *data = zmq_msg_data(&frame);
		for (size_t i = 0; i < zmq_msg_size(&frame); i++)
			printf("%02x", data[i]);
		printf("\n");
		more = zmq_msg_more(&frame);
		zmq_msg_close(&frame);
	}
}

/* raw_peer dealer|push ENDPOINT FRAME... */
int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	void *context = zmq_ctx_new();
	int push = strcmp(argv[1], "push") == 0, wait_ms = ANSWER_MS;
	void *socket = zmq_socket(context, push ? ZMQ_PUSH : ZMQ_DEALER);
	zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
	zmq_setsockopt(socket, ZMQ_SNDTIMEO, &wait_ms, sizeof wait_ms);
	zmq_setsockopt(socket, ZMQ_LINGER, &wait_ms, sizeof wait_ms);
	int failed = zmq_connect(socket, argv[2]) || send_frames(socket, argv + 3, argc - 3);
	if (!failed && !push)
		print_answer(socket);
	zmq_close(socket);
	zmq_ctx_term(context);
	return failed ? 1 : 0;
}
