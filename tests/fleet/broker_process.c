/* A real broker as a child process. */
#include "tests/fleet/broker_process.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/scoped.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

enum { FLAGS_MAX = 16 };

enum err broker_process_init(struct broker_process *broker, const char *program)
{
	char folder[] = "/tmp/fleet-XXXXXX"; /* short: paths of sockets are */
	*broker = (struct broker_process){ 0 };
	if (!mkdtemp(folder))
		return fail(ERR_SYSTEM, "mkdtemp: %s", strerror(errno));
	broker->folder = memory_copy_text(folder);
	broker->program = memory_copy_text(program);
	return address_parse(folder, &broker->address);
}

void broker_process_finish(struct broker_process *broker)
{
	broker_process_stop(broker, SIGKILL);
	if (broker->folder)
		file_remove_tree(broker->folder);
	address_finish(&broker->address);
	free(broker->folder);
	free(broker->program);
	*broker = (struct broker_process){ 0 };
}

enum err broker_process_start(struct broker_process *broker, const char *const *flags)
{
	const char *argv[FLAGS_MAX + 8] = { broker->program, "--state", broker->folder, "--listen",
		                            "none" };
	size_t count = 5;
	for (size_t i = 0; flags && flags[i] && i < FLAGS_MAX; i++)
		argv[count++] = flags[i];
	scoped(free_text) char *path = text_format("%s/broker.log", broker->folder);
	scoped(close_fd) int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (log < 0)
		return fail(ERR_SYSTEM, "open '%s': %s", path, strerror(errno));
	return process_start(
		&(struct process){ .argv = argv, .in = -1, .out = log, .err = log, .keep = -1 },
		&broker->pid);
}

int broker_process_stop(struct broker_process *broker, int signal)
{
	if (broker->pid <= 0)
		return 0;
	kill(broker->pid, signal);
	int status = process_wait(broker->pid);
	broker->pid = 0;
	return status;
}

uint64_t broker_process_memory(const struct broker_process *broker)
{
	scoped(text_finish) struct text status = { 0 };
	scoped(free_text) char *path = text_format("/proc/%d/status", (int)broker->pid);
	if (broker->pid <= 0 || file_read(path, 65536, &status) != OK)
		return 0;
	const char *row = strstr(status.data, "VmRSS:");
	return row ? strtoull(row + strlen("VmRSS:"), NULL, 10) * 1024 : 0;
}

size_t broker_process_descriptors(const struct broker_process *broker)
{
	scoped(free_text) char *path = text_format("/proc/%d/fd", (int)broker->pid);
	DIR *folder = opendir(path);
	size_t count = 0;
	for (struct dirent *entry; folder && (entry = readdir(folder));)
		count += entry->d_name[0] != '.';
	if (folder)
		closedir(folder);
	return count;
}
