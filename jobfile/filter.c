/* For which commits a job runs: lists of patterns over refs and paths. */
#include "jobfile/filter.h"

#include "base/glob.h"

#include <string.h>

static bool excludes_only(const char *const *patterns, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (*patterns[i] != '!')
			return false;
	return true;
}

bool filter_wants_ref(const struct jobfile_filter *filter, const char *ref)
{
	static const char heads[] = "refs/heads/";
	const char *branch = strncmp(ref, heads, strlen(heads)) == 0 ? ref + strlen(heads) : NULL;
	size_t count = filter->branches_count;
	bool wanted = count == 0 || (branch && excludes_only(filter->branches, count));
	for (size_t i = 0; i < count; i++) {
		bool excluded = *filter->branches[i] == '!';
		const char *pattern = filter->branches[i] + excluded;
		const char *name = strncmp(pattern, "refs/", 5) == 0 ? ref : branch;
		if (name && glob_matches(pattern, name))
			wanted = !excluded;
	}
	return wanted;
}

bool filter_wants_path(const struct jobfile_filter *filter, const char *path)
{
	size_t count = filter->paths_count;
	bool wanted = excludes_only(filter->paths, count);
	for (size_t i = 0; i < count; i++) {
		bool excluded = *filter->paths[i] == '!';
		if (glob_covers(filter->paths[i] + excluded, path))
			wanted = !excluded;
	}
	return wanted;
}
