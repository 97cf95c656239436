/* A test that leaves a process behind and otherwise passes: the run must fail. */
#include <criterion/criterion.h>
#include <unistd.h>

Test(orphaning, it_leaves_a_child)
{
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		setsid();
		execlp("sleep", "sleep", "600", (char *)NULL);
		_exit(1);
	}
}
