/*
 * look_into.c
 *		Tries to look into other processes of the same user.
 *
 *		look_into PID...
 *
 * Prints, for a child of its own and then for each process given, one line
 * "PID WAY RESULT" per way there is, where RESULT is "open" or the error. The
 * child shows that the system allows the way at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char landmark[] = "something in memory";

static void
say(const char *who, const char *way, int done)
{
	printf("%s %s %s\n", who, way, done ? "open" : strerror(errno));
}

static void
look_into_file(const char *who, pid_t pid, const char *name)
{
	char path[64], byte;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && strcmp(name, "mem") == 0)
		say(who, name, pread(fd, &byte, 1, (off_t) (size_t) landmark) == 1 || errno == EIO);
	else
		say(who, name, fd >= 0 && read(fd, &byte, 1) >= 0);
	if (fd >= 0)
		close(fd);
}

static void
look_into(const char *who, pid_t pid)
{
	static const char *const files[] = {"mem", "maps", "environ", "auxv"};
	char path[64], target[256];
	struct iovec local = {target, 1}, remote = {landmark, 1};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		look_into_file(who, pid, files[i]);
	snprintf(path, sizeof(path), "/proc/%d/exe", (int) pid);
	say(who, "exe", readlink(path, target, sizeof(target)) > 0);
	snprintf(path, sizeof(path), "/proc/%d/fd/0", (int) pid);
	say(who, "fd", readlink(path, target, sizeof(target)) > 0);
	say(who, "process_vm_readv",
	    process_vm_readv(pid, &local, 1, &remote, 1, 0) == 1 || errno == EFAULT);
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0)
	{
		say(who, "ptrace", 1);
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
		waitpid(pid, NULL, __WALL);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
	else
		say(who, "ptrace", 0);
}

int
main(int argc, char **argv)
{
	pid_t child = fork();

	if (child == 0)
	{
		pause();
		_exit(0);
	}
	look_into("control", child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	for (int i = 1; i < argc; i++)
		look_into(argv[i], (pid_t) atoi(argv[i]));
	return 0;
}
