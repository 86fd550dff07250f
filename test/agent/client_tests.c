/*
 * client_tests.c
 *		Who may speak to the agent, and that nobody can hold it up.
 */
#include "fixture.h"
#include "tests.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 700

static int
raw_connect(const Fixture *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, f->config.socket);
	if (fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool
raw_send(int fd, const void *bytes, size_t size)
{
	return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t) size;
}

/* Sends a request as a message. */
static bool
raw_request(int fd, const SdesRequest *request)
{
	uint8_t message[4 + SDES_MESSAGE_MAX];
	SdesWriter w = sdes_writer(message, 4);
	size_t used;

	if (sdes_request_encode(request, message + 4, SDES_MESSAGE_MAX, &used) != SDES_OK)
		return false;
	sdes_write_u32(&w, (uint32_t) used);
	return raw_send(fd, message, 4 + used);
}

/* Reads one reply; SDES_ERR_AGENT_LOST at end of file, _TIMEOUT when none comes. */
static SdesStatus
raw_reply(int fd, SdesAgentOp op, int ms)
{
	uint8_t message[4 + SDES_MESSAGE_MAX];
	struct pollfd ready = {fd, POLLIN, 0};
	SdesReply reply;
	ssize_t n;

	if (poll(&ready, 1, ms) <= 0)
		return SDES_ERR_AGENT_TIMEOUT;
	n = recv(fd, message, sizeof(message), 0);
	if (n <= 4)
		return SDES_ERR_AGENT_LOST;
	if (sdes_reply_decode(sdes_bytes(message + 4, (size_t) n - 4), op, &reply) != SDES_OK)
		return SDES_ERR_FORMAT;
	return reply.status;
}

static SdesRequest
hello(const Fixture *f)
{
	SdesRequest request = {.op = SDES_OP_HELLO, .version = SDES_PROTOCOL_VERSION};

	memcpy(request.secret, f->config.secret, sizeof(request.secret));
	return request;
}

static void
test_hello(Fixture *f)
{
	uint8_t wrong[SDES_AGENT_SECRET_SIZE];
	SdesRequest request = hello(f), status = {.op = SDES_OP_STATUS};
	int fd;

	memcpy(wrong, f->config.secret, sizeof(wrong));
	wrong[31] ^= 1;
	f->secret = wrong;
	check_status(ask_op(f, SDES_OP_STATUS), SDES_ERR_AGENT_REFUSED, "a wrong secret");
	f->secret = NULL;
	check_status(ask_op(f, SDES_OP_STATUS), SDES_ERR_AGENT_REFUSED, "no secret");
	f->secret = f->config.secret;
	check_status(ask_op(f, SDES_OP_STATUS), SDES_OK, "the right one");

	fd = raw_connect(f);
	request.version = SDES_PROTOCOL_VERSION + 1;
	raw_request(fd, &request);
	check_status(raw_reply(fd, SDES_OP_HELLO, 1000), SDES_ERR_AGENT_PROTOCOL,
	             "another protocol version");
	check_status(raw_reply(fd, SDES_OP_HELLO, 1000), SDES_ERR_AGENT_LOST, "is hung up on");
	close(fd);
	fd = raw_connect(f);
	raw_request(fd, &status);
	check_status(raw_reply(fd, SDES_OP_STATUS, 1000), SDES_ERR_AGENT_LOST,
	             "a request before HELLO");
	close(fd);
	fd = raw_connect(f);
	request = hello(f);
	raw_request(fd, &request);
	check_status(raw_reply(fd, SDES_OP_HELLO, 1000), SDES_OK, "HELLO");
	raw_request(fd, &request);
	check_status(raw_reply(fd, SDES_OP_HELLO, 1000), SDES_ERR_AGENT_LOST, "a second HELLO");
	close(fd);
}

static void
test_garbage(Fixture *f)
{
	unsigned seed = 12345;
	uint8_t bytes[512];
	int talked = 0;

	for (int round = 0; round < 200; round++)
	{
		SdesRequest request = hello(f);
		int fd = raw_connect(f);
		SdesStatus status;

		if (round % 2 == 1)
		{
			raw_request(fd, &request);
			raw_reply(fd, SDES_OP_HELLO, 1000);
		}
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t) (rand_r(&seed) >> 8);
		/* Half of them with a length that is right, so that the decoder is reached. */
		if (round % 4 >= 2)
			memcpy(bytes, (uint8_t[]){0, 0, 1, 0}, 4);
		raw_send(fd, bytes, 4 + 256);
		status = raw_reply(fd, SDES_OP_STATUS, 1000);
		talked += status != SDES_ERR_AGENT_LOST;
		close(fd);
	}
	check(talked == 0, "200 times garbage: hung up on");
	check_status(ask_op(f, SDES_OP_STATUS), SDES_OK, "and the agent is well");
}

