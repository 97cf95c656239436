/* Starting git with an environment and settings of ours: GIT_CONFIG_GLOBAL is a file that we write,
 * and nothing else is read. */
#include "worker/checkout/git.h"

#include "base/credentials.h"
#include "base/file.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "proto/message.h"
#include "worker/checkout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* One allocation of git's, at most: larger files are streamed, and a delta that grows to more is
 * no honest one. */
#define ALLOCATION_MAX "GIT_ALLOC_LIMIT=1g"

/* The protocol git will use, which is the only one it may use; NULL for a URL we refuse. */
static const char *protocol_of(const char *url)
{
	static const char *const known[] = { "https", "http", "ssh", "git", "file" };
	for (const char *c = url; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return NULL;
	if (url[0] == '-')
		return NULL;
	if (url[0] == '/')
		return "file";
	const char *colon = strchr(url, ':'), *slash = strchr(url, '/');
	if (!colon || (slash && slash < colon) || colon[1] == ':')
		return NULL;
	size_t size = (size_t)(colon - url);
	if (strncmp(colon, "://", 3) != 0)
		return "ssh"; /* user@host:path */
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strlen(known[i]) == size && strncmp(known[i], url, size) == 0)
			return known[i];
	return NULL;
}

uint64_t git_hash(uint64_t hash, const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)data[i]) * 1099511628211u;
	return hash;
}

enum err git_write_file(const char *folder, const char *name, const char *content)
{
	scoped(free_text) char *path = text_format("%s/%s", folder, name);
	scoped(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	size_t size = strlen(content);
	struct stat status;
	if (fd < 0)
		return fail(ERR_SYSTEM, "create '%s': %s", path, strerror(errno));
	/* Not O_TRUNC: after that ext4 writes a file to the disk when it is closed. */
	if (write(fd, content, size) != (ssize_t)size || fstat(fd, &status) != 0 ||
	    (status.st_size > (off_t)size && ftruncate(fd, (off_t)size) != 0))
		return fail(ERR_SYSTEM, "write '%s': %s", path, strerror(errno));
	return OK;
}

enum err git_make_folders(const char *folder, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		scoped(free_text) char *path = text_format("%s/%s", folder, names[i]);
		enum err err = file_make_folder(path, 0755);
		if (err)
			return err;
	}
	return OK;
}

/* It may read tokens. git would also have it store those that worked, and erase those that a server
 * refused, if only once. */
static void add_helper(struct text *config, const struct credentials *credentials)
{
	if (credentials->tokens)
		text_addf(config,
		          "[credential]\n\thelper = \"!f() { test \\\"$1\\\" != get || "
		          "git credential-store --file '%s' get; }; f\"\n",
		          credentials->tokens);
}

/* One protocol only, and no host but the one of the url; a repository of another user may be read;
 * nothing runs on the side. A mirror and a tree are caches, made anew when a power cut damaged
 * them: nothing is synced. */
static enum err write_config(const char *folder, const char *protocol,
                             const struct credentials *credentials)
{
	scoped(text_finish) struct text config = { 0 };
	text_addf(&config,
	          "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n"
	          "\tfsync = none\n\tattributesFile = /dev/null\n"
	          "[advice]\n\tdetachedHead = false\n"
	          "[checkout]\n\tworkers = 0\n"
	          "[fetch]\n\trecurseSubmodules = false\n\tunpackLimit = 1\n"
	          "[gc]\n\tauto = 0\n"
	          "[http]\n\tfollowRedirects = false\n"
	          "\tlowSpeedLimit = 1000\n\tlowSpeedTime = 60\n"
	          "[maintenance]\n\tauto = false\n"
	          "[protocol]\n\tallow = never\n"
	          "[protocol \"%s\"]\n\tallow = always\n"
	          "[safe]\n\tdirectory = *\n"
	          "[submodule]\n\trecurse = false\n"
	          "[uploadpack]\n\tallowAnySHA1InWant = true\n",
	          protocol);
	add_helper(&config, credentials);
	static const char *const folders[] = { "git" };
	enum err err = git_make_folders(folder, folders, 1);
	return err ? err : git_write_file(folder, "git/config", config.data);
}

