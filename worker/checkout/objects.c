/* Reading indexes of packs: gitformat-pack(5). */
#include "worker/checkout/objects.h"

#include "base/scoped.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* A pack's index, version 2: a magic word, 256 counts of the names up to a first byte, the names in
 * order. Anything else has no name. */
static bool index_has(int fd, const unsigned char name[20])
{
	unsigned char head[8], found[20], counts[2][4];
	static const unsigned char magic[8] = { 255, 't', 'O', 'c', 0, 0, 0, 2 };
	uint32_t range[2] = { 0, 0 };
	if (pread(fd, head, 8, 0) != 8 || memcmp(head, magic, 8) != 0)
		return false;
	for (int i = 0; i < 2; i++) {
		if (i + name[0] == 0)
			continue;
		if (pread(fd, counts[i], 4, 8 + 4 * (i + name[0] - 1)) != 4)
			return false;
		range[i] = (uint32_t)counts[i][0] << 24 | (uint32_t)counts[i][1] << 16 |
		           (uint32_t)counts[i][2] << 8 | counts[i][3];
	}
	while (range[0] < range[1]) {
		uint32_t middle = range[0] + (range[1] - range[0]) / 2;
		if (pread(fd, found, 20, 8 + 1024 + 20 * (off_t)middle) != 20)
			return false;
		int order = memcmp(found, name, 20);
		if (order == 0)
			return true;
		range[order > 0] = order > 0 ? middle : middle + 1;
	}
	return false;
}

static bool packs_have(const char *folder, const unsigned char name[20])
{
	scoped(free_text) char *path = text_format("%s/objects/pack", folder);
	DIR *packs = opendir(path);
	struct dirent *entry;
	bool have = false;
	while (packs && !have && (entry = readdir(packs))) {
		size_t size = strlen(entry->d_name);
		if (size < 4 || strcmp(entry->d_name + size - 4, ".idx") != 0)
			continue;
		scoped(close_fd) int fd = openat(dirfd(packs), entry->d_name, O_RDONLY | O_CLOEXEC);
		have = fd >= 0 && index_has(fd, name);
	}
	if (packs)
		closedir(packs);
	return have;
}

bool objects_have(const char *folder, const char *commit)
{
	unsigned char name[COMMIT_SIZE / 2];
	scoped(free_text) char *loose =
		text_format("%s/objects/%.2s/%s", folder, commit, commit + 2);
	for (size_t i = 0; i < sizeof name; i++)
		if (sscanf(commit + 2 * i, "%2hhx", &name[i]) != 1)
			return false;
	return packs_have(folder, name) || access(loose, F_OK) == 0;
}