static void
test_lengths(Fixture *f)
{
	static const uint8_t lengths[][4] = {
	    {0, 0, 0, 0}, {0, 0, 0x10, 1}, {0x7f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}};
	int talked = 0;

	for (size_t i = 0; i < 4; i++)
	{
		int fd = raw_connect(f);

		raw_send(fd, lengths[i], 4);
		talked += raw_reply(fd, SDES_OP_STATUS, 1000) != SDES_ERR_AGENT_LOST;
		close(fd);
	}
	check(talked == 0, "lengths of 0 and beyond the maximum: hung up on");
}

/* Bytes one by one are fine; silence is not. */
static void
test_slow(Fixture *f)
{
	SdesRequest request = hello(f);
	uint8_t message[4 + 35];
	int silent = raw_connect(f), half = raw_connect(f), late = raw_connect(f);
	int slow = raw_connect(f);
	size_t used;
	int64_t began = now_ms();

	memcpy(message, (uint8_t[]){0, 0, 0, 35}, 4);
	if (sdes_request_encode(&request, message + 4, 35, &used) != SDES_OK)
		abort();
	raw_send(half, message, 20);
	for (size_t i = 0; i < sizeof(message); i++)
	{
		raw_send(slow, message + i, 1);
		sleep_ms(5);
	}
	check_status(raw_reply(slow, SDES_OP_HELLO, 1000), SDES_OK, "HELLO byte by byte");
	raw_send(late, message, sizeof(message));
	check_status(raw_reply(late, SDES_OP_HELLO, 1000), SDES_OK, "HELLO");
	raw_send(late, message, 3);
	check_status(ask_op(f, SDES_OP_STATUS), SDES_OK, "others are served meanwhile");
	check_status(raw_reply(silent, SDES_OP_HELLO, 8000), SDES_ERR_AGENT_LOST,
	             "silence before HELLO: hung up on");
	check_status(raw_reply(half, SDES_OP_HELLO, 3000), SDES_ERR_AGENT_LOST,
	             "half a HELLO: hung up on");
	check_status(raw_reply(late, SDES_OP_HELLO, 8000), SDES_ERR_AGENT_LOST,
	             "half a request: hung up on");
	check(now_ms() - began > 4500 && now_ms() - began < 9000, "after five seconds");
	request = (SdesRequest){.op = SDES_OP_STATUS};
	raw_request(slow, &request);
	check_status(raw_reply(slow, SDES_OP_STATUS, 1000), SDES_OK, "an idle one is kept");
	close(silent);
	close(half);
	close(late);
	close(slow);
}

/* Asks and asks and never reads an answer. */
static void
test_flood(Fixture *f)
{
	SdesRequest request = hello(f);
	int fd = raw_connect(f), sent = 0;

	raw_request(fd, &request);
	request = (SdesRequest){.op = SDES_OP_STATUS};
	for (; sent < 20000; sent++)
	{
		struct pollfd ready = {fd, POLLOUT, 0};

		if (poll(&ready, 1, 200) <= 0 || (ready.revents & (POLLERR | POLLHUP)) != 0 ||
		    !raw_request(fd, &request))
			break;
	}
	check(sent < 20000, "a client that never reads is dropped");
	check_status(ask_op(f, SDES_OP_STATUS), SDES_OK, "and the agent is well");
	close(fd);
}

static void
test_many(Fixture *f)
{
	SdesRequest request = hello(f), status = {.op = SDES_OP_STATUS};
	static int fds[MANY];
	int greeted = 0, served = 0;

	for (int i = 0; i < MANY; i++)
	{
		fds[i] = raw_connect(f);
		if (fds[i] >= 0)
			raw_request(fds[i], &request);
	}
	for (int i = 0; i < MANY; i++)
		greeted += fds[i] >= 0 && raw_reply(fds[i], SDES_OP_HELLO, 2000) == SDES_OK;
	for (int i = 0; i < MANY; i++)
		raw_request(fds[i], &status);
	for (int i = 0; i < MANY; i++)
		served += raw_reply(fds[i], SDES_OP_STATUS, 2000) == SDES_OK;
	check(greeted == MANY && served == MANY, "%d clients at once: all are served", MANY);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
}

