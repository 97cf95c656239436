/* Opening, listing and fetching, by libgit2. Runs in the child only: libgit2 1.5 has no network
 * timeouts, and whatever a hostile repository does must not reach the daemon. */
#include "observer/repository.h"

#include "base/memory.h"
#include "base/scoped.h"
#include "observer/mirror.h"
#include "observer/sanitizer.h"
#include "observer/ssh.h"
#include "proto/entry.h"

#include <errno.h>
#include <string.h>

enum {
	CACHE_SIZE_MAX = 64 * 1024 * 1024,
	MAPPED_SIZE_MAX = 512 * 1024 * 1024,
	REFS_MAX = 100000,
};

#if HAS_SANITIZER
/* libgit2 1.5.1 leaks what it matches the names of settings with; the child is short-lived. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libpcre2-8.so";
}

const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "print_suppressions=0";
}
#endif

static void free_reference(git_reference **reference)
{
	git_reference_free(*reference);
}

static void free_object(git_object **object)
{
	git_object_free(*object);
}

static void free_iterator(git_reference_iterator **iterator)
{
	git_reference_iterator_free(*iterator);
}

static void free_odb(git_odb **odb)
{
	git_odb_free(*odb);
}

enum err repository_fail(const char *what)
{
	const git_error *error = git_error_last();
	const char *why = error && error->message ? error->message : "unknown error";
	return fail(ERR_REPOSITORY, "%s: %s", what, why);
}

/* What the user and the machine tell git is not meant for us: a broken ~/.gitconfig must not stop a
 * poll, nor one rewrite a url that workers fetch as it is. */
static void ignore_settings(void)
{
	static const int levels[] = { GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
		                      GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL };
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
}

void repository_library_start(void)
{
	/* What libgit2 1.5 does not know and a reader need not: sparse checkouts have the first. */
	static const char *extensions[] = { "worktreeconfig", "preciousobjects" };
	git_libgit2_init();
	ignore_settings();
	git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions, (size_t)2);
	git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
	git_libgit2_opts(GIT_OPT_SET_CACHE_MAX_SIZE, (ssize_t)CACHE_SIZE_MAX);
	git_libgit2_opts(GIT_OPT_SET_MWINDOW_MAPPED_LIMIT, (size_t)MAPPED_SIZE_MAX);
}

static enum err open_path(const char *path, struct repository *repository)
{
	if (access(path, F_OK) != 0)
		return fail(ERR_REPOSITORY, "no repository at %s: %s", path, strerror(errno));
	int error = git_repository_open_ext(&repository->git, path, GIT_REPOSITORY_OPEN_NO_SEARCH,
	                                    NULL);
	if (error == GIT_ENOTFOUND)
		return fail(ERR_REPOSITORY, "not a git repository: %s", path);
	return error ? repository_fail(path) : OK;
}

static int refuse(const char *why)
{
	git_error_set_str(GIT_ERROR_HTTP, why);
	return GIT_EAUTH;
}

/* libgit2 asks after the server did; for ssh, the ssh program has all it needs. */
static int get_credential(git_credential **ret_credential, const char *url, const char *user,
                          unsigned allowed, void *payload)
{
	struct repository *repository = payload;
	scoped(free_text) char *name = NULL, *token = NULL;
	(void)url, (void)user; /* of another host, after a redirect, perhaps */
	if (!(allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT))
		return refuse("the server wants what is no token");
	if (repository->tried_token)
		return refuse("the server refuses the token");
	if (credentials_for(&repository->credentials, repository->url, &name, &token))
		return refuse(error_text());
	if (!name)
		return refuse("the server wants a token, and there is none for its host");
	repository->tried_token = true;
	return git_credential_userpass_plaintext_new(ret_credential, name, token);
}

/* Before they fill the disk: what came so far lies in the mirror until the next look removes it. */
static int watch_size(const git_indexer_progress *progress, void *payload)
{
	const struct repository *repository = payload;
	if (!repository->fetch_max || progress->received_bytes <= repository->fetch_max)
		return 0;
	git_error_set_str(GIT_ERROR_NET, "it brings more bytes than --fetch-size allows");
	return GIT_EUSER;
}

static void set_callbacks(git_remote_callbacks *callbacks, struct repository *repository)
{
	callbacks->credentials = get_credential;
	callbacks->payload = repository;
}

