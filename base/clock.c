/* The two clocks, and how times are written. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec now;
	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_mono_ms(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

const char *clock_text(int64_t wall_ms, char ret_text[CLOCK_TEXT_SIZE])
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm utc;
	ret_text[0] = 0;
	if (wall_ms <= 0 || !gmtime_r(&seconds, &utc))
		return ret_text;
	size_t used = strftime(ret_text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(ret_text + used, CLOCK_TEXT_SIZE - used, ".%03dZ", (int)(wall_ms % 1000));
	return ret_text;
}

const char *clock_duration_text(int64_t duration_ms, char ret_text[CLOCK_TEXT_SIZE])
{
	long long ms = duration_ms < 0 ? 0 : duration_ms;
	long long s = ms / 1000;
	if (ms < 1000)
		snprintf(ret_text, CLOCK_TEXT_SIZE, "%lldms", ms);
	else if (s < 60)
		snprintf(ret_text, CLOCK_TEXT_SIZE, "%lld.%llds", s, ms % 1000 / 100);
	else if (s < 3600)
		snprintf(ret_text, CLOCK_TEXT_SIZE, "%lldm %llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(ret_text, CLOCK_TEXT_SIZE, "%lldh %lldm", s / 3600, s % 3600 / 60);
	else
		snprintf(ret_text, CLOCK_TEXT_SIZE, "%lldd %lldh", s / 86400, s % 86400 / 3600);
	return ret_text;
}
