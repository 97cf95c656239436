/* What `fettle status` reads of each lane with jobs, side by side. There may be thousands of them,
 * and memory that nobody touched for a while is slow: rows of all lie in a few pages, the lanes
 * themselves in as many as there are. Rows are copies; lane.c writes them, core_check() compares.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct lane;

/* In no order. */
struct board {
	struct board_row {
		struct lane *lane;
		uint64_t count;    /* its jobs, at least one */
		uint64_t first_id; /* of the oldest, */
		int64_t first_ms;  /* since when that is queued */
	} * rows;
	size_t count, capacity;
};

/* A lane has other jobs than before: write its row, or remove it when there are none. */
void board_note(struct board *board, struct lane *lane);

void board_finish(struct board *board);
