/* Rows of lanes: see board.h. */
#include "broker/core/state.h"

#include <stdlib.h>

/* The last one takes the place of one that goes. */
static void remove_row(struct board *board, struct lane *lane)
{
	struct board_row *row = &board->rows[lane->row - 1];
	*row = board->rows[--board->count];
	row->lane->row = lane->row;
	lane->row = 0;
}

void board_note(struct board *board, struct lane *lane)
{
	if (lane->count == 0) {
		remove_row(board, lane);
		return;
	}
	if (!lane->row) {
		memory_reserve((void **)&board->rows, &board->capacity, board->count + 1,
		               sizeof *board->rows);
		lane->row = (uint32_t)++board->count;
	}
	board->rows[lane->row - 1] = (struct board_row){ .lane = lane,
		                                         .count = lane->count,
		                                         .first_id = lane->first_id,
		                                         .first_ms = lane->first_ms };
}

void board_finish(struct board *board)
{
	free(board->rows);
}
