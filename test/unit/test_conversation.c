/*
 * test_conversation.c
 *		A backend's end of the socket (client.c) and the agent's (clients.c) in one
 *		process, while a call to the system fails.
 *
 * The linker wraps those calls. A conversation runs with its first one failing,
 * then with its second, and so on until none is left. An interrupted call changes
 * nothing; after any other failure there is the right reply or a status, never a
 * wrong reply or an endless wait, both ends let go of all they held, and the next
 * conversation goes well.
 */
#include "agent/client.h"
#include "agent/clients.h"
#include "agent/log.h"
#include "child.h"
#include "tap.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define CALLS_MAX  2000 /* of one conversation: more would be an endless loop */
#define ROUNDS_MAX 5000
#define VALUE_SIZE 20000
#define ANSWER     60000 /* more than the agent's socket takes at once */

static int countdown; /* the call to fail: 1 is the next one; 0 for none */
static int failure;   /* errno of it */
static bool failed;
static bool strangers;      /* who connects is another user */
static bool transfers_only; /* count no other calls */

static int offered = -1; /* the connection that accept4() gives next */
static int64_t now;
static uint64_t asking; /* the client whose request waits for an answer */
static SdesAgentOp asked;
static int gone;

static bool
fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	failed = true;
	errno = failure;
	return true;
}

#define WRAP(type, name, result, parameters, arguments)                                    \
	extern type __real_##name parameters;                                                  \
	extern type __wrap_##name parameters;                                                  \
	type __wrap_##name parameters                                                          \
	{                                                                                      \
		return !transfers_only && fails() ? result : __real_##name arguments;              \
	}

#define WRAP_TRANSFER(name, parameters, arguments)                                         \
	extern ssize_t __real_##name parameters;                                               \
	extern ssize_t __wrap_##name parameters;                                               \
	ssize_t __wrap_##name parameters                                                       \
	{                                                                                      \
		return fails() ? -1 : __real_##name arguments;                                     \
	}

WRAP(void *, malloc, NULL, (size_t size), (size))
WRAP(void *, calloc, NULL, (size_t count, size_t size), (count, size))
WRAP(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))
WRAP_TRANSFER(recv, (int fd, void *out, size_t size, int flags), (fd, out, size, flags))
WRAP_TRANSFER(send, (int fd, const void *data, size_t size, int flags),
              (fd, data, size, flags))
WRAP_TRANSFER(sendmsg, (int fd, const struct msghdr *message, int flags),
              (fd, message, flags))
WRAP(int, getrlimit, -1, (int resource, struct rlimit *limit), (resource, limit))
WRAP(SdesStatus, sdes_secret_new, SDES_ERR_LOCKED_MEMORY, (SdesSecret * out, size_t size),
     (out, size))

extern int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
extern int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
extern int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
extern int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);

/* SO_PEERCRED, from us or from somebody else. */
int
__wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	int result = __real_getsockopt(fd, level, name, value, size);

	if (!transfers_only && fails())
		return -1;
	if (strangers)
		((struct ucred *) value)->uid++;
	return result;
}

/* Makes fd one end of a pair, of which accept4() gives the other. */
int
__wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	int ends[2], small = 4096;

	(void) address;
	(void) size;
	if (!transfers_only && fails())
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0 ||
	    dup2(ends[0], fd) != fd ||
	    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) != 0)
		abort();
	close(ends[0]);
	if (offered >= 0)
		close(offered);
	offered = ends[1];
	return 0;
}

int
__wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	int given = offered;

	(void) fd;
	(void) address;
	(void) size;
	(void) flags;
	if (given >= 0 && fails())
		return -1;
	offered = -1;
	if (given < 0)
		errno = EAGAIN;
	return given;
}

void
sdes_agent_log(const char *format, ...)
{
	(void) format;
}

int64_t
sdes_agent_now(void)
{
	return now;
}

static void
handle(uint64_t client, const SdesRequest *request)
{
	asking = client;
	asked = request->op;
}

static void
client_gone(uint64_t client)
{
	gone += client == asking;
	asking = 0;
}

