/* A connection on loopback with buffers. */
#include "bench/peers/line.h"

#include "bench/peers/peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void line_open(struct line *line, uint16_t port)
{
	struct sockaddr_in place = { .sin_family = AF_INET,
		                     .sin_port = htons(port),
		                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;
	line->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (line->fd < 0 || connect(line->fd, (struct sockaddr *)&place, sizeof place))
		give_up("connect to port %u: %s", port, strerror(errno));
	setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void line_flush(struct line *line)
{
	size_t done = 0;
	while (done < line->pending) {
		ssize_t count = write(line->fd, line->out + done, line->pending - done);
		if (count <= 0)
			give_up("write: %s", strerror(errno));
		done += (size_t)count;
	}
	line->pending = 0;
}

void line_put(struct line *line, const void *bytes, size_t size)
{
	if (line->pending + size > sizeof line->out)
		line_flush(line);
	memcpy(line->out + line->pending, bytes, size);
	line->pending += size;
}

void line_print(struct line *line, const char *format, ...)
{
	char text[512];
	va_list values;
	va_start(values, format);
	int length = vsnprintf(text, sizeof text, format, values);
	va_end(values);
	if (length < 0 || (size_t)length >= sizeof text)
		give_up("a line too long to send");
	line_put(line, text, (size_t)length);
}

/* Wait for more. */
static void fill(struct line *line)
{
	memmove(line->in, line->in + line->read, line->filled - line->read);
	line->filled -= line->read;
	line->read = 0;
	if (line->filled == sizeof line->in)
		give_up("an answer too long");
	ssize_t count = read(line->fd, line->in + line->filled, sizeof line->in - line->filled);
	if (count <= 0)
		give_up("read: %s", count < 0 ? strerror(errno) : "the server has hung up");
	line->filled += (size_t)count;
}

const char *line_next(struct line *line)
{
	char *end;
	while (!(end = memmem(line->in + line->read, line->filled - line->read, "\r\n", 2)))
		fill(line);
	const char *text = line->in + line->read;
	*end = '\0';
	line->read = (size_t)(end - line->in) + 2;
	return text;
}

const char *line_bytes(struct line *line, size_t size)
{
	while (line->filled - line->read < size)
		fill(line);
	line->read += size;
	return line->in + line->read - size;
}

bool line_has_more(const struct line *line)
{
	return line->read < line->filled;
}
