/* The two clocks, and how times are written. */
#include "base/clock.h"

#include "base/plant.h"

#include <stdio.h>
#include <sys/timex.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
	struct timespec now;
	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
	return read_us(PLANTED(wall_clock) ? CLOCK_REALTIME : CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t clock_wall_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
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

/* "4.2s", "3m 20s": two units at most, and none that is zero. */
const char *clock_duration_text(int64_t duration_ms, char ret_text[CLOCK_TEXT_SIZE])
{
	static const struct {
		long long s;
		char unit;
	} units[] = { { 1, 's' }, { 60, 'm' }, { 3600, 'h' }, { 86400, 'd' } };
	long long ms = duration_ms < 0 ? 0 : duration_ms, s = ms / 1000;
	size_t i = s < 60 ? 0 : s < 3600 ? 1 : s < 86400 ? 2 : 3;
	long long rest = i ? s % units[i].s / units[i - 1].s : 0;
	if (ms < 1000)
		snprintf(ret_text, CLOCK_TEXT_SIZE, "%lldms", ms);
	else if (i == 0 && ms % 1000 >= 100)
		snprintf(ret_text, CLOCK_TEXT_SIZE, "%lld.%llds", s, ms % 1000 / 100);
	else if (rest)
		snprintf(ret_text, CLOCK_TEXT_SIZE, "%lld%c %lld%c", s / units[i].s, units[i].unit,
		         rest, units[i - 1].unit);
	else
		snprintf(ret_text, CLOCK_TEXT_SIZE, "%lld%c", s / units[i].s, units[i].unit);
	return ret_text;
}

bool clock_is_kept(void)
{
	struct timex clock = { 0 };
	int state = adjtimex(&clock);
	return state >= 0 && state != TIME_ERROR;
}
