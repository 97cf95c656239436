/* How much space there is where the store lies. What follows from it is for the core to say. */
#include "broker/server.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

enum { DISK_LOOK_MS = 1000 }; /* between looks */

enum err server_disk_free(const struct server *server, uint64_t *ret_bytes)
{
	struct statvfs disk;
	if (statvfs(server->settings->state, &disk) != 0)
		return fail(ERR_SYSTEM, "'%s': %s", server->settings->state, strerror(errno));
	*ret_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	return OK;
}

/* Nobody tells when space runs short, or is there again. */
void server_look_at_disk(struct server *server)
{
	uint64_t bytes = 0;
	bool was_low = core_disk_is_low(server->core);
	server->disk_look_ms = server->now_ms + DISK_LOOK_MS;
	if (server_disk_free(server, &bytes))
		return; /* the store will say what is wrong */
	core_step(server->core,
	          &(struct event){
			  .kind = EVENT_DISK_FREE, .now_ms = server->now_ms, .disk_free = bytes },
	          &server->effects);
	server_take_effects(server);
	if (core_disk_is_low(server->core) == was_low)
		return;
	log_at(was_low ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "%s free=%llu min_free=%llu",
	       was_low ? "enough disk space again, new commits are taken"
	               : "disk space is low, no new commits are taken",
	       (unsigned long long)bytes, (unsigned long long)server->settings->min_free);
}
