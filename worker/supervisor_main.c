/* fettle-supervisor: the worker's other half as a program of its own, small and quick to start. Not
 * for people. */
#include "worker/supervisor.h"

int main(int argc, char **argv)
{
	return supervisor_main(argc, argv);
}
