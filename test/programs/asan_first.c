/*
 * asan_first.c
 *     Preloaded into a server under sanitizers (test/asan.sh), before all else.
 *
 * AddressSanitizer must be ready before p11-kit's constructor runs, which calls functions
 * that it intercepts: only a library's "initfirst" sees to that. And sanitizers read their
 * options from /proc/self/environ, which the kernel denies to processes that cannot be
 * looked into, as ours: here they get them as their defaults.
 *
 * UndefinedBehaviorSanitizer cannot be told a file for its reports beside the other one,
 * whose function of that name it calls. It tells us, and writes the whole to stderr.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void __asan_init(void);
extern const char *__asan_default_options(void);
extern const char *__ubsan_default_options(void);
extern void __ubsan_on_report(void);
extern void __ubsan_get_current_report_data(const char **kind, const char **message,
                                            const char **file, unsigned *line,
                                            unsigned *column, char **address)
    __attribute__((weak));

/* Copies: the server writes its processes' titles over its environment. */
static char asan_options[1024];
static char ubsan_options[1024];

const char *
__asan_default_options(void)
{
	return asan_options;
}

const char *
__ubsan_default_options(void)
{
	return ubsan_options;
}

void
__ubsan_on_report(void)
{
	const char *folder = getenv("SDES_ASAN_REPORTS");
	const char *kind;
	const char *message;
	const char *file;
	unsigned line;
	unsigned column;
	char *address;
	char path[1024];
	int fd;

	__ubsan_get_current_report_data(&kind, &message, &file, &line, &column, &address);
	snprintf(path, sizeof(path), "%s/ubsan.%d", folder != NULL ? folder : ".",
	         (int) getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	dprintf(fd, "%s:%u:%u: runtime error: %s\n", file, line, column, message);
	close(fd);
}

/* Takes what comes after the name in an entry of the environment, if it is that one. */
static void
take(char *options, size_t size, const char *entry, const char *name)
{
	size_t n = 0;

	while (*name != '\0' && *entry == *name)
	{
		entry++;
		name++;
	}
	if (*name != '\0')
		return;
	for (; n < size - 1 && entry[n] != '\0'; n++)
		options[n] = entry[n];
	options[n] = '\0';
}

/* Nothing of libc may be called here: it is not ready either. */
__attribute__((constructor)) static void
begin(int argc, char **argv, char **environment)
{
	(void) argc;
	(void) argv;
	for (; *environment != NULL; environment++)
	{
		take(asan_options, sizeof(asan_options), *environment, "ASAN_OPTIONS=");
		take(ubsan_options, sizeof(ubsan_options), *environment, "UBSAN_OPTIONS=");
	}
	__asan_init();
}
