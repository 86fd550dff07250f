/*
 * child.h
 *		Runs a check in a forked child, for what would spoil the test process:
 *		limits, privileges, dumpability, a started heap.
 *
 * A child leaves by _exit(), so that no report or leak check of a sanitizer
 * runs in it at exit; what it finds before is still fatal.
 */
#ifndef SDES_TEST_CHILD_H
#define SDES_TEST_CHILD_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static bool
child_passes(bool (*check)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(check() ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

#endif
