/* Machines that have no user namespaces, each for its own reason. */
#include "worker/contain/namespaces.h"

#include "base/file.h"
#include "base/scoped.h"
#include "base/text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static char sysctls[64];

static void setup(void)
{
	snprintf(sysctls, sizeof sysctls, "/tmp/fettle-sysctls-XXXXXX");
	cr_assert_not_null(mkdtemp(sysctls));
}

static void teardown(void)
{
	cr_expect_eq(file_remove_tree(sysctls), OK);
}

TestSuite(namespaces, .init = setup, .fini = teardown, .timeout = 20);

static void set(const char *name, const char *value)
{
	scoped(free_text) char *path = text_format("%s/%s", sysctls, name);
	scoped(free_text) char *folder = text_format("%s", path);
	*strrchr(folder, '/') = 0;
	cr_assert_eq(file_make_folder(folder, 0755), OK);
	cr_assert_eq(file_write_durable(path, value, strlen(value)), OK);
}

static void expect_advice(const char *wanted)
{
	scoped(free_text) char *advice = namespaces_advice(sysctls, "bwrap: no", true);
	scoped(free_text) char *whole = text_format("%s (bwrap: no)", wanted);
	cr_expect_str_eq(advice, whole);
}

Test(namespaces, the_sysctl_that_forbids_them_is_named)
{
	set("kernel/unprivileged_userns_clone", "0\n");
	expect_advice("set the sysctl kernel.unprivileged_userns_clone to 1");
	set("kernel/unprivileged_userns_clone", "1\n");
	set("user/max_user_namespaces", "0\n");
	expect_advice("set the sysctl user.max_user_namespaces above 0");
	set("user/max_user_namespaces", "95000\n");
	set("kernel/apparmor_restrict_unprivileged_userns", "1\n");
	expect_advice("set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0, or give "
	              "bwrap an AppArmor profile with userns");
}

Test(namespaces, when_no_sysctl_forbids_them_something_else_does)
{
	set("kernel/apparmor_restrict_unprivileged_userns", "0\n");
	expect_advice("allow user namespaces: no sysctl forbids them, so a container's or a "
	              "service's rules do");
}

Test(namespaces, who_is_not_root_hears_of_the_other_way)
{
	scoped(free_text) char *advice = namespaces_advice(sysctls, "", false);
	cr_expect(strstr(advice, ", or run the worker as root, so that each slot has a user of "
	                         "its own (bwrap was killed)"),
	          "%s", advice);
}

Test(namespaces, a_bubblewrap_that_is_too_old_is_told_apart)
{
	scoped(free_text) char *advice =
		namespaces_advice(sysctls, "bwrap: Unknown option --disable-userns", true);
	cr_expect_str_eq(advice, "install bubblewrap 0.8 or newer (bwrap: Unknown option "
	                         "--disable-userns)");
}
