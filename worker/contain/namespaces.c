/* The settings of kernels that forbid user namespaces: Debian's own, everybody's limit, Ubuntu's.
 */
#include "worker/contain/namespaces.h"

#include "base/file.h"
#include "base/scoped.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { SYSCTL_SIZE_MAX = 64, SAID_SHOWN = 150 };

static const struct {
	const char *file;
	long forbids;
	const char *advice;
} sysctls_known[] = {
	{ "kernel/unprivileged_userns_clone", 0,
	  "set the sysctl kernel.unprivileged_userns_clone to 1" },
	{ "user/max_user_namespaces", 0, "set the sysctl user.max_user_namespaces above 0" },
	{ "kernel/apparmor_restrict_unprivileged_userns", 1,
	  "set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0, or give bwrap an "
	  "AppArmor profile with userns" },
};

static bool forbids(const char *sysctls, size_t which)
{
	scoped(text_finish) struct text content = { 0 };
	scoped(free_text) char *path = text_format("%s/%s", sysctls, sysctls_known[which].file);
	if (file_read(path, SYSCTL_SIZE_MAX, &content) != OK || content.size == 0)
		return false; /* this kernel has it not */
	return strtol(content.data, NULL, 10) == sysctls_known[which].forbids;
}

static const char *first_step(const char *sysctls, const char *said)
{
	if (strstr(said, "Unknown option"))
		return "install bubblewrap 0.8 or newer";
	for (size_t i = 0; i < sizeof sysctls_known / sizeof *sysctls_known; i++)
		if (forbids(sysctls, i))
			return sysctls_known[i].advice;
	return "allow user namespaces: no sysctl forbids them, so a container's or a service's "
	       "rules do";
}

char *namespaces_advice(const char *sysctls, const char *said, bool root)
{
	return text_format("%s%s (%.*s)", first_step(sysctls, said),
	                   root ? ""
	                        : ", or run the worker as root, so that each slot has a user of "
	                          "its own",
	                   SAID_SHOWN, *said ? said : "bwrap was killed");
}
