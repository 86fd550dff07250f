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
	char *slash;

	(void) argc;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 ||
	    (slash = strrchr(self, '/')) == NULL)
	{
		perror("/proc/self/exe");
		return 127;
	}
	snprintf(server, sizeof(server), "%.*s/stock/postgres", (int) (slash - self), self);
	setenv("LD_PRELOAD", PRELOAD, 1);
	argv[0] = self;
	execv(server, argv);
	perror(server);
	return 127;
}