static enum err open_url(const struct rec_poll_request *request, struct repository *repository)
{
	git_remote_connect_options options;
	enum err err;
	if ((err = credentials_find(request->credentials, request->repository,
	                            &repository->credentials)) ||
	    (err = ssh_use(repository->credentials.ssh)) ||
	    (err = mirror_open(request->mirror, &repository->git)))
		return err;
	git_remote_connect_options_init(&options, GIT_REMOTE_CONNECT_OPTIONS_VERSION);
	set_callbacks(&options.callbacks, repository);
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE; /* to another host */
	if (git_remote_create_anonymous(&repository->remote, repository->git, request->url) != 0 ||
	    git_remote_connect_ext(repository->remote, GIT_DIRECTION_FETCH, &options) != 0)
		return repository_fail("cannot reach the repository");
	return OK;
}

enum err repository_open(const struct rec_poll_request *request, struct repository *repository)
{
	repository->url = request->url;
	repository->fetch_max = request->fetch_max;
	return entry_url_is_path(request->url) ? open_path(request->url, repository)
	                                       : open_url(request, repository);
}

void repository_close(struct repository *repository)
{
	git_remote_free(repository->remote);
	git_repository_free(repository->git);
	credentials_finish(&repository->credentials);
	*repository = (struct repository){ 0 };
}

/* ---- refs ---------------------------------------------------------------------------------- */

static bool watched(const struct rec_poll_request *request, const char *ref)
{
	return rules_policy(request->rules, request->rules_count, ref) != REF_IGNORED;
}

static enum err add_ref(struct repository_refs *refs, struct arena *arena, const char *ref,
                        const char *commit, const char *object)
{
	if (refs->count == REFS_MAX)
		return fail(ERR_REPOSITORY, "more than %d refs match; watch fewer", REFS_MAX);
	memory_reserve((void **)&refs->marks, &refs->marks_capacity, refs->count + 1,
	               sizeof *refs->marks);
	memory_reserve((void **)&refs->objects, &refs->objects_capacity, refs->count + 1,
	               sizeof *refs->objects);
	refs->marks[refs->count] = (struct rec_mark){ .ref = arena_copy_text(arena, ref),
		                                      .commit = arena_copy_text(arena, commit) };
	refs->objects[refs->count++] = arena_copy_text(arena, object);
	return OK;
}

void repository_refs_finish(struct repository_refs *refs)
{
	free(refs->marks);
	free(refs->objects);
	*refs = (struct repository_refs){ 0 };
}

/* A ref that names no commit (a tag of a blob) has nothing to run and is passed over. */
static enum err add_local_ref(git_reference *reference, const struct rec_poll_request *request,
                              struct arena *arena, struct repository_refs *refs)
{
	scoped(free_reference) git_reference *direct = NULL;
	scoped(free_object) git_object *commit = NULL;
	char id[GIT_OID_HEXSZ + 1], object[GIT_OID_HEXSZ + 1];
	const char *name = git_reference_name(reference);
	if (!text_is_ref(name) || !watched(request, name) ||
	    git_reference_resolve(&direct, reference) != 0)
		return OK;
	git_oid_tostr(object, sizeof object, git_reference_target(direct));
	/* A ref to a missing commit is kept: reading that commit will tell what is wrong. */
	int error = git_reference_peel(&commit, direct, GIT_OBJECT_COMMIT);
	if (error && error != GIT_ENOTFOUND)
		return OK;
	git_oid_tostr(id, sizeof id, error ? git_reference_target(direct) : git_object_id(commit));
	return add_ref(refs, arena, name, id, object);
}

static enum err list_local(const struct repository *repository,
                           const struct rec_poll_request *request, struct arena *arena,
                           struct repository_refs *refs)
{
	scoped(free_iterator) git_reference_iterator *iterator = NULL;
	if (git_reference_iterator_new(&iterator, repository->git) != 0)
		return repository_fail("list refs");
	for (;;) {
		scoped(free_reference) git_reference *reference = NULL;
		int error = git_reference_next(&reference, iterator);
		if (error == GIT_ITEROVER)
			return OK;
		if (error)
			return repository_fail("list refs");
		enum err err = add_local_ref(reference, request, arena, refs);
		if (err)
			return err;
	}
}

/* "refs/tags/v1^{}" follows "refs/tags/v1" and names the commit of an annotated tag. */
static bool is_peeled(const char *name, const char *ref)
{
	size_t size = strlen(ref);
	return strncmp(name, ref, size) == 0 && strcmp(name + size, "^{}") == 0;
}

