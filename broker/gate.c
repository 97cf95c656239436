/* The gate: keys, table, and the thread that answers libzmq. Others only read the table, and only
 * gate_look() changes it: the lock is for the handler. */
#include "broker/gate.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "broker/core/rates.h"
#include "broker/trial.h"
#include "broker/zap.h"
#include "proto/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

enum {
	EVENTS_SIZE = 4096,
	CHANGES = IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_ATTRIB,
	ZAP_ENFORCE_DOMAIN = 93, /* a draft option that works, in 4.3.4 */
};

struct gate {
	char *state, *path; /* of the table */
	char *own;          /* path of the key */
	struct key key;
	struct stat key_seen; /* its file, as it was read */
	struct zap zap;
	struct allowed *allowed;
	struct rates *messages; /* by door and key */
	struct suspensions *suspensions;
	struct text_list rewritten;
	struct trial trial;
	struct stat seen; /* the table's file as it was read; st_ino 0: none */
	int changes;      /* of its folder, from inotify(7); -1: none */
};

/* ---- the table ------------------------------------------------------------------------------ */

/* Who may write it decides who comes in. No file is no keys. */
static enum err read_table(const char *path, struct allowed **ret, struct stat *ret_seen)
{
	scoped(text_finish) struct text content = { 0 };
	*ret_seen = (struct stat){ 0 };
	if (stat(path, ret_seen) != 0) {
		*ret_seen = (struct stat){ 0 };
		return errno == ENOENT ? allowed_parse("", 0, path, ret)
		                       : fail(ERR_USAGE, "'%s': %s", path, strerror(errno));
	}
	if ((ret_seen->st_uid != geteuid() && ret_seen->st_uid != 0) || ret_seen->st_mode & 022)
		return fail(ERR_USAGE,
		            "'%s' can be changed by others (mode %04o, uid %u): chmod 600 it", path,
		            (unsigned)ret_seen->st_mode & 07777, (unsigned)ret_seen->st_uid);
	enum err err = file_read(path, ALLOWED_SIZE_MAX, &content);
	return err ? err : allowed_parse(content.data ? content.data : "", content.size, path, ret);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool is_same_list(const struct allowed_key *a, const struct allowed_key *b)
{
	return strcmp(a->only ? a->only : "", b->only ? b->only : "") == 0;
}

/* Is there a key that may less than before? What it did as that is over. */
static bool takes_away(struct gate *gate, const struct allowed *before, const struct allowed *now)
{
	bool less = false;
	for (const struct allowed_key *key = NULL; (key = allowed_next(before, key));) {
		const struct allowed_key *still = allowed_find(now, key->key);
		if (still && still->role == key->role && strcmp(still->name, key->name) == 0) {
			if (key->role == ROLE_worker && !is_same_list(key, still))
				text_list_add(&gate->rewritten, key->name);
			continue;
		}
		if (key->role == ROLE_worker)
			text_list_add(&gate->rewritten, key->name);
		suspension_forget(gate->suspensions, key->key);
		less = true;
	}
	return less;
}

/* Who is invited may come at once. */
static int watch_folder(const char *state)
{
	scoped(free_text) char *keys = text_format("%s/keys", state);
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd >= 0 && inotify_add_watch(fd, keys, CHANGES) < 0)
		close_fd(&fd);
	return fd;
}

int gate_changes(const struct gate *gate)
{
	return gate->changes;
}

bool gate_heard(struct gate *gate)
{
	char events[EVENTS_SIZE];
	bool heard = false;
	while (gate->changes >= 0 && read(gate->changes, events, sizeof events) > 0)
		heard = true;
	return heard;
}

bool gate_look(struct gate *gate, bool force)
{
	struct stat seen = { 0 };
	struct allowed *fresh = NULL;
	text_list_finish(&gate->rewritten);
	if (stat(gate->path, &seen) != 0)
		seen = (struct stat){ 0 };
	if (!force && is_same_file(&seen, &gate->seen))
		return false;
	enum err err = read_table(gate->path, &fresh, &seen);
	gate->seen = seen;
	if (err) {
		log_at(LOG_LEVEL_ERROR, "the keys stay as they were: %s", error_text());
		return false;
	}
	struct allowed *before = gate->allowed;
	bool less = takes_away(gate, before, fresh);
	pthread_mutex_lock(&gate->zap.lock);
	gate->zap.allowed = gate->allowed = fresh;
	pthread_mutex_unlock(&gate->zap.lock);
	log_at(LOG_LEVEL_INFO, "keys read allowed=%zu before=%zu", allowed_count(fresh),
	       allowed_count(before));
	allowed_destroy(&before);
	return less;
}

