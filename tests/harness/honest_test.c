/* A test that passes: the run must pass, unless a filter leaves nothing of it. */
#include <criterion/criterion.h>

Test(honest, it_passes)
{
	cr_assert(1 + 1 == 2);
}
