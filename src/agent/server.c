/*
 * server.c
 *		The poll loop over socket, clients, workers' results and supervisor.
 *
 * Invariant: nothing in this thread waits for anything but poll(), so that end
 * of file on the supervisor's pipe ends the process at once, whatever hangs
 * inside the module.
 */
#include "agent/server.h"

#include "agent/clients.h"
#include "agent/jobs.h"
#include "agent/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG         1024 /* the system's limit applies, see listen(2) */
#define ACCEPT_PAUSE_MS 100  /* when descriptors run out */
#define PIN_WATCH_MS    1000

/* Places in the array of descriptors; clients follow. */
enum
{
	POLL_SUPERVISOR,
	POLL_LISTENER,
	POLL_JOBS,
	POLL_CLIENTS
};

static struct
{
	SdesServerMode mode;
	int listener;
	int64_t accept_after; /* 0, or when to try accepting again */
	SdesAgentInfo info;   /* as last told to the supervisor */
	struct pollfd fds[POLL_CLIENTS + SDES_CLIENTS_MAX];
} server;

static bool
socket_failed(const char *call, const char *path)
{
	sdes_agent_log("cannot %s socket \"%s\": %s", call, path, strerror(errno));
	return false;
}

/* A socket that a predecessor left; anything else of that name is not ours. */
static bool
remove_stale(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return errno == ENOENT || socket_failed("look at", path);
	if (!S_ISSOCK(st.st_mode))
	{
		errno = EEXIST;
		return socket_failed("create", path);
	}
	return unlink(path) == 0 || errno == ENOENT || socket_failed("remove the old", path);
}

/*
 * The mode comes from the umask, so that there is no moment in which others
 * may connect: 0600, or for a service 0660, whose group is the administrator's
 * choice.
 */
static bool
open_listener(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int result;

	if (path[0] == '\0' || strlen(path) >= sizeof(address.sun_path))
	{
		sdes_agent_log("the socket's path must have 1 to 107 bytes");
		return false;
	}
	strcpy(address.sun_path, path);
	if (!remove_stale(path))
		return false;
	server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server.listener < 0)
		return socket_failed("create", path);
	mask = umask(server.mode.supervised ? 0177 : 0117);
	result = bind(server.listener, (struct sockaddr *) &address, sizeof(address));
	umask(mask);
	if (result != 0)
		return socket_failed("bind", path);
	return listen(server.listener, BACKLOG) == 0 || socket_failed("listen on", path);
}

static const char *
state_name(uint8_t state)
{
	static const char *const names[] = {"STARTING", "READY", "FAILED"};

	return names[state];
}

/* One line per change; a supervisor that does not read misses it. */
static void
tell_supervisor(void)
{
	SdesAgentInfo info;
	char line[512];
	int n;

	if (!server.mode.supervised)
		return;
	sdes_jobs_info(&info);
	if (info.state == server.info.state && info.status == server.info.status)
		return;
	server.info = info;
	n = snprintf(line, sizeof(line), "state %s %s\n", state_name(info.state),
	             sdes_status_name((SdesStatus) info.status));
	if (n > 0 && write(STDOUT_FILENO, line, (size_t) n) < 0)
		return;
}

static void
answer_status(uint64_t client)
{
	static SdesReply reply; /* large; holds no secret */

	memset(&reply, 0, sizeof(reply));
	reply.op = SDES_OP_STATUS;
	sdes_jobs_info(&reply.info);
	sdes_clients_reply(client, &reply);
}

static void
handle_request(uint64_t client, const SdesRequest *request)
{
	SdesReply reply = {.op = request->op};

	switch (request->op)
	{
		case SDES_OP_STATUS:
			answer_status(client);
			return;
		case SDES_OP_PIN_RETRY:
			sdes_agent_log("an administrator asks to try the PIN again");
			sdes_jobs_pin_retry();
			sdes_clients_reply(client, &reply);
			return;
		default:
			if (sdes_jobs_submit(client, request))
				return;
			reply.status = SDES_ERR_MEMORY;
			sdes_clients_reply(client, &reply);
	}
}

static void
deliver_results(void)
{
	SdesJob *job;

	while ((job = sdes_jobs_take()) != NULL)
	{
		if (job->client != 0)
			sdes_clients_reply(job->client, &job->reply);
		sdes_job_free(job);
	}
}

/* End of file: the supervisor, and perhaps the server, is gone. */
static void
watch_supervisor(void)
{
	char bytes[64];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		_exit(SDES_EXIT_ORPHAN);
}

static int
sooner(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* Deadlines, and how long poll() may sleep. */
static int
tick(void)
{
	int wait = sooner(sdes_clients_tick(), sdes_jobs_tick());
	const char *hopeless = sdes_jobs_hopeless();

	if (hopeless != NULL)
	{
		deliver_results();
		sdes_agent_log("%s: ending, so that a new agent is started", hopeless);
		_exit(SDES_EXIT_STUCK);
	}
	deliver_results();
	if (sdes_jobs_watch_pin())
		wait = sooner(wait, PIN_WATCH_MS);
	if (server.accept_after != 0)
		wait = sooner(wait, ACCEPT_PAUSE_MS);
	return wait;
}

/* A negative descriptor is passed over by poll(). */
static nfds_t
prepare(void)
{
	bool accepting = sdes_clients_room() && sdes_agent_now() >= server.accept_after;

	server.fds[POLL_SUPERVISOR] =
	    (struct pollfd){server.mode.supervised ? STDIN_FILENO : -1, POLLIN, 0};
	server.fds[POLL_LISTENER] =
	    (struct pollfd){accepting ? server.listener : -1, POLLIN, 0};
	server.fds[POLL_JOBS] = (struct pollfd){sdes_jobs_fd(), POLLIN, 0};
	return POLL_CLIENTS + (nfds_t) sdes_clients_poll(server.fds + POLL_CLIENTS);
}

static void
loop_once(void)
{
	int wait = tick();
	nfds_t count = prepare();

	tell_supervisor();
	if (poll(server.fds, count, wait) <= 0)
		return;
	if (server.fds[POLL_SUPERVISOR].revents != 0)
		watch_supervisor();
	if (server.fds[POLL_JOBS].revents != 0)
		sdes_jobs_drain_fd();
	sdes_clients_serve(server.fds + POLL_CLIENTS, (int) (count - POLL_CLIENTS));
	if (server.fds[POLL_LISTENER].revents != 0)
		server.accept_after =
		    sdes_clients_accept(server.listener) ? 0 : sdes_agent_now() + ACCEPT_PAUSE_MS;
}

static void
make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int
sdes_server_run(const SdesAgentConfig *config, SdesServerMode mode)
{
	SdesClientsSetup setup = {
	    .config = config,
	    .same_user = mode.supervised,
	    .handle = handle_request,
	    .gone = sdes_jobs_forget,
	};

	server.mode = mode;
	server.info.state = SDES_AGENT_FAILED + 1; /* none: the first state is news */
	if (mode.supervised)
	{
		make_nonblocking(STDIN_FILENO);
		make_nonblocking(STDOUT_FILENO);
	}
	if (!sdes_clients_init(&setup))
	{
		sdes_agent_log("no locked memory: raise RLIMIT_MEMLOCK to 64 kB or more");
		return SDES_EXIT_SETUP;
	}
	if (!open_listener(config->socket))
		return SDES_EXIT_SETUP;
	if (!sdes_jobs_start(config))
	{
		sdes_agent_log("cannot start a thread");
		return SDES_EXIT_SETUP;
	}
	for (;;)
		loop_once();
}
