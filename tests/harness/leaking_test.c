/* A test that leaks and otherwise passes: the run must fail. */
#include <criterion/criterion.h>
#include <stdlib.h>

static void *volatile kept;

Test(leaking, it_forgets_its_memory)
{
	kept = malloc(1234);
	cr_assert_not_null(kept);
	kept = NULL;
}
