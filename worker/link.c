/* A Unix socket by a path of any length: through the descriptor of its folder. */
#include "worker/link.h"

#include "base/scoped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* An agent, and those that were killed before they were heard. */
enum { WAITING_MAX = 16 };

typedef int use_address(int fd, const struct sockaddr *address, socklen_t size);

static enum err open_socket(const char *folder, use_address *use, int *ret_fd)
{
	scoped(close_fd) int place = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	scoped(close_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/agent", place);
	if (place < 0 || fd < 0 || fchmod(fd, 0600) != 0 ||
	    use(fd, (const struct sockaddr *)&address, sizeof address) != 0)
		return fail(errno == ECONNREFUSED || errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM,
		            "socket '%s/agent': %s", folder, strerror(errno));
	*ret_fd = fd;
	fd = -1;
	return OK;
}

static int listen_at(int fd, const struct sockaddr *address, socklen_t size)
{
	return bind(fd, address, size) == 0 ? listen(fd, WAITING_MAX) : -1;
}

enum err link_listen(const char *folder, int *ret_fd)
{
	return open_socket(folder, listen_at, ret_fd);
}

enum err link_connect(const char *folder, int *ret_fd)
{
	return open_socket(folder, connect, ret_fd);
}

int link_accept(int listener)
{
	int fd;
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct ucred peer = { 0 };
		socklen_t size = sizeof peer;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
		    peer.uid == geteuid())
			return fd;
		close(fd);
	}
	return -1;
}
