/* fettle-supervisor: a program of its own, so that a job costs little memory beside its own. */
#include "base/log.h"
#include "worker/supervisor.h"
#include "worker/trash.h"

#include <string.h>

int main(int argc, char **argv)
{
	log_start("fettle-supervisor", "info");
	if (argc == 3 && strcmp(argv[1], TRASH_FLAG) == 0)
		return trash_clear(argv[2]);
	return supervisor_main(argc, argv);
}
