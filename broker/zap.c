/* libzmq asks over inproc, one question for each handshake, and waits: what does not answer lets
 * nobody in, since the doors enforce their domains. */
#include "broker/zap.h"

#include "base/clock.h"
#include "base/plant.h"
#include "base/scoped.h"
#include "broker/core/rates.h"
#include "proto/wire.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

enum { BINARY_SIZE = 32, FRAMES = 7, FRAME_SIZE_MAX = 256 };

#define ENDPOINT "inproc://zeromq.zap.01"

/* Frames of a request: version, id, domain, address, identity, mechanism, credentials. */
struct question {
	char frames[FRAMES][FRAME_SIZE_MAX + 1]; /* texts, but for the last */
	size_t sizes[FRAMES];
	bool whole;
};

/* A program keeps its connection and, where it loses it, waits longer and longer. `fettle` makes
 * one for each command. */
static const struct rate handshakes[ROLE_COUNT] = {
	[ROLE_worker] = { .per_minute = 30, .at_once = 30 },
	[ROLE_observer] = { .per_minute = 30, .at_once = 30 },
	[ROLE_admin] = { .per_minute = 300, .at_once = 300 },
	[ROLE_reader] = { .per_minute = 300, .at_once = 300 },
};

enum {
	RENEW_ANSWERS = 256, /* then what the connections have of the socket is worth its while */
	REST_MS = 20,
};

enum { VERSION, ID, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS };

static bool read_question(void *socket, struct question *ret)
{
	int more = 1;
	size_t count = 0, size = sizeof more;
	char spare[FRAME_SIZE_MAX] = { 0 };
	memset(ret, 0, sizeof *ret);
	ret->whole = true;
	while (more) {
		bool fits = count < FRAMES;
		int got = zmq_recv(socket, fits ? ret->frames[count] : spare, FRAME_SIZE_MAX, 0);
		if (got < 0)
			return false;
		ret->whole = ret->whole && fits && got <= FRAME_SIZE_MAX;
		if (fits)
			ret->sizes[count] = got < FRAME_SIZE_MAX ? (size_t)got : FRAME_SIZE_MAX;
		count++;
		if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) != 0)
			return false;
	}
	ret->whole = ret->whole && count == FRAMES;
	return true;
}

enum verdict { LET_IN, NOT_ALLOWED, TOO_OFTEN };

/* By door and key: a program has a connection to each of its doors. */
static bool is_too_often(struct zap *zap, const struct question *question, const char *key,
                         enum role role)
{
	scoped(free_text) char *name = text_format("%s %s", question->frames[DOMAIN], key);
	return !rates_take(zap->rates, name, &handshakes[role], clock_mono_ms()) &&
	       !PLANTED(any_haste);
}

/* The loop counts them; under the lock. */
static void note_stray(struct zap *zap, const char *key, enum door door)
{
	if (zap->stray_count == STRAYS_MAX)
		return;
	struct stray *stray = &zap->strays[zap->stray_count++];
	memcpy(stray->key, key, KEY_SIZE + 1);
	stray->door = door;
}

/* The key's text, when it enters by this door. */
static enum verdict judge(struct zap *zap, const struct question *question, char key[KEY_SIZE + 1])
{
	enum role role = ROLE_COUNT;
	if (!question->whole || strcmp(question->frames[VERSION], "1.0") != 0 ||
	    strcmp(question->frames[MECHANISM], "CURVE") != 0 ||
	    question->sizes[CREDENTIALS] != BINARY_SIZE ||
	    !zmq_z85_encode(key, (const uint8_t *)question->frames[CREDENTIALS], BINARY_SIZE))
		return NOT_ALLOWED;
	if (PLANTED(any_key))
		return LET_IN;
	pthread_mutex_lock(&zap->lock);
	const struct allowed_key *found = allowed_find(zap->allowed, key);
	for (enum door door = 0; found && door < DOOR_COUNT; door++) {
		if (strcmp(door_text(door), question->frames[DOMAIN]) != 0)
			continue;
		if (role_enters(found->role, door) || PLANTED(any_role))
			role = found->role;
		else
			note_stray(zap, key, door);
	}
	pthread_mutex_unlock(&zap->lock);
	if (role == ROLE_COUNT)
		return NOT_ALLOWED;
	return is_too_often(zap, question, key, role) ? TOO_OFTEN : LET_IN;
}

static bool is_on_trial(struct zap *zap, const char *key)
{
	pthread_mutex_lock(&zap->lock);
	bool same = *key && strcmp(key, zap->trial) == 0;
	pthread_mutex_unlock(&zap->lock);
	return same;
}

