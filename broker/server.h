/* The broker's shell: sockets to events, effects to sockets. It decides nothing. */
#pragma once

#include "base/reload.h"
#include "base/service.h"
#include "base/spin.h"
#include "broker/core/gather.h"
#include "broker/core/held.h"
#include "broker/gate.h"
#include "broker/settings.h"
#include "broker/store.h"
#include "proto/address.h"

/* A repository as its observer last told it; memory only, the next report brings it back. */
struct watched_entry;

struct server {
	const struct broker_settings *settings;
	struct reload *reload; /* of them */
	struct core *core;
	struct watchlist *watchlist; /* server_open() makes an empty one when there is none */
	struct ledger *ledger;       /* likewise */
	struct store *store;
	struct gate *gate;               /* keys at the TCP doors; NULL: there are none */
	const struct allowed_key *asker; /* of the message at hand; NULL: nobody to be judged */
	int64_t keys_look_ms;            /* when the table is looked at again */
	struct server_door {
		char *endpoint;      /* over TCP; NULL: none */
		int64_t mend_ms;     /* when that is bound again; 0: it is */
		unsigned mend_tries; /* that failed since */
	} doors[DOOR_COUNT];
	uint64_t handshakes_refused, handshakes_too_often;
	struct wire_socket *workers, *updates, *admin, *events;
	int signals;
	int64_t now_ms; /* monotonic, read once per turn */
	int64_t started_ms;
	struct service service; /* who started us, and hears whether we live */

	struct effects effects;
	struct batch *filling;    /* what the next transaction will hold */
	struct gather gather;     /* what that waits for */
	struct held held;         /* offers that wait for their workers */
	struct spin spin;         /* until the store has saved */
	struct batch *spare;      /* empty; NULL: none */
	struct batch *saving;     /* with the store, or stuck; NULL: none. Only to be read */
	struct store_task *stuck; /* the batch that found the disk full */
	int64_t retry_ms;         /* when it is tried again */
	int64_t disk_look_ms;     /* when the disk is looked at again */
	uint32_t lookups;         /* updates that wait for an answer of the store */
	uint32_t questions;       /* admin requests that do */
	uint32_t picks;           /* of these, before a change or an answer of the core */

	bool collecting;                     /* the store is at it */
	struct store_task *asked_to_collect; /* somebody's request, until it may begin */
	int64_t collect_ms;                  /* when the store collects of itself, */
	uint64_t collect_after;              /* and from where on */
	bool collect_anew;                   /* the limits are others since a round began */

	uint64_t refused; /* messages, connections, and handshakes */
	uint64_t connections_refused, connections_taken;
	int64_t trim_ms;           /* when unused memory is given back; 0: never */
	int64_t refusal_logged_ms; /* last one that was logged */
	struct watched_entry *watched;
	bool stopping;
};

/* A list for server->watchlist, newer than any before. */
struct watchlist *server_new_watchlist(void);

/* Bind every door; ipc sockets lie in the state folder, `tcp` is NULL for none. */
enum err server_open(struct server *server, const struct address *ipc, const struct address *tcp);

/* Serve until a signal asks to stop; OK then. */
enum err server_run(struct server *server);

void server_close(struct server *server);

/* Count a message that had no effect, and say so at most once a second. */
void server_note_refusal(struct server *server, const char *door, const char *reason);

/* Hand on what a core decided. */
void server_take_effects(struct server *server);

/* ---- doors.c ---- */
/* Bind every door; with a gate, TCP asks for keys and was tried before anybody can reach it. */
enum err server_bind(struct server *server, const struct address *ipc, const struct address *tcp);
/* Once a heartbeat, or now: who is not allowed any more loses the events. */
void server_look_at_keys(struct server *server, bool force);

/* Tell of connections that were refused, and give back what those that are gone took. Each turn. */
void server_note_connections(struct server *server);
int64_t server_keys_ms(const struct server *server);

/* ---- tell.c ---- */
void server_log_effect(const struct effect *effect);
/* The story of a job, for the operator's log. */
void server_log_event(const struct msg_event *event);
/* Everything a batch saved is durable: tell it, unless that was done. The store may still be at its
 * rows. */
void server_release(struct server *server, struct batch *batch);

/* ---- collect.c ---- */
/* Have the store collect, if it is time and nothing that was picked is on its way to it. */
void server_collect(struct server *server);
/* Soon, from the start: what is kept changed. */
void server_collect_anew(struct server *server);

int64_t server_collect_ms(const struct server *server);
void server_collected(struct server *server, struct store_task *task);

/* ---- disk.c ---- */
/* Bytes free where the store lies, for those who are not root. */
enum err server_disk_free(const struct server *server, uint64_t *ret_bytes);
/* Tell the core, and say when there is less than there should be; `disk_look_ms` is next time. */
void server_look_at_disk(struct server *server);

/* ---- signals.c ---- */
/* Do what those that arrived ask for. */
void server_hear_signals(struct server *server);

/* ---- admin.c ---- */
void admin_receive(struct server *server, const struct peer *peer, struct message *message);
void admin_answer(struct server *server, struct store_task *task);
void admin_finish(struct server *server);
