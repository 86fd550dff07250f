/*
 * pin_command.c
 *		Runs the command that prints the PIN, for five seconds at the most.
 *
 * The child is made by posix_spawn(3): other threads of this process are
 * inside a PKCS#11 module, where a plain fork() may have copied a held lock.
 * It gets a process group of its own, which is killed and reaped whole. The
 * agent is a subreaper (agent.c), so that no killed grandchild ends up with
 * the postmaster, which would take its signal for a crash.
 */
#include "agent/log.h"
#include "agent/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAP_STEP_MS 10

extern char **environ;

static SdesStatus
bad_command(SdesHsmFault *fault, const char *what)
{
	return sdes_hsm_fault(fault, SDES_ERR_HSM_PIN_SOURCE, "the PIN command %s", what);
}

/* Descriptors of the child: 0 is /dev/null, 1 the pipe, 2 the log, no others. */
static int
set_files(posix_spawn_file_actions_t *files, int output)
{
	int error = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);

	if (error == 0)
		error = posix_spawn_file_actions_adddup2(files, output, 1);
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
	/* A module may have opened files that exec would pass on. */
	if (error == 0)
		error = posix_spawn_file_actions_addclosefrom_np(files, 3);
#endif
#endif
	return error;
}

static int
set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, pipe_signal;
	int error;

	sigemptyset(&none);
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	error = posix_spawnattr_setsigmask(attributes, &none);
	if (error == 0)
		error = posix_spawnattr_setsigdefault(attributes, &pipe_signal);
	if (error == 0)
		error = posix_spawnattr_setpgroup(attributes, 0);
	if (error == 0)
		error = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK |
		                                                 POSIX_SPAWN_SETSIGDEF |
		                                                 POSIX_SPAWN_SETPGROUP);
	return error;
}

static int
spawn(const char *command, int output, pid_t *pid)
{
	char shell[] = "sh", option[] = "-c";
	char *arguments[] = {shell, option, (char *) (uintptr_t) command, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	int error = posix_spawn_file_actions_init(&files);

	if (error != 0)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error == 0)
	{
		error = set_files(&files, output);
		if (error == 0)
			error = set_attributes(&attributes);
		if (error == 0)
			error = posix_spawn(pid, "/bin/sh", &files, &attributes, arguments, environ);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&files);
	return error;
}

/* Reads until end of file; false when time or room runs out. */
static bool
read_output(int fd, int64_t deadline, uint8_t *out, size_t size, size_t *used)
{
	*used = 0;
	while (*used < size)
	{
		struct pollfd ready = {fd, POLLIN, 0};
		int64_t left = deadline - sdes_agent_now();
		ssize_t n;

		if (left <= 0)
			return false;
		if (poll(&ready, 1, (int) left) <= 0)
			continue;
		n = read(fd, out + *used, size - *used);
		if (n == 0)
			return true;
		if (n > 0)
			*used += (size_t) n;
		else if (errno != EINTR && errno != EAGAIN)
			return false;
	}
	return false;
}

/*
 * Waits for the shell; true when it ended well in time. It stays a zombie, so
 * that its process group's number cannot be another's when that is killed.
 */
static bool
ended_well(pid_t pid, int64_t deadline)
{
	for (;;)
	{
		siginfo_t info = {.si_pid = 0};
		int result = waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT);

		if (result == 0 && info.si_pid == pid)
			return info.si_code == CLD_EXITED && info.si_status == 0;
		if ((result != 0 && errno != EINTR) || sdes_agent_now() >= deadline)
			return false;
		poll(NULL, 0, REAP_STEP_MS);
	}
}

/* Nothing of the process group survives, whatever the command left running. */
static void
kill_group(pid_t group)
{
	kill(-group, SIGKILL);
	while (waitpid(-group, NULL, 0) > 0 || errno == EINTR)
		;
}

SdesStatus
sdes_pin_command(const char *command, uint8_t *out, size_t size, size_t *used,
                 SdesHsmFault *fault)
{
	int64_t deadline = sdes_agent_now() + SDES_PIN_COMMAND_MS;
	int ends[2], error;
	bool complete, well;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return bad_command(fault, "cannot get a pipe");
	error = spawn(command, ends[1], &pid);
	close(ends[1]);
	if (error != 0)
	{
		close(ends[0]);
		return bad_command(fault, "cannot be started");
	}
	complete = read_output(ends[0], deadline, out, size, used);
	close(ends[0]);
	well = complete && ended_well(pid, deadline);
	kill_group(pid);
	if (well)
		return SDES_OK;
	if (sdes_agent_now() >= deadline)
		return bad_command(fault, "did not end within 5 seconds");
	return bad_command(fault, complete ? "failed" : "printed more than 255 bytes");
}