static uint8_t bytes[ANSWER + 16];

/* What the agent answers to SEAL, and what must arrive. */
static SdesBytes
answer_values(void)
{
	SdesWriter w = sdes_writer(bytes, sizeof(bytes));

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t) (i * 7);
	sdes_write_u16(&w, SDES_OK);
	sdes_write_u32(&w, ANSWER);
	return sdes_bytes(bytes, 6 + ANSWER);
}

static void
answer(void)
{
	static SdesReply reply;
	uint64_t client = asking;

	memset(&reply, 0, sizeof(reply));
	reply.op = asked;
	if (asked == SDES_OP_SEAL)
	{
		reply.nresults = 1;
		reply.results = answer_values();
	}
	else
		reply.info.pid = 4711;
	asking = 0;
	sdes_clients_reply(client, &reply);
}

/* The agent's part of a round; returns how many clients it has. */
static int
serve(void)
{
	struct pollfd ready[8];
	int count;

	if (sdes_clients_room())
		sdes_clients_accept(0);
	count = sdes_clients_poll(ready);
	if (poll(ready, (nfds_t) count, 0) > 0)
		sdes_clients_serve(ready, count);
	if (asking != 0)
		answer();
	return sdes_clients_poll(ready);
}

/* One request; false for a wrong reply, a failure without status, an endless wait. */
static bool
ask(SdesClient *client, SdesAgentOp op, bool *answered)
{
	static const uint8_t secret[SDES_AGENT_SECRET_SIZE] = {1, 2, 3};
	static uint8_t value[5 + VALUE_SIZE] = {0, 0, 0, VALUE_SIZE >> 8, VALUE_SIZE & 0xff};
	SdesRequest request = {.op = op, .nvalues = 1, .values = SDES_BYTES_OF(value)};
	SdesClientWant want = sdes_client_begin(client, "socket", secret, &request);
	const SdesReply *reply;
	int round = 0;

	while (want == SDES_CLIENT_READ || want == SDES_CLIENT_WRITE)
	{
		if (++round == ROUNDS_MAX)
			return false;
		serve();
		/* Who does not finish a message in time is dropped. */
		now += SDES_CLIENT_SLOW_MS / ROUNDS_MAX;
		sdes_clients_tick();
		want = sdes_client_step(client);
	}
	*answered = want == SDES_CLIENT_DONE;
	if (!*answered)
		return sdes_client_status(client) != SDES_OK && sdes_client_fd(client) == -1;
	reply = sdes_client_reply(client);
	return op == SDES_OP_SEAL
	           ? reply->nresults == 1 && same_bytes(reply->results, answer_values())
	           : reply->info.pid == 4711;
}

/* Values, and then the state over the same connection. */
static bool
converse(bool *answered)
{
	SdesClient *client = sdes_client_new();
	bool good;
	int round = 0;

	*answered = false;
	if (client == NULL)
		return true;
	good = ask(client, SDES_OP_SEAL, answered);
	if (good && *answered)
		good = ask(client, SDES_OP_STATUS, answered);
	sdes_client_free(client);
	if (offered >= 0)
		close(offered);
	offered = -1;
	countdown = 0;
	while (good && serve() > 0)
		good = ++round < ROUNDS_MAX;
	return good;
}

static void
test_failing(int error, const char *name, bool harmless)
{
	long bad = 0, nth = 0;
	bool answered;

	do
	{
		bool good;

		failed = false;
		failure = error;
		countdown = (int) ++nth;
		good = converse(&answered);
		if (!good || (harmless && !answered) || (!failed && !answered))
		{
			diag("call %ld: %s", nth, good ? "no answer" : "wrong");
			bad++;
		}
		countdown = 0;
		if (!converse(&answered) || !answered)
			bad++;
	} while (failed && nth < CALLS_MAX);
	none_failed(bad, nth, name);
}

