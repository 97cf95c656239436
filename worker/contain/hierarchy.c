/* By what the kernel says of us and of its mounts: /proc/self/cgroup and mountinfo. */
#include "worker/contain/hierarchy.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "base/text.h"
#include "worker/contain/group.h"

#include <stdbool.h>
#include <string.h>

/* Our own group in the hierarchy whose line in /proc/self/cgroup has these controllers; "" is
 * version 2. The caller frees it; NULL when there is none. */
static char *own_group(const char *controller)
{
	scoped(text_finish) struct text list = { 0 };
	if (!group_get("/proc/self", "cgroup", &list) || !list.data)
		return NULL;
	char *rest = NULL;
	for (char *line = strtok_r(list.data, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = 0;
		scoped(free_text) char *within = text_format(",%s,", names + 1);
		scoped(free_text) char *wanted = text_format(",%s,", controller);
		if (strcmp(names + 1, controller) == 0 || (*controller && strstr(within, wanted)))
			return memory_copy_text(strcmp(path, "/") == 0 ? "" : path);
	}
	return NULL;
}

/* A row of /proc/self/mountinfo: where the hierarchy is mounted; false when it is another's. */
static bool read_mount(char *row, const char *controller, const char **ret_root,
                       const char **ret_point)
{
	char *fields[6], *rest = NULL;
	char *type = strstr(row, " - ");
	if (!type)
		return false;
	*type = 0;
	type += 3;
	for (int i = 0; i < 6; i++)
		if (!(fields[i] = strtok_r(i ? NULL : row, " ", &rest)))
			return false;
	*ret_root = strcmp(fields[3], "/") == 0 ? "" : fields[3];
	*ret_point = fields[4];
	if (!*controller)
		return strncmp(type, "cgroup2 ", 8) == 0;
	char *options = strrchr(type, ' ');
	if (strncmp(type, "cgroup ", 7) != 0 || !options)
		return false;
	scoped(free_text) char *within = text_format(",%s,", options + 1);
	scoped(free_text) char *wanted = text_format(",%s,", controller);
	return strstr(within, wanted);
}

char *hierarchy_own_folder(const char *controller)
{
	scoped(text_finish) struct text mounts = { 0 };
	scoped(free_text) char *group = own_group(controller);
	if (!group || strstr(group, "/..") || !group_get("/proc/self", "mountinfo", &mounts) ||
	    !mounts.data)
		return NULL;
	char *rest = NULL;
	for (char *row = strtok_r(mounts.data, "\n", &rest); row;
	     row = strtok_r(NULL, "\n", &rest)) {
		const char *root, *point;
		if (!read_mount(row, controller, &root, &point))
			continue;
		size_t size = strlen(root);
		bool below = strncmp(group, root, size) == 0;
		return text_format("%s%s", point, below ? group + size : "");
	}
	return NULL;
}
