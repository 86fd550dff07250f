/*
 * agent_process.c
 *		Starting and ending the key agent.
 *
 * The agent lives exactly as long as the supervisor holds the other end of its
 * standard input: when the supervisor exits, however it does, the agent sees
 * end of file and exits with status 0. An orphan is never ended by a signal:
 * where the postmaster is process 1, as in every container, it inherits
 * orphans and would take one's death by a signal for a crash of its own.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agentlink/agentlink.h"
#include "miscadmin.h"
#include "port.h"
#include "worker/agent_process.h"

#define STOP_STEPS   40
#define STOP_STEP_US 50000

static bool
find_program(char *path, char *trouble, size_t size)
{
	char *slash;

	strlcpy(path, my_exec_path, MAXPGPATH);
	slash = strrchr(path, '/');
	if (slash == NULL)
		slash = path;
	snprintf(slash, MAXPGPATH - (slash - path), "/sdes_agent");
	if (access(path, X_OK) == 0)
		return true;
	snprintf(trouble, size, "cannot run \"%.100s\": %s", path, strerror(errno));
	return false;
}

static bool
make_directory(const char *path, char *trouble, size_t size)
{
	if (mkdir(path, S_IRWXU) == 0 || errno == EEXIST)
		return true;
	snprintf(trouble, size, "cannot create directory \"%.80s\": %s", path, strerror(errno));
	return false;
}

/* All agents' folder, and the agent's own in it. */
static bool
make_state_directory(const SdesAgentConfig *config, char *trouble, size_t size)
{
	return make_directory(SDES_STATE_DIRECTORY, trouble, size) &&
	       make_directory(config->state_directory, trouble, size);
}

/* In the child: only async-signal-safe calls from here to exec. */
static void
become_agent(const char *program, int input, int output)
{
	char program_name[] = "sdes_agent";
	char mode[] = "--supervised";
	char *const argv[] = {program_name, mode, NULL};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	/* Its own session: a Ctrl-C meant for the server is not meant for it. */
	setsid();
	if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0)
	{
		/* Data files and sockets of the server are not for the agent. */
		for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
			close(fd);
		execv(program, argv);
	}
	_exit(127);
}

static bool
send_config(int fd, const SdesAgentConfig *config)
{
	char text[8 * SDES_CONFIG_VALUE_SIZE];
	size_t size = sdes_config_print(config, text, sizeof(text));
	bool sent = size > 0 && write(fd, text, size) == (ssize_t) size;

	sdes_wipe(text, sizeof(text));
	return sent;
}

bool
sdes_agent_process_start(SdesAgentProcess *process, const SdesAgentConfig *config,
                         char *trouble, size_t size)
{
	char program[MAXPGPATH];
	int in[2];
	int out[2];

	if (!find_program(program, trouble, size) ||
	    !make_state_directory(config, trouble, size))
		return false;
	if (pipe2(in, O_CLOEXEC) != 0)
	{
		snprintf(trouble, size, "cannot create a pipe: %s", strerror(errno));
		return false;
	}
	if (pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0)
	{
		snprintf(trouble, size, "cannot create a pipe: %s", strerror(errno));
		close(in[0]);
		close(in[1]);
		return false;
	}
	process->pid = fork();
	if (process->pid == 0)
		become_agent(program, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	process->lifeline = in[1];
	process->news = out[0];
	if (process->pid < 0 || !send_config(in[1], config))
	{
		snprintf(trouble, size, "cannot start \"%.100s\": %s", program, strerror(errno));
		if (process->pid < 0)
			process->pid = 0;
		sdes_agent_process_stop(process);
		return false;
	}
	return true;
}

static void
close_pipes(SdesAgentProcess *process)
{
	if (process->lifeline >= 0)
		close(process->lifeline);
	if (process->news >= 0)
		close(process->news);
	process->lifeline = -1;
	process->news = -1;
}

bool
sdes_agent_process_reap(SdesAgentProcess *process, int *status)
{
	if (process->pid == 0 || waitpid(process->pid, status, WNOHANG) != process->pid)
		return false;
	process->pid = 0;
	close_pipes(process);
	return true;
}

void
sdes_agent_process_stop(SdesAgentProcess *process)
{
	int status;

	close_pipes(process);
	for (int i = 0; i < STOP_STEPS && process->pid != 0; i++)
	{
		if (sdes_agent_process_reap(process, &status))
			return;
		pg_usleep(STOP_STEP_US);
	}
	if (process->pid != 0)
	{
		kill(process->pid, SIGKILL);
		waitpid(process->pid, &status, 0);
		process->pid = 0;
	}
}

bool
sdes_agent_process_drain(SdesAgentProcess *process, bool *said_something)
{
	char said[256];
	ssize_t n;

	*said_something = false;
	while ((n = read(process->news, said, sizeof(said))) > 0 || (n < 0 && errno == EINTR))
		*said_something |= n > 0;
	return n != 0;
}