bool gate_look_at_own_key(struct gate *gate)
{
	struct stat seen;
	struct key fresh = { 0 };
	if (stat(gate->own, &seen) != 0 || is_same_file(&seen, &gate->key_seen))
		return false;
	gate->key_seen = seen;
	bool other = false;
	if (key_read(gate->own, &fresh))
		log_at(LOG_LEVEL_ERROR, "the broker's key stays as it was: %s", error_text());
	else if ((other = strcmp(fresh.public_text, gate->key.public_text) != 0))
		gate->key = fresh;
	if (other)
		log_at(LOG_LEVEL_INFO, "the broker's key is another now server=%s",
		       fresh.public_text);
	key_wipe(&fresh);
	return other;
}

const struct text_list *gate_rewritten(const struct gate *gate)
{
	return &gate->rewritten;
}

const struct allowed_key *gate_find(const struct gate *gate, const char *key)
{
	return allowed_find(gate->allowed, key);
}

/* ---- how much is said ----------------------------------------------------------------------- */

#define A_SECOND(count) ((count)*INT64_C(60)) /* as so many a minute */

/* Far above what a worker with full slots and loud jobs says, and far below what it costs others to
 * be kept waiting. */
static const struct rate messages[DOOR_COUNT] = {
	[DOOR_WORKERS] = { .per_minute = A_SECOND(10000), .at_once = 20000 },
	[DOOR_UPDATES] = { .per_minute = A_SECOND(1000), .at_once = 2000 },
	[DOOR_ADMIN] = { .per_minute = A_SECOND(1000), .at_once = 2000 },
	[DOOR_EVENTS] = { .per_minute = A_SECOND(1), .at_once = 1 }, /* nobody speaks there */
};
static const struct rate telling = { .per_minute = A_SECOND(1), .at_once = 1 };

bool gate_takes(struct gate *gate, enum door door, const struct allowed_key *key, int64_t now_ms,
                bool *ret_tell)
{
	char name[KEY_SIZE + 2] = { (char)('0' + door) }, told[KEY_SIZE + 2] = "t";
	memcpy(name + 1, key->key, KEY_SIZE);
	memcpy(told + 1, key->key, KEY_SIZE);
	*ret_tell = false;
	if (rates_take(gate->messages, name, &messages[door], now_ms) || PLANTED(any_flood))
		return true;
	*ret_tell = rates_take(gate->messages, told, &telling, now_ms);
	return false;
}

/* ---- what a role may not -------------------------------------------------------------------- */

void gate_blame(struct gate *gate, const struct allowed_key *key, const char *why, int64_t now_ms,
                struct effects *out)
{
	const struct offence offence = {
		.key = key->key, .role = role_text(key->role), .name = key->name, .why = why
	};
	suspension_note(gate->suspensions, &offence, now_ms, out);
}

void gate_blame_strays(struct gate *gate, int64_t now_ms, struct effects *out)
{
	struct stray strays[STRAYS_MAX];
	pthread_mutex_lock(&gate->zap.lock);
	size_t count = gate->zap.stray_count;
	memcpy(strays, gate->zap.strays, count * sizeof *strays);
	gate->zap.stray_count = 0;
	pthread_mutex_unlock(&gate->zap.lock);
	for (size_t i = 0; i < count; i++) {
		const struct allowed_key *key = gate_find(gate, strays[i].key);
		if (!key || role_enters(key->role, strays[i].door))
			continue; /* the table changed meanwhile */
		scoped(free_text) char *why =
			text_format("a key of role %s has no business at the door `%s`",
		                    role_text(key->role), door_text(strays[i].door));
		gate_blame(gate, key, why, now_ms, out);
	}
}

struct suspensions *gate_suspensions(const struct gate *gate)
{
	return gate->suspensions;
}

/* ---- the trial ------------------------------------------------------------------------------ */

void gate_watch(struct gate *gate, enum door door, const char *endpoint)
{
	free(gate->trial.watched[door]);
	gate->trial.watched[door] = memory_copy_text(endpoint);
}

bool gate_is_on_trial(const struct gate *gate)
{
	return gate->trial.socket != NULL;
}

void gate_retry(struct gate *gate, int64_t now_ms)
{
	if (trial_go_on(&gate->trial, &gate->zap, gate->key.public_text, now_ms))
		close_fd(&gate->zap.stop[1]);
}

