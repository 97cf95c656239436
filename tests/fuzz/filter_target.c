/* Patterns of .fettle.yaml: the first line of the input is one, the rest is the name. */
#include "base/glob.h"
#include "base/scoped.h"
#include "jobfile/filter.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *pattern = memcpy(calloc(1, size + 1), data, size);
	char *end = strchr(pattern, '\n');
	const char *name = end ? end + 1 : "";
	if (end)
		*end = 0;
	const char *const patterns[] = { pattern };
	struct jobfile_filter filter = {
		.branches = patterns, .branches_count = 1, .paths = patterns, .paths_count = 1
	};
	bool matches = glob_matches(pattern, name);
	/* What matches whole is wanted, unless the pattern excludes. */
	fuzz_demand(!matches || *pattern == '!' || filter_wants_path(&filter, name));
	filter_wants_ref(&filter, name);
	free(pattern);
	return 0;
}
