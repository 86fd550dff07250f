/*
 * asan_postgres.c
 *     Becomes the server in the folder "stock" beside it, with PRELOAD preloaded.
 *
 * The server finds its folders by its first argument: there it is told our path.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	char self[PATH_MAX] = "";
	char server[PATH_MAX];
	char preload[2 * PATH_MAX];
	const char *more = getenv("LD_PRELOAD"); /* a test's own library */
	char *slash;

	(void) argc;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 ||
	    (slash = strrchr(self, '/')) == NULL)
	{
		perror("/proc/self/exe");
		return 127;
	}
	snprintf(server, sizeof(server), "%.*s/stock/postgres", (int) (slash - self), self);
	snprintf(preload, sizeof(preload), "%s:%s", PRELOAD, more != NULL ? more : "");
	setenv("LD_PRELOAD", preload, 1);
	argv[0] = self;
	execv(server, argv);
	perror(server);
	return 127;
}