/* As many as there are descriptors, but for those that the agent needs itself. */
static bool
few_descriptors(void)
{
	struct rlimit limit = {66, 66};
	SdesAgentConfig config = {.has_secret = false};
	SdesClientsSetup setup = {&config, true, handle, client_gone};
	SdesClient *all[3];
	SdesRequest request = {.op = SDES_OP_STATUS};
	bool good = setrlimit(RLIMIT_NOFILE, &limit) == 0 && sdes_clients_init(&setup);

	for (int i = 0; i < 3 && good; i++)
	{
		good = sdes_clients_room() == (i < 2);
		all[i] = sdes_client_new();
		sdes_client_begin(all[i], "socket", NULL, &request);
		serve();
	}
	return good && serve() == 2;
}

static SdesClientsSetup the_setup;

/* Whoever shows the secret, when the supervisor started the agent. */
static bool
strangers_are_refused(void)
{
	bool answered, refused;

	strangers = true;
	refused = sdes_clients_init(&the_setup) && converse(&answered) && !answered;
	the_setup.same_user = false;
	refused = refused && sdes_clients_init(&the_setup) && converse(&answered) && answered;
	return refused;
}

/* What a caller may do in no state, or not with these paths. */
static bool
misuse_is_harmless(void)
{
	char path[SDES_CONFIG_VALUE_SIZE + 1];
	SdesRequest request = {.op = SDES_OP_STATUS};
	SdesClient *client = sdes_client_new();
	bool good = sdes_client_step(client) == SDES_CLIENT_FAILED;

	sdes_client_finish(client);
	memset(path, 'x', sizeof(path));
	for (size_t size = 107; size < sizeof(path) && good; size++)
	{
		SdesClientWant want;

		path[size] = '\0';
		want = sdes_client_begin(client, path, NULL, &request);
		path[size] = 'x';
		good = size == 107 ? want == SDES_CLIENT_READ
		                   : want == SDES_CLIENT_FAILED &&
		                         sdes_client_status(client) == SDES_ERR_AGENT_ABSENT;
	}
	sdes_client_free(client);
	sdes_client_free(NULL);
	return good;
}

static bool
no_start_without_memory(void)
{
	for (int nth = 1; nth <= 5; nth++)
	{
		failed = false;
		countdown = nth;
		/* The limit is the first call: not known, it is the most. */
		if (sdes_clients_init(&the_setup) != (nth == 1) || !failed)
			return false;
	}
	return true;
}

/* A message that stays away, and one that stops in its middle. */
static bool
the_slow_are_dropped(void)
{
	int ends[2];
	bool good = true;

	for (int sent = 0; sent < 2; sent++)
	{
		good = good && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0;
		offered = ends[1];
		good = good && write(ends[0], "\0\0\0\5\2", (size_t) sent * 5) == sent * 5;
		good = good && serve() == 1;
		now += SDES_CLIENT_SLOW_MS - 1;
		good = good && sdes_clients_tick() == 1 && serve() == 1;
		now += 1;
		good = good && sdes_clients_tick() == -1 && serve() == 0;
		close(ends[0]);
	}
	return good;
}

int
main(void)
{
	SdesAgentConfig config = {.has_secret = true, .secret = {1, 2, 3}};
	bool answered = false;

	the_setup = (SdesClientsSetup){&config, true, handle, client_gone};
	ok(child_passes(few_descriptors), "no more clients than descriptors allow");
	ok(child_passes(no_start_without_memory), "no start without memory");
	ok(child_passes(strangers_are_refused), "another user is refused, but by a service");
	ok(child_passes(misuse_is_harmless), "paths that are too long, calls out of turn");
	ok(sdes_clients_init(&the_setup), "the agent's end starts");
	ok(converse(&answered) && answered, "a conversation");
	transfers_only = true;
	test_failing(EINTR, "interrupted at each transfer, it goes on", true);
	transfers_only = false;
	test_failing(ENOMEM, "without memory at each call", false);
	test_failing(EMFILE, "without descriptors at each call", false);
	test_failing(ECONNRESET, "connection reset at each call", false);
	test_failing(EACCES, "denied at each call", false);
	test_failing(EAGAIN, "not ready at each call", false);
	ok(the_slow_are_dropped(), "who is slow is dropped, after five seconds");
	ok(gone >= 0 && asking == 0, "no request is left");
	return done_testing();
}
