/* Copies of samples, to be opened by tests. */
#include "tests/broker/sample.h"

#include "base/file.h"
#include "base/scoped.h"

#include <dirent.h>

enum { SAMPLE_SIZE_MAX = 1 << 24 };

static bool copy_file(const char *from, const char *to)
{
	scoped(text_finish) struct text content = { 0 };
	return file_read(from, SAMPLE_SIZE_MAX, &content) == OK &&
	       file_write_durable(to, content.data, content.size) == OK;
}

bool sample_copy(const char *from, const char *to)
{
	DIR *folder = opendir(from);
	bool good = folder && file_make_folder(to, 0700) == OK;
	for (struct dirent *entry; good && (entry = readdir(folder));) {
		scoped(free_text) char *source = text_format("%s/%s", from, entry->d_name);
		scoped(free_text) char *target = text_format("%s/%s", to, entry->d_name);
		if (entry->d_name[0] != '.')
			good = entry->d_type == DT_DIR ? sample_copy(source, target)
			                               : copy_file(source, target);
	}
	if (folder)
		closedir(folder);
	return good;
}
