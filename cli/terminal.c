/* Control sequences as xterm and those after it have them: 1049 is the other screen, 25 the cursor,
 * 7 the wrapping of lines. */
#include "cli/terminal.h"

#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { WIDTH_USUAL = 80, HEIGHT_USUAL = 24, ESCAPE = 0x1b };

static void say(const char *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(STDOUT_FILENO, data, size);
		if (written < 0 && errno != EINTR)
			return; /* it is gone; terminal_next() says so */
		if (written > 0) {
			data += written;
			size -= (size_t)written;
		}
	}
}

/* Keys come at once and are not shown. Ctrl-C and Ctrl-Z stay signals, Ctrl-S would stop us. */
static void enter(struct terminal *terminal)
{
	static const char start[] = "\033[?1049h\033[?25l\033[?7l\033[2J";
	struct termios ours = terminal->before;
	ours.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
	ours.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	ours.c_cc[VMIN] = 1;
	ours.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &ours);
	if (!terminal->entered)
		say(start, sizeof start - 1);
	terminal->entered = true;
}

static void leave(struct terminal *terminal)
{
	static const char end[] = "\033[0m\033[?7h\033[?25h\033[?1049l";
	if (!terminal->entered)
		return;
	say(end, sizeof end - 1);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
	terminal->entered = false;
}

static bool add_wake(const struct terminal *terminal, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	return fd >= 0 && epoll_ctl(terminal->wake, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool open_descriptors(struct terminal *terminal)
{
	static const struct itimerspec second = { { 1, 0 }, { 1, 0 } };
	sigset_t hangup, handled;
	sigemptyset(&hangup);
	sigaddset(&hangup, SIGHUP);
	sigprocmask(SIG_BLOCK, &hangup, NULL); /* it is no sudden death: it ends a wait */
	sigemptyset(&handled);
	sigaddset(&handled, SIGWINCH);
	sigaddset(&handled, SIGTSTP);
	sigaddset(&handled, SIGCONT);
	sigaddset(&handled, SIGQUIT);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	terminal->signals = signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
	terminal->ticks = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	terminal->wake = epoll_create1(EPOLL_CLOEXEC);
	return timerfd_settime(terminal->ticks, 0, &second, NULL) == 0 &&
	       add_wake(terminal, terminal->signals) && add_wake(terminal, terminal->ticks) &&
	       add_wake(terminal, STDIN_FILENO);
}

enum err terminal_open(struct terminal *terminal)
{
	const char *term = getenv("TERM");
	*terminal = (struct terminal){ 0 };
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return fail(ERR_USAGE, "stdin and stdout must be a terminal (or use --once)");
	if (!term || !*term || strcmp(term, "dumb") == 0)
		return fail(ERR_USAGE, "TERM names no terminal that can be drawn on (use --once)");
	if (tcgetattr(STDIN_FILENO, &terminal->before) < 0)
		return fail(ERR_SYSTEM, "the terminal's mode: %s", strerror(errno));
	terminal->opened = true;
	if (!open_descriptors(terminal)) {
		int reason = errno;
		terminal_close(terminal);
		return fail(ERR_SYSTEM, "watching the terminal: %s", strerror(reason));
	}
	enter(terminal);
	return OK;
}

void terminal_close(struct terminal *terminal)
{
	leave(terminal);
	if (!terminal->opened)
		return;
	close(terminal->wake);
	close(terminal->ticks);
	close(terminal->signals);
	terminal->opened = false;
}

/* Until the user's shell has us go on: SIGCONT comes then. */
static void stop(struct terminal *terminal)
{
	leave(terminal);
	kill(getpid(), SIGSTOP);
}

static enum terminal_news obey(struct terminal *terminal, uint32_t number)
{
	switch (number) {
	case SIGTSTP: stop(terminal); return TERMINAL_NOTHING;
	case SIGCONT: enter(terminal); return TERMINAL_REDRAW;
	case SIGWINCH: return TERMINAL_REDRAW;
	default: return TERMINAL_GONE;
	}
}

/* What a key of several bytes sends begins with an escape, and means nothing here. */
static enum terminal_news read_key(char *ret_key)
{
	struct pollfd keys = { .fd = STDIN_FILENO, .events = POLLIN };
	char typed[64];
	if (poll(&keys, 1, 0) <= 0)
		return TERMINAL_NOTHING;
	ssize_t size = keys.revents & POLLIN ? read(STDIN_FILENO, typed, sizeof typed) : 0;
	if (size <= 0)
		return TERMINAL_GONE;
	*ret_key = *typed;
	return *typed == ESCAPE ? TERMINAL_NOTHING : TERMINAL_KEY;
}

enum terminal_news terminal_next(struct terminal *terminal, char *ret_key)
{
	struct signalfd_siginfo info;
	uint64_t passed;
	if (read(terminal->signals, &info, sizeof info) == sizeof info)
		return obey(terminal, info.ssi_signo);
	if (read(terminal->ticks, &passed, sizeof passed) == sizeof passed)
		return TERMINAL_REDRAW;
	return read_key(ret_key);
}

void terminal_size(size_t *ret_width, size_t *ret_height)
{
	struct winsize size = { 0 };
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	*ret_width = size.ws_col ? size.ws_col : WIDTH_USUAL;
	*ret_height = size.ws_row ? size.ws_row : HEIGHT_USUAL;
}

/* A line is wiped before it is written: in its last column the cursor stays on what it wrote. */
void terminal_draw(const char *lines)
{
	struct text out = { 0 };
	text_add(&out, "\033[H\033[K");
	for (const char *at = lines; *at;) {
		size_t size = strcspn(at, "\n");
		text_add_bytes(&out, at, size);
		at += size;
		if (*at == '\n' && *++at)
			text_add(&out, "\r\n\033[K");
	}
	say(out.data, out.size);
	text_finish(&out);
}
