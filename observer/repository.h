/* A git repository as the observer's child sees it: its refs, and its objects. A path is read in
 * place and never written; a url is looked at first and fetched into a bare mirror only when it
 * has something new. */
#pragma once

#include "base/credentials.h"
#include "observer/core/rules.h"

#include <git2.h>

struct repository {
	git_repository *git; /* where the objects are */
	git_remote *remote;  /* connected; NULL for a path */
	const char *url;
	uint64_t fetch_max; /* bytes; 0: any number */
	struct credentials credentials;
	bool tried_token; /* offered once, or a refusal would never end */
};

/* The refs that are watched. The two arrays go together. */
struct repository_refs {
	struct rec_mark *marks; /* ref and its commit */
	const char **objects;   /* what the ref itself names: a tag, or the commit */
	size_t count;
	size_t marks_capacity;
	size_t objects_capacity;
};

/* Call once per process, before anything else: limits, and no owner checks, because only
 * configured repositories are opened here. */
void repository_library_start(void);

enum err repository_open(const struct rec_poll_request *request, struct repository *repository);
void repository_close(struct repository *repository);

enum err repository_list_refs(struct repository *repository, const struct rec_poll_request *request,
                              struct arena *arena, struct repository_refs *refs);
void repository_refs_finish(struct repository_refs *refs);

/* Bring the objects of all refs here, and drop the refs that turn out to name no commit. Nothing to
 * do for a path. */
enum err repository_fetch(struct repository *repository, struct repository_refs *refs);

/* False only when the ref is surely not there, whatever the listing said. */
bool repository_may_have_ref(const struct repository *repository, const char *ref);

/* fail() with libgit2's own words. */
enum err repository_fail(const char *what);
