/*
 * log.c
 *		Lines for the log, and the monotonic clock.
 *
 * A line is one write(2), so that lines of threads do not mix. It begins like
 * the server's own, with time and process, since it goes to the same log.
 */
#include "agent/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_SIZE 1024

/* Time, process and name; returns the length. */
static size_t
begin_line(char line[LINE_MAX_SIZE])
{
	struct timespec now;
	struct tm utc;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	used = strftime(line, LINE_MAX_SIZE, "%Y-%m-%d %H:%M:%S", &utc);
	used += (size_t) snprintf(line + used, LINE_MAX_SIZE - used,
	                          ".%03ld UTC [%d] LOG:  sdes_agent: ", now.tv_nsec / 1000000,
	                          (int) getpid());
	return used;
}

void
sdes_agent_log(const char *format, ...)
{
	char line[LINE_MAX_SIZE];
	size_t used = begin_line(line);
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line + used, sizeof(line) - used, format, args);
	va_end(args);
	if (n > 0)
		used += (size_t) n < sizeof(line) - used ? (size_t) n : sizeof(line) - used - 1;
	line[used++] = '\n';
	/* A log that cannot be written must not stop the agent. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}

int64_t
sdes_agent_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
