/* A target's corpus as a plain test: every file of a folder, every beginning of the short ones, and
 * these with one byte of another kind. Usage: replay FOLDER */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <string.h>

enum { SIZE_MAX_READ = 1024 * 1024, SIZE_MAX_CUT = 400 };

static uint8_t content[SIZE_MAX_READ];

/* A copy of its own size, so that a sanitizer sees what is read behind its end. */
static void feed(size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	memcpy(copy, content, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static size_t feed_changed(size_t size)
{
	static const uint8_t others[] = { 0, '\n', '[', '"', ':', '*', 0xff };
	size_t count = 0;
	for (size_t i = 0; i < size; i++) {
		uint8_t kept = content[i];
		content[i] = others[i % sizeof others];
		feed(size);
		content[i] = kept;
		feed(i);
		count += 2;
	}
	return count;
}

static size_t replay(const char *folder, const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		exit(1);
	}
	size_t size = fread(content, 1, sizeof content, file);
	fclose(file);
	fprintf(stderr, "%s\n", name); /* the last one is the culprit */
	feed(size);
	return 1 + (size <= SIZE_MAX_CUT ? feed_changed(size) : 0);
}

int main(int argc, char **argv)
{
	size_t count = 0, files = 0;
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	if (!folder) {
		fprintf(stderr, "replay: usage: replay FOLDER\n");
		return 2;
	}
	for (struct dirent *entry; (entry = readdir(folder));) {
		if (entry->d_name[0] == '.')
			continue;
		count += replay(argv[1], entry->d_name);
		files++;
	}
	closedir(folder);
	printf("%zu inputs of %zu files\n", count, files);
	return files ? 0 : 1;
}