/* False: the socket is at its end. */
static bool answer(struct zap *zap, void *socket)
{
	struct question question;
	char key[KEY_SIZE + 1] = "";
	if (!read_question(socket, &question))
		return errno == EINTR || errno == EAGAIN;
	/* 500 is "for now", which handshake.c knows, and 400 for good. */
	static const char *const codes[] = { "200", "400", "500" };
	static const char *const reasons[] = { "", "not allowed", "too often" };
	enum verdict verdict = judge(zap, &question, key);
	if (verdict != LET_IN && !is_on_trial(zap, key))
		zap->refused++;
	zap->too_often += verdict == TOO_OFTEN;
	zap->answers++;
	const char *user = verdict == LET_IN ? key : "", *code = codes[verdict];
	const char *why = reasons[verdict];
	return zmq_send(socket, "1.0", 3, ZMQ_SNDMORE) >= 0 &&
	       zmq_send(socket, question.frames[ID], question.sizes[ID], ZMQ_SNDMORE) >= 0 &&
	       zmq_send(socket, code, 3, ZMQ_SNDMORE) >= 0 &&
	       zmq_send(socket, why, strlen(why), ZMQ_SNDMORE) >= 0 &&
	       zmq_send(socket, user, strlen(user), ZMQ_SNDMORE) >= 0 &&
	       zmq_send(socket, "", 0, 0) >= 0;
}

static void *open_socket(void)
{
	int none = 0;
	void *socket = zmq_socket(wire_context(), ZMQ_REP);
	if (socket && zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none) != 0) {
		zmq_close(socket);
		socket = NULL;
	}
	return socket;
}

/* libzmq keeps what a connection asked through, two queues of 4 KiB and more, as long as both the
 * connection and the socket that was asked are there: with many workers, most of what keys cost.
 * Another socket takes over when nobody asks; whoever did so in between is hung up on, and comes
 * again. The old one answers what it was asked until then. False: there is none now. */
static bool renew(struct zap *zap)
{
	void *fresh = open_socket();
	zap->answers = 0;
	if (!fresh || zmq_unbind(zap->socket, ENDPOINT) != 0) {
		if (fresh)
			zmq_close(fresh);
		return true;
	}
	if (zap->old)
		zmq_close(zap->old);
	zap->old = zap->socket;
	zap->socket = fresh;
	zap->renewals++;
	return zmq_bind(fresh, ENDPOINT) == 0;
}

/* Nobody has asked for a while. */
static bool rest(struct zap *zap)
{
	if (zap->answers >= RENEW_ANSWERS)
		return renew(zap);
	if (zap->old)
		zmq_close(zap->old);
	zap->old = NULL;
	return true;
}

/* However the thread ends. */
static void say_end(void *context)
{
	struct zap *zap = context;
	zmq_close(zap->socket);
	if (zap->old)
		zmq_close(zap->old);
	close_fd(&zap->ended);
}

static void serve(struct zap *zap)
{
	bool going = true;
	while (going) {
		zmq_pollitem_t items[] = { { .fd = zap->stop[0], .events = ZMQ_POLLIN },
			                   { .socket = zap->socket, .events = ZMQ_POLLIN },
			                   { .socket = zap->old, .events = ZMQ_POLLIN } };
		bool waits = zap->old || zap->answers >= RENEW_ANSWERS;
		int ready = zmq_poll(items, zap->old ? 3 : 2, waits ? REST_MS : -1);
		if (ready < 0)
			going = errno == EINTR;
		else if (items[0].revents)
			going = false;
		else if (ready == 0)
			going = rest(zap);
		for (int i = 1; going && i < 3; i++)
			if (items[i].revents)
				going = answer(zap, items[i].socket);
	}
}

static void *run(void *context)
{
	struct zap *zap = context;
	pthread_cleanup_push(say_end, zap);
	serve(zap);
	pthread_cleanup_pop(true);
	return NULL;
}

/* The thread hears no signal: it would end calls of libzmq in the middle. */
static int start_thread(struct zap *zap)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int number = pthread_create(&zap->thread, NULL, run, zap);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return number;
}

static enum err open_ends(struct zap *zap)
{
	int pair[2];
	zap->stop[0] = zap->stop[1] = zap->end = zap->ended = -1;
	if (pipe2(zap->stop, O_CLOEXEC) != 0 || pipe2(pair, O_CLOEXEC) != 0)
		return fail(ERR_SYSTEM, "pipe: %s", strerror(errno));
	zap->end = pair[0];
	zap->ended = pair[1];
	return OK;
}

enum err zap_start(struct zap *zap)
{
	enum err err = open_ends(zap);
	pthread_mutex_init(&zap->lock, NULL);
	zap->rates = rates_new();
	zap->running = true; /* what there is, zap_stop() closes */
	if (err)
		return err;
	zap->socket = open_socket();
	if (!zap->socket || zmq_bind(zap->socket, ENDPOINT) != 0)
		return fail(ERR_SYSTEM, "handler of keys: %s", zmq_strerror(errno));
	int number = start_thread(zap);
	if (number == 0)
		return OK;
	zap->thread = 0;
	return fail(ERR_SYSTEM, "handler of keys: %s", strerror(number));
}

void zap_stop(struct zap *zap)
{
	if (!zap->running)
		return;
	close_fd(&zap->stop[1]);
	if (zap->thread)
		pthread_join(zap->thread, NULL);
	else if (zap->socket)
		zmq_close(zap->socket);
	close_fd(&zap->stop[0]);
	close_fd(&zap->ended);
	close_fd(&zap->end);
	pthread_mutex_destroy(&zap->lock);
	rates_destroy(&zap->rates);
	zap->running = false;
}
