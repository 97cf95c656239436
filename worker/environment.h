/* What the steps of a job find in their environment. */
#pragma once

#include "base/text.h"
#include "proto/message.h"

/* Rows "NAME=value" for execve(2), with the NULL that ends them. Nothing of the worker's own
 * environment is in it but the search path and the language. */
void environment_make(const struct msg_offer *offer, const struct rec_orders *orders,
                      const char *folder, struct text_list *env);
