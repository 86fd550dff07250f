/*
 * log.c
 *		Lines for the log, and the monotonic clock.
 *
 * A line is one write(2), so that lines of threads do not mix.
 */
#include "agent/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_SIZE 1024

void
sdes_agent_log(const char *format, ...)
{
	static const char name[] = "sdes_agent: ";
	char line[LINE_MAX_SIZE];
	size_t used = sizeof(name) - 1;
	va_list args;
	int n;

	memcpy(line, name, used);
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