/* Settings of a socket hold for what is bound after them, so this is the same lock. */
static enum err try_door(struct gate *gate, struct wire_socket *socket, enum door door)
{
	scoped(free_text) char *path = text_format("%s/trial.sock", gate->state);
	scoped(free_text) char *endpoint = text_format("ipc://%s", path);
	enum handshake_state state;
	unlink(path);
	if (zmq_bind(wire_handle(socket), endpoint) != 0)
		return fail(ERR_SYSTEM, "listen on %s: %s", endpoint, zmq_strerror(errno));
	enum err err =
		trial_run(&gate->trial, &gate->zap, gate->key.public_text, endpoint, door, &state);
	zmq_unbind(wire_handle(socket), endpoint);
	unlink(path);
	if (err || state == HANDSHAKE_REFUSED)
		return err;
	return fail(ERR_SYSTEM,
	            "a key that nobody allowed was %s at the door `%s`: nothing listens then",
	            handshake_was_done(state) ? "let in" : "not refused", door_text(door));
}

enum err gate_rekey(const struct gate *gate, struct wire_socket *socket)
{
	if (zmq_setsockopt(wire_handle(socket), ZMQ_CURVE_SECRETKEY, gate->key.secret,
	                   KEY_SIZE + 1) != 0)
		return fail(ERR_SYSTEM, "change the key: %s", zmq_strerror(errno));
	return OK;
}

enum err gate_guard(struct gate *gate, struct wire_socket *socket, enum door door)
{
	void *handle = wire_handle(socket);
	int on = 1, enforced = 0;
	size_t size = sizeof enforced;
	if (zmq_setsockopt(handle, ZMQ_CURVE_SERVER, &on, sizeof on) != 0 ||
	    zmq_setsockopt(handle, ZMQ_CURVE_SECRETKEY, gate->key.secret, KEY_SIZE + 1) != 0 ||
	    zmq_setsockopt(handle, ZMQ_ZAP_DOMAIN, door_text(door), strlen(door_text(door))) != 0 ||
	    zmq_setsockopt(handle, ZAP_ENFORCE_DOMAIN, &on, sizeof on) != 0 ||
	    zmq_getsockopt(handle, ZAP_ENFORCE_DOMAIN, &enforced, &size) != 0 || !enforced)
		return fail(ERR_SYSTEM, "ask for keys: %s", zmq_strerror(errno));
	return try_door(gate, socket, door);
}

/* ---- life ----------------------------------------------------------------------------------- */

enum err gate_open(const char *state, struct gate **ret_gate)
{
	scoped(free_text) char *own = text_format("%s/keys/server", state);
	scoped(gate_close) struct gate *gate = NULL;
	if (access(own, F_OK) != 0 && errno == ENOENT)
		return OK;
	key_forbid_core();
	gate = memory_new(1, sizeof *gate);
	gate->own = steal(&own);
	gate->state = memory_copy_text(state);
	gate->messages = rates_new();
	gate->suspensions = suspensions_new();
	gate->path = text_format("%s/keys/allowed", state);
	gate->changes = watch_folder(state); /* before it is read */
	enum err err;
	if (stat(gate->own, &gate->key_seen) != 0)
		gate->key_seen = (struct stat){ 0 };
	if ((err = key_read(gate->own, &gate->key)) ||
	    (err = read_table(gate->path, &gate->allowed, &gate->seen)))
		return err;
	gate->zap.allowed = gate->allowed;
	if ((err = zap_start(&gate->zap)))
		return err;
	log_at(LOG_LEVEL_INFO, "tcp asks for keys allowed=%zu server=%s",
	       allowed_count(gate->allowed), gate->key.public_text);
	*ret_gate = steal(&gate);
	return OK;
}

void gate_close(struct gate **gate)
{
	struct gate *closed = *gate;
	if (!closed)
		return;
	trial_finish(&closed->trial);
	zap_stop(&closed->zap);
	allowed_destroy(&closed->allowed);
	rates_destroy(&closed->messages);
	suspensions_destroy(&closed->suspensions);
	text_list_finish(&closed->rewritten);
	close_fd(&closed->changes);
	key_wipe(&closed->key);
	free(closed->own);
	free(closed->state);
	free(closed->path);
	free(closed);
	*gate = NULL;
}

int gate_end(const struct gate *gate)
{
	return gate->zap.end;
}

enum err gate_fail(void)
{
	return fail(ERR_SYSTEM, "the handler that checks keys has ended: the broker ends, too");
}

uint64_t gate_refused(const struct gate *gate)
{
	return gate->zap.refused;
}

uint64_t gate_too_often(const struct gate *gate)
{
	return gate->zap.too_often;
}

uint64_t gate_renewals(const struct gate *gate)
{
	return gate->zap.renewals;
}

pthread_t gate_thread(const struct gate *gate)
{
	return gate->zap.thread;
}