static void add_inherited(struct text_list *env, const char *name, const char *fallback)
{
	const char *value = getenv(name);
	if (!value)
		value = fallback;
	scoped(free_text) char *row = value ? text_format("%s=%s", name, value) : NULL;
	if (row)
		text_list_add(env, row);
}

static void make_env(struct text_list *env, const char *folder,
                     const struct credentials *credentials)
{
	static const char *const fixed[] = { "GIT_CONFIG_NOSYSTEM=1",  "GIT_ATTR_NOSYSTEM=1",
		                             ALLOCATION_MAX,           "GIT_NO_LAZY_FETCH=1",
		                             "GIT_TERMINAL_PROMPT=0",  "GIT_ASKPASS=/bin/false",
		                             "SSH_ASKPASS=/bin/false", "LC_ALL=C" };
	scoped(free_text) char *config = text_format("GIT_CONFIG_GLOBAL=%s/git/config", folder);
	scoped(free_text) char *home = text_format("HOME=%s/home", folder);
	scoped(free_text) char *ssh = text_format("GIT_SSH_COMMAND=%s", credentials->ssh);
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		if (strcmp(fixed[i], ALLOCATION_MAX) != 0 || !PLANTED(git_takes_all))
			text_list_add(env, fixed[i]);
	text_list_add(env, config);
	text_list_add(env, home);
	text_list_add(env, ssh);
	add_inherited(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
	add_inherited(env, "SSH_AUTH_SOCK", NULL);
	text_list_end(env);
}

enum err git_init(struct git *git, const struct checkout *checkout, struct run *run)
{
	const struct msg_offer *offer = checkout->offer;
	const char *protocol = protocol_of(offer->url);
	scoped(credentials_finish) struct credentials credentials = { 0 };
	*git = (struct git){ .checkout = checkout, .run = run };
	if (!protocol)
		return fail(ERR_REPOSITORY, "url refused: '%s'", offer->url);
	bool is_local = strcmp(protocol, "file") == 0;
	enum err err = credentials_find(is_local ? NULL : checkout->orders->credentials,
	                                offer->repository, &credentials);
	if (err)
		return err;
	git->mirror = text_format("%s/%s-%016" PRIx64, checkout->orders->mirrors, offer->repository,
	                          git_hash(GIT_HASH_START, offer->url, strlen(offer->url)));
	make_env(&git->env, checkout->folder, &credentials);
	return write_config(checkout->folder, protocol, &credentials);
}

void git_finish(struct git *git)
{
	text_list_finish(&git->env);
	free_text(&git->mirror);
}

enum err git_run(const struct git *git, const struct git_command *command)
{
	int status;
	scoped(close_fd) int output = -1;
	scoped(free_text) char *state = text_format("%s", git->checkout->orders->mirrors);
	*strrchr(state, '/') = 0; /* it holds mirrors, trees and jobs */
	struct run_command run = { .argv = command->argv,
		                   .env = git->env.items,
		                   .folder = command->folder,
		                   .feeder = command->feeder,
		                   .feed = command->feed,
		                   .quiet = command->quiet,
		                   .uid = command->uid,
		                   .state = state,
		                   .seen = command->seen,
		                   .meanwhile = command->meanwhile,
		                   .meanwhile_of = command->meanwhile_of,
		                   .file_max = command->file_max };
	if (command->output) {
		output = open(command->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (output < 0)
			return fail(ERR_SYSTEM, "create '%s': %s", command->output,
			            strerror(errno));
		run.output = output;
	}
	if (!run_command(git->run, &run, &status))
		return ERR_STOPPED;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return OK;
	return fail(ERR_REPOSITORY, "git %s failed: see the log", command->argv[1]);
}

enum err git_fail(const struct git *git, const char *what, const char *of)
{
	char line[JOBLOG_LINE_SIZE];
	joblog_last_line(&git->run->log, line);
	return fail(ERR_REPOSITORY, "%s %s: %s", what, of, line);
}
