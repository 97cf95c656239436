/* What this machine and the worker's settings allow to hold jobs with: found out once, when the
 * worker starts. */
#pragma once

#include "base/error.h"
#include "proto/message.h"
#include "worker/contain/cgroup.h"

#include <stdbool.h>
#include <sys/types.h>

struct worker_settings;

enum { CONTAINMENT_WHY_SIZE = 400 };

struct containment {
	struct cgroup_folders cgroup;
	bool sandbox;
	uid_t first_uid; /* of the slots' users; 0: jobs run as the worker's user */
	int users;       /* holds their range */
	/* Why there is none of these; "" when there is. */
	char why_no_cgroup[CONTAINMENT_WHY_SIZE];
	char why_no_sandbox[CONTAINMENT_WHY_SIZE];
	char why_no_users[CONTAINMENT_WHY_SIZE];
};

/* Find out. An error when the settings ask for something that is not there, or when jobs would run
 * as root without the settings saying so. What was found is there in any case. Without an instance
 * nothing is taken: for a look. */
enum err containment_open(struct containment *containment, const struct worker_settings *settings,
                          const char *instance);

/* Zero is none. */
void containment_close(struct containment *containment);

/* Add the labels that say what there is. */
void containment_add_labels(const struct containment *containment, struct text_list *labels);

/* Fill in the orders of a job in orders->slot. Borrows from both. */
void containment_order(const struct containment *containment,
                       const struct worker_settings *settings, struct rec_orders *orders);
