/* The two clocks. Decisions use the monotonic one only; the wall clock is for people. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t clock_mono_ms(void);

/* Its microseconds. */
int64_t clock_mono_us(void);

/* Milliseconds since 1970-01-01 UTC. */
int64_t clock_wall_ms(void);

enum { CLOCK_TEXT_SIZE = 32 };

/* RFC 3339 in UTC with milliseconds, "2026-11-23T12:57:11.042Z"; "" for 0. Returns `ret_text`. */
const char *clock_text(int64_t wall_ms, char ret_text[CLOCK_TEXT_SIZE]);

/* A duration for people: "850ms", "4.2s", "3m 20s", "2h 5m", "3d 4h". Returns `ret_text`. */
const char *clock_duration_text(int64_t duration_ms, char ret_text[CLOCK_TEXT_SIZE]);

/* Does something keep the wall clock of this machine right? */
bool clock_is_kept(void);
