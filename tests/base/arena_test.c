/* Memory that is freed all at once, memory that cannot fail, and the two clocks. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/scoped.h"

#include <criterion/criterion.h>
#include <stdalign.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_zero(const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (data[i])
			return false;
	return true;
}

Test(arena, memory_is_zeroed_aligned_and_its_own)
{
	scoped(arena_finish) struct arena arena = { 0 };
	char *pieces[300];
	for (size_t i = 0; i < 300; i++) {
		pieces[i] = arena_new(&arena, i * 7);
		cr_assert(is_zero(pieces[i], i * 7));
		cr_assert_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
		memset(pieces[i], (int)i, i * 7);
	}
	for (size_t i = 1; i < 300; i++)
		cr_assert(pieces[i][0] == (char)i && pieces[i][i * 7 - 1] == (char)i);
}

Test(arena, memory_is_zeroed_again_after_a_reset)
{
	scoped(arena_finish) struct arena arena = { 0 };
	for (int round = 0; round < 3; round++) {
		char *small = arena_new(&arena, 100), *large = arena_new(&arena, 100000);
		cr_assert(is_zero(small, 100) && is_zero(large, 100000));
		memset(small, 1, 100);
		memset(large, 1, 100000);
		arena_reset(&arena);
	}
}

/* All of it comes again, zeroed, and what is larger than that is found, too. */
Test(arena, memory_that_was_rewound_is_used_again)
{
	scoped(arena_finish) struct arena arena = { 0 };
	char *first = NULL;
	for (int round = 0; round < 3; round++) {
		char *again = arena_new(&arena, 3000);
		cr_assert(is_zero(again, 3000));
		memset(again, 1, 3000);
		cr_assert(round == 0 || again == first, "another block");
		for (int i = 0; i < 50; i++)
			memset(arena_new(&arena, 3000), 1, 3000);
		first = again;
		arena_rewind(&arena);
	}
	cr_assert(is_zero(arena_new(&arena, 1000000), 1000000));
	arena_rewind(&arena);
	arena_reset(&arena);
	cr_assert(is_zero(arena_new(&arena, 100), 100));
}

Test(arena, copies_end_with_nul)
{
	scoped(arena_finish) struct arena arena = { 0 };
	cr_assert_str_eq(arena_copy(&arena, "abcdef", 3), "abc");
	cr_assert_str_eq(arena_copy(&arena, NULL, 0), "");
	cr_assert_str_eq(arena_copy_text(&arena, "text"), "text");
	cr_assert_null(arena_copy_text(&arena, NULL));
}

Test(arena, nothing_at_all_is_fine)
{
	struct arena arena = { 0 };
	arena_reset(&arena);
	arena_finish(&arena);
	cr_assert_not_null(arena_new(&arena, 0));
	arena_finish(&arena);
	arena_finish(&arena);
}

Test(memory, an_array_grows_and_keeps_its_items)
{
	int *items = NULL;
	size_t capacity = 0;
	for (size_t i = 0; i < 1000; i++) {
		memory_reserve((void **)&items, &capacity, i + 1, sizeof *items);
		items[i] = (int)i;
	}
	cr_assert_geq(capacity, 1000);
	cr_assert_eq(items[0], 0);
	cr_assert_eq(items[999], 999);
	free(items);
}

Test(memory, impossible_amounts_end_the_process_with_one_line)
{
	char said[256] = "";
	int ends[2], status;
	cr_assert_eq(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		char *items = NULL;
		size_t capacity = 0;
		dup2(ends[1], STDERR_FILENO);
		memory_reserve((void **)&items, &capacity, SIZE_MAX / 2, 16);
		_exit(0);
	}
	close(ends[1]);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 5, "%d", status);
	ssize_t size = read(ends[0], said, sizeof said - 1);
	cr_assert_gt(size, 1);
	cr_expect_eq(strchr(said, '\n'), said + size - 1, "%s", said);
	cr_expect(strstr(said, "memory"), "%s", said);
	close(ends[0]);
}

Test(clock, monotonic_time_does_not_go_back)
{
	int64_t before = clock_mono_ms();
	for (int i = 0; i < 1000; i++) {
		int64_t now = clock_mono_ms();
		cr_assert_geq(now, before);
		before = now;
	}
	cr_assert_gt(clock_wall_ms(), INT64_C(1600000000000));
}

static void time_reads(int64_t wall_ms, const char *wanted)
{
	char text[CLOCK_TEXT_SIZE];
	cr_assert_str_eq(clock_text(wall_ms, text), wanted);
}

Test(clock, times_are_rfc_3339_in_utc)
{
	time_reads(0, "");
	time_reads(-1, "");
	time_reads(1, "1970-01-01T00:00:00.001Z");
	time_reads(INT64_C(1709164800042), "2024-02-29T00:00:00.042Z");
}

static void duration_reads(int64_t ms, const char *wanted)
{
	char text[CLOCK_TEXT_SIZE];
	cr_assert_str_eq(clock_duration_text(ms, text), wanted);
}

Test(clock, durations_are_for_people)
{
	duration_reads(-5, "0ms");
	duration_reads(850, "850ms");
	duration_reads(3000, "3s");
	duration_reads(4250, "4.2s");
	duration_reads(600000, "10m");
	duration_reads(200000, "3m 20s");
	duration_reads(7500000, "2h 5m");
	duration_reads(273600000, "3d 4h");
	char text[CLOCK_TEXT_SIZE];
	cr_assert_lt(strlen(clock_duration_text(INT64_MAX, text)), (size_t)CLOCK_TEXT_SIZE);
}
