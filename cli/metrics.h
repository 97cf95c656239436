/* The broker's figures in the text format of Prometheus. */
#pragma once

#include "base/text.h"
#include "proto/message.h"

void metrics_add(struct text *out, const struct rec_status_result *status);
