/* The observer's sockets to the broker: questions on the admin door, updates on the updates door,
 * both sent when the connection is there; what waits is bounded. And the broker's events, which
 * hint that what we watch has changed. */
#pragma once

#include "observer/core/watch.h"
#include "proto/address.h"
#include "proto/handshake.h"
#include "proto/wire.h"

/* Zero is closed. */
struct door_keeper {
	const struct addresses *broker; /* borrowed */
	struct wire_socket *admin;
	struct handshake handshake; /* of it */
	bool told;                  /* what is wrong with that, since it was well */
	struct wire_socket *updates;
	struct wire_socket *events;

	/* The one question under way. */
	enum observer_question asked;
	size_t repository;
	uint64_t id;
	struct text question; /* packed parameters */
	const char *method;
	bool unsent;

	/* Updates that wait for the connection, oldest first. */
	struct message *waiting;
	size_t waiting_count;
	size_t waiting_capacity;
};

/* Connect to the first of these addresses, which must outlive the door. */
enum err door_open(struct door_keeper *door, const struct addresses *broker);
void door_close(struct door_keeper *door);

/* New sockets, all of them to one address of the broker; the question and the waiting updates are
 * forgotten. */
void door_reset(struct door_keeper *door, size_t place);

void door_ask_status(struct door_keeper *door);
void door_ask_marks(struct door_keeper *door, size_t repository, const char *name,
                    const char *after);
void door_ask_report(struct door_keeper *door, const struct rec_report_params *report);
void door_ask_declare(struct door_keeper *door, const struct rec_declare_params *declare);
void door_ask_watch(struct door_keeper *door, const struct rec_watch_params *watch);
void door_push(struct door_keeper *door, const struct message *update);

/* Send what can be sent now. */
void door_flush(struct door_keeper *door);

/* What to wait for. */
enum { DOOR_ITEMS = 3 };
void door_poll_items(struct door_keeper *door, zmq_pollitem_t items[DOOR_ITEMS]);

/* Take the events that came. True when one of them hints at what we watch. */
bool door_hears_hint(struct door_keeper *door);

/* An answer as an event that borrows from it. */
struct door_answer {
	struct observer_event event;
	struct message message;
	struct rec_marks_result marks;
	struct rec_status_result status;
	struct rec_watch_result watch;
	struct arena arena;
};

/* The next answer to the question under way; false when there is none. Others are dropped. */
bool door_receive(struct door_keeper *door, struct door_answer *ret_answer);
void door_answer_finish(struct door_answer *answer);
