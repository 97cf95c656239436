/* fettle-supervisor: a program of its own, so that a job costs little memory beside its own. */
#include "worker/supervisor.h"

int main(int argc, char **argv)
{
	return supervisor_main(argc, argv);
}