static enum err list_remote(const struct repository *repository,
                            const struct rec_poll_request *request, struct arena *arena,
                            struct repository_refs *refs)
{
	const git_remote_head **heads = NULL;
	size_t count = 0;
	if (git_remote_ls(&heads, &count, repository->remote) != 0)
		return repository_fail("list refs");
	for (size_t i = 0; i < count; i++) {
		char id[GIT_OID_HEXSZ + 1];
		if (git_oid_is_zero(&heads[i]->oid))
			continue; /* nothing is called so; to us it would be a deletion */
		git_oid_tostr(id, sizeof id, &heads[i]->oid);
		struct rec_mark *last = refs->count ? &refs->marks[refs->count - 1] : NULL;
		if (last && is_peeled(heads[i]->name, last->ref)) {
			last->commit = arena_copy_text(arena, id);
			continue;
		}
		if (!text_is_ref(heads[i]->name) || !watched(request, heads[i]->name))
			continue;
		enum err err = add_ref(refs, arena, heads[i]->name, id, id);
		if (err)
			return err;
	}
	return OK;
}

enum err repository_list_refs(struct repository *repository, const struct rec_poll_request *request,
                              struct arena *arena, struct repository_refs *refs)
{
	return repository->remote ? list_remote(repository, request, arena, refs)
	                          : list_local(repository, request, arena, refs);
}

bool repository_may_have_ref(const struct repository *repository, const char *ref)
{
	scoped(free_reference) git_reference *reference = NULL;
	return !repository->remote &&
	       git_reference_lookup(&reference, repository->git, ref) != GIT_ENOTFOUND;
}

/* ---- fetching ------------------------------------------------------------------------------ */

static bool has_object(git_odb *odb, const char *id)
{
	git_oid oid;
	return git_oid_fromstr(&oid, id) == 0 && git_odb_exists(odb, &oid);
}

/* Pins are by object, not by ref name: a rename from foo to foo/bar must not break the mirror. What
 * is asked for is by name: many servers give no object by its id. The names are those of the
 * listing, which is of the same connection. */
static enum err list_wanted(const struct repository *repository, const struct repository_refs *refs,
                            struct text_list *specs)
{
	scoped(free_odb) git_odb *odb = NULL;
	if (git_repository_odb(&odb, repository->git) != 0)
		return repository_fail("open mirror");
	for (size_t i = 0; i < refs->count; i++) {
		if (has_object(odb, refs->objects[i]))
			continue;
		scoped(free_text) char *spec =
			text_format("+%s:" MIRROR_PINS "/%s", refs->marks[i].ref, refs->objects[i]);
		text_list_add(specs, spec);
	}
	return OK;
}

/* True when the object is here and something else. */
static bool is_no_commit(git_odb *odb, const char *id)
{
	git_oid oid;
	git_object_t type;
	size_t size;
	return git_oid_fromstr(&oid, id) == 0 &&
	       git_odb_read_header(&size, &type, odb, &oid) == 0 && type != GIT_OBJECT_COMMIT;
}

/* As for local refs: one that names no commit is passed over. */
static enum err drop_others(const struct repository *repository, struct repository_refs *refs)
{
	scoped(free_odb) git_odb *odb = NULL;
	if (git_repository_odb(&odb, repository->git) != 0)
		return repository_fail("open mirror");
	size_t kept = 0;
	for (size_t i = 0; i < refs->count; i++) {
		if (is_no_commit(odb, refs->marks[i].commit))
			continue;
		refs->objects[kept] = refs->objects[i];
		refs->marks[kept++] = refs->marks[i];
	}
	refs->count = kept;
	return OK;
}

static enum err fetch(struct repository *repository, const struct repository_refs *refs)
{
	scoped(text_list_finish) struct text_list specs = { 0 };
	enum err err = list_wanted(repository, refs, &specs);
	if (err || specs.count == 0 || (err = mirror_check_pins(repository->git)))
		return err;
	git_fetch_options options;
	git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
	set_callbacks(&options.callbacks, repository);
	options.callbacks.transfer_progress = watch_size;
	options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
	options.prune = GIT_FETCH_NO_PRUNE;
	options.update_fetchhead = 0;
	options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
	git_strarray words = { specs.items, specs.count };
	if (git_remote_fetch(repository->remote, &words, &options, NULL) != 0)
		return repository_fail("fetch");
	return OK;
}

enum err repository_fetch(struct repository *repository, struct repository_refs *refs)
{
	if (!repository->remote)
		return OK;
	enum err err = fetch(repository, refs);
	return err ? err : drop_others(repository, refs);
}