/* All of them ask for a key at once: results are held back, never lost. */
static void
test_many_unwrap(Fixture *f)
{
	SdesRequest request = hello(f), unwrap;
	uint8_t kek[SDES_KEK_ID_SIZE];
	SdesDekBinding binding;
	static int fds[MANY];
	int served = 0;

	kek_create(f, "many", kek);
	binding = make_binding(kek);
	dek_create(f, &binding, &unwrap);
	for (int i = 0; i < MANY; i++)
	{
		fds[i] = raw_connect(f);
		raw_request(fds[i], &request);
		raw_reply(fds[i], SDES_OP_HELLO, 2000);
	}
	for (int i = 0; i < MANY; i++)
		raw_request(fds[i], &unwrap);
	for (int i = 0; i < MANY; i++)
	{
		served += raw_reply(fds[i], SDES_OP_DEK_UNWRAP, 5000) == SDES_OK;
		close(fds[i]);
	}
	check(served == MANY, "%d clients unwrap at once: all are served", MANY);
}

static void
test_socket(Fixture *f)
{
	struct stat st;

	check(stat(f->config.socket, &st) == 0 && (st.st_mode & 07777) == 0600,
	      "the socket has mode 0600");
	agent_kill(f);
	check_status(ask_op(f, SDES_OP_STATUS), SDES_ERR_AGENT_ABSENT, "a stale socket");
	unlink(f->config.socket);
	check_status(ask_op(f, SDES_OP_STATUS), SDES_ERR_AGENT_ABSENT, "no socket");
	fixture_write(f, "socket", "a file", 0600);
	agent_start(f);
	check(WEXITSTATUS(agent_wait(f, 2000)) == 1, "a file in the socket's place is kept");
	check(stat(f->config.socket, &st) == 0 && S_ISREG(st.st_mode), "and stays a file");
	unlink(f->config.socket);
}

/* The program's other face: a service with a file. Returns its exit status. */
static int
run_service(const Fixture *f, const char *text, mode_t mode)
{
	char command[512];

	fixture_write(f, "conf", text, mode);
	snprintf(command, sizeof(command), "timeout -k 1 1 %s --config %s >/dev/null 2>>%s",
	         getenv("SDES_TEST_AGENT"), fixture_path(f, "conf"), fixture_path(f, "log"));
	return WEXITSTATUS(system(command));
}

static void
test_service(Fixture *f)
{
	char settings[8 * SDES_CONFIG_VALUE_SIZE], bad[9 * SDES_CONFIG_VALUE_SIZE];
	struct stat st;

	check(run_service(f, "socket = s\n", 0620) == 1, "a writable config file: refused");
	sdes_config_print(&f->config, settings, sizeof(settings));
	check(run_service(f, settings, 0600) == 1, "a secret in a config file: refused");
	f->config.has_secret = false;
	sdes_config_print(&f->config, settings, sizeof(settings));
	snprintf(bad, sizeof(bad), "%spin = 1234\n", settings);
	check(run_service(f, bad, 0600) == 1, "an unknown setting: refused");
	check(!fixture_logged(f, "1234"), "and not logged");
	memset(bad, 'x', 3000);
	bad[3000] = '\0';
	check(run_service(f, bad, 0600) == 1, "an endless line: refused");
	check(run_service(f, settings, 0600) == 124, "a service runs until it is ended");
	check(stat(f->config.socket, &st) == 0 && (st.st_mode & 07777) == 0660,
	      "its socket is open to its group");
	check(fixture_logged(f, "ready: token"), "and it logs in");
	f->config.has_secret = true;
}

void
client_tests(void)
{
	Fixture *f = fixture_new();

	agent_start(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "the agent is ready");
	test_hello(f);
	test_garbage(f);
	test_lengths(f);
	test_slow(f);
	test_flood(f);
	test_many(f);
	test_many_unwrap(f);
	check(wait_state(f, SDES_AGENT_READY, SDES_OK), "the agent is still ready");
	test_socket(f);
	test_service(f);
	fixture_free(f);
}
