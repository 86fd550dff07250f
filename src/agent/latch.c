/*
 * latch.c
 *		The latch's file: written whole or not at all.
 *
 *		sdes pin latch 1
 *		trying | refused
 *		token <serial>
 *		<identity of the source>
 */
#include "agent/latch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LATCH_FILE     "pin_latch"
#define LATCH_NEW_FILE "pin_latch.new"
#define LATCH_HEADER   "sdes pin latch 1\n"
#define LATCH_SIZE     (SDES_LATCH_KEY_SIZE + 64)

static const char *
state_word(SdesLatchState state)
{
	return state == SDES_LATCH_TRYING ? "trying\n" : "refused\n";
}

void
sdes_latch_key(const char *serial, const char *identity, char out[SDES_LATCH_KEY_SIZE])
{
	snprintf(out, SDES_LATCH_KEY_SIZE, "token %s\n%s\n", serial, identity);
}

static int
open_directory(const char *directory)
{
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Reads the file as a string; -1 with errno when that is not possible. */
static ssize_t
read_latch(const char *directory, char out[LATCH_SIZE])
{
	int dir = open_directory(directory);
	int fd = dir < 0
	             ? -1
	             : openat(dir, LATCH_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, out, LATCH_SIZE - 1);
	int saved = errno;

	if (n >= 0)
		out[n] = '\0';
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	errno = saved;
	return n;
}

/* The part of text after prefix, NULL when it does not begin with it. */
static const char *
after_prefix(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

/* Whether two keys begin with the same line, which names the token. */
static bool
same_token(const char *a, const char *b)
{
	size_t line = strcspn(a, "\n");

	return strncmp(a, b, line + 1) == 0;
}

SdesLatchState
sdes_latch_read(const char *directory, const char *key)
{
	char text[LATCH_SIZE];
	SdesLatchState state = SDES_LATCH_REFUSED;
	const char *at, *rest;

	if (read_latch(directory, text) < 0)
		return errno == ENOENT ? SDES_LATCH_CLEAR : SDES_LATCH_UNREADABLE;
	at = after_prefix(text, LATCH_HEADER);
	if (at == NULL)
		return SDES_LATCH_UNREADABLE;
	rest = after_prefix(at, state_word(SDES_LATCH_REFUSED));
	if (rest == NULL)
	{
		state = SDES_LATCH_TRYING;
		rest = after_prefix(at, state_word(SDES_LATCH_TRYING));
	}
	if (rest == NULL || after_prefix(rest, "token ") == NULL)
		return SDES_LATCH_UNREADABLE;
	if (strcmp(rest, key) == 0)
		return state;
	return state == SDES_LATCH_REFUSED && same_token(rest, key) ? SDES_LATCH_CHANGED
	                                                            : SDES_LATCH_CLEAR;
}

static SdesStatus
latch_failed(SdesHsmFault *fault, const char *directory)
{
	return sdes_hsm_fault(fault, SDES_ERR_HSM,
	                      "no login, since the PIN latch in \"%.150s\" cannot be kept: %s",
	                      directory, strerror(errno));
}

static bool
write_new(int dir, const char *text)
{
	int fd =
	    openat(dir, LATCH_NEW_FILE,
	           O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	size_t size = strlen(text);
	ssize_t n;
	bool done;

	if (fd < 0)
		return false;
	n = write(fd, text, size);
	if (n >= 0 && (size_t) n < size)
		errno = ENOSPC;
	done = n == (ssize_t) size && fsync(fd) == 0;
	return close(fd) == 0 && done;
}

SdesStatus
sdes_latch_write(const char *directory, SdesLatchState state, const char *key,
                 SdesHsmFault *fault)
{
	char text[LATCH_SIZE];
	int dir = open_directory(directory);
	bool done;

	if (dir < 0)
		return latch_failed(fault, directory);
	snprintf(text, sizeof(text), "%s%s%s", LATCH_HEADER, state_word(state), key);
	done = write_new(dir, text) && renameat(dir, LATCH_NEW_FILE, dir, LATCH_FILE) == 0 &&
	       fsync(dir) == 0;
	if (!done)
		latch_failed(fault, directory);
	close(dir);
	return done ? SDES_OK : SDES_ERR_HSM;
}

SdesStatus
sdes_latch_remove(const char *directory, SdesHsmFault *fault)
{
	int dir = open_directory(directory);
	bool done;

	if (dir < 0)
		return latch_failed(fault, directory);
	done = (unlinkat(dir, LATCH_FILE, 0) == 0 && fsync(dir) == 0) || errno == ENOENT;
	if (!done)
		latch_failed(fault, directory);
	close(dir);
	return done ? SDES_OK : SDES_ERR_HSM;
}
