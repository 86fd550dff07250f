/*
 * faulty_disk.c
 *		For LD_PRELOAD: the disk of the audit journal fails as the file that
 *		SDES_DISK_FAULT names says: "full" (no room), "broken" (flushes fail), "slow"
 *		(flushes take 0.7 s), "hangs" (until it says something else), anything else or no
 *		file: it is well.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
says(const char *word)
{
	const char *path = getenv("SDES_DISK_FAULT");
	char text[32] = "";
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strncmp(text, word, strlen(word)) == 0;
}

static int
is_journal(int fd)
{
	char link[64], path[4096];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof(path) - 1);
	if (size <= 8)
		return 0;
	path[size] = '\0';
	return strcmp(path + size - 8, ".journal") == 0;
}

ssize_t
pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off64_t);

	if (real == NULL)
		real =
		    (ssize_t(*)(int, const void *, size_t, off64_t)) dlsym(RTLD_NEXT, "pwrite64");
	if (is_journal(fd) && says("full"))
	{
		/* As a disk does: some of it fits. */
		if (size > 10)
			return real(fd, bytes, 10, at);
		errno = ENOSPC;
		return -1;
	}
	return real(fd, bytes, size, at);
}

ssize_t
pwrite(int fd, const void *bytes, size_t size, off_t at)
{
	return pwrite64(fd, bytes, size, at);
}

int
fdatasync(int fd)
{
	static int (*real)(int);

	if (real == NULL)
		real = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
	while (is_journal(fd) && says("hangs"))
		usleep(20000);
	if (is_journal(fd) && says("slow"))
		usleep(700000);
	if (is_journal(fd) && says("broken"))
	{
		errno = EIO;
		return -1;
	}
	return real(fd);
}
