/*
 * fuzz_clients.c
 *		The agent's reader of connections (clients.c), fed in chunks of any sizes.
 *
 *		byte 0: flags, below
 *		byte 1: seed of the chunks' sizes, 0 for one chunk
 *		the rest: what the client sends
 *
 * A second reader, below, that has the whole stream at once says what must come
 * of it: exactly the requests after a right HELLO are handled, in their order,
 * one at a time, until the first that is malformed; then the client is dropped.
 * Clock and connections are the harness's (the linker wraps accept4()).
 */
#include "fuzz.h"

#include "agent/clients.h"
#include "agent/log.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#define WITH_HELLO  0x01 /* a right HELLO comes before the input */
#define WITH_SECRET 0x02 /* the agent has a secret */
#define LATE        0x04 /* replies are not sent before the stream has ended */
#define SLOW        0x08 /* at the end, time passes */
#define LARGE       0x10 /* replies with values are larger than what the socket takes */
#define WITH_VALUES 0x20 /* a large SEAL comes before the input */

#define LENGTH_SIZE 4
#define STREAM_MAX  (SDES_VALUES_MAX + 256)
#define LARGE_VALUE 60000
#define ROUNDS      1000 /* of serving at the most, between two pieces */

#define HELLO_REPLY   (LENGTH_SIZE + 1 + 2)
#define FAILURE_REPLY (LENGTH_SIZE + 1 + 2 + 4 + 2) /* without words */

extern int __wrap_accept4(int fd, void *address, void *size, int flags);

static SdesAgentConfig config;
static int64_t now;
static int offered = -1; /* the connection that accept4() gives next */

static struct
{
	uint8_t stream[STREAM_MAX];
	size_t size;
	size_t at;     /* the next message that must be handled */
	bool stays;    /* as far as the second reader has come */
	bool partial;  /* and it has met the beginning of a message */
	uint64_t busy; /* the client whose request is under way, 0 when none */
	SdesAgentOp op;
	int gone;
	bool late;
	bool large;
	size_t replies; /* bytes of replies that must have come */
	size_t came;
} run;

int
__wrap_accept4(int fd, void *address, void *size, int flags)
{
	int given = offered;

	(void) fd;
	(void) address;
	(void) size;
	REQUIRE(flags == (SOCK_NONBLOCK | SOCK_CLOEXEC));
	offered = -1;
	if (given < 0)
		errno = EAGAIN;
	return given;
}

void
sdes_agent_log(const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	REQUIRE(vsnprintf(line, sizeof(line), format, args) > 0);
	va_end(args);
}

int64_t
sdes_agent_now(void)
{
	return now;
}

/* The message at run.at, when it is there whole; false for none or a wrong length. */
static bool
next_body(SdesBytes *body)
{
	SdesReader r = sdes_reader(sdes_bytes(run.stream + run.at, run.size - run.at));
	uint32_t size;

	run.partial = r.left > 0;
	if (r.left < LENGTH_SIZE)
		return false;
	size = sdes_read_u32(&r);
	if (size == 0 || size > (run.at > 0 ? SDES_VALUES_MAX : SDES_MESSAGE_MAX))
	{
		run.stays = false;
		return false;
	}
	*body = sdes_read_bytes(&r, size);
	if (r.failed)
		return false;
	run.partial = false;
	run.at += LENGTH_SIZE + size;
	return true;
}

/* Reads HELLO; what follows it is for handle(). */
static void
expect_hello(void)
{
	SdesRequest hello;
	SdesBytes body;

	run.stays = true;
	if (!next_body(&body))
		return;
	run.stays = false;
	if (sdes_request_decode(body, &hello) != SDES_OK || hello.op != SDES_OP_HELLO)
		return;
	run.stays = hello.version == SDES_PROTOCOL_VERSION &&
	            (!config.has_secret ||
	             memcmp(hello.secret, config.secret, sizeof(config.secret)) == 0);
	run.replies = run.stays ? HELLO_REPLY : FAILURE_REPLY;
}

/* The next request that must be handled; false when there is none. */
static bool
expect_request(SdesBytes *body)
{
	SdesRequest request;

	if (run.at == 0 || !run.stays || !next_body(body))
		return false;
	run.stays =
	    sdes_request_decode(*body, &request) == SDES_OK && request.op != SDES_OP_HELLO;
	return run.stays;
}

/* Two results, one of them of that size. */
static SdesBytes
results(size_t size)
{
	static uint8_t room[LARGE_VALUE + 64];
	SdesWriter w = sdes_writer(room, sizeof(room));

	sdes_result_write(&w, SDES_OK, sdes_bytes(run.stream, size));
	sdes_result_write(&w, SDES_ERR_TAG, sdes_bytes(room, 0));
	REQUIRE(!w.failed);
	return sdes_bytes(room, sizeof(room) - w.left);
}

static void
answer(void)
{
	static SdesReply reply;
	uint64_t client = run.busy;

	memset(&reply, 0, sizeof(reply));
	reply.op = run.op;
	run.busy = 0;
	if (sdes_op_has_values(run.op))
	{
		reply.nresults = 2;
		reply.results = results(run.large ? LARGE_VALUE : 8);
		run.replies += LENGTH_SIZE + 1 + 2 + 2 + reply.results.size;
	}
	else
	{
		reply.status = SDES_ERR_HSM_STARTING;
		run.replies += FAILURE_REPLY;
	}
	sdes_clients_reply(client, &reply);
}

static void
handle(uint64_t client, const SdesRequest *request)
{
	static uint8_t again[SDES_VALUES_MAX];
	SdesBytes body = {NULL, 0};
	size_t used = 0;

	REQUIRE(run.busy == 0 && client != 0);
	REQUIRE(expect_request(&body));
	REQUIRE(sdes_request_encode(request, again, sizeof(again), &used) == SDES_OK);
	REQUIRE(fuzz_same(sdes_bytes(again, used), body));
	run.busy = client;
	run.op = request->op;
	if (!run.late)
		answer();
}

static void
gone(uint64_t client)
{
	REQUIRE(client == run.busy);
	run.busy = 0;
	run.gone++;
}

static void
start(void)
{
	SdesClientsSetup setup = {&config, true, handle, gone};

	memset(config.secret, FUZZ_BYTE, sizeof(config.secret));
	REQUIRE(sdes_clients_init(&setup));
}

static void
take_replies(int ours)
{
	static uint8_t replies[4096];
	ssize_t n;

	while ((n = recv(ours, replies, sizeof(replies), MSG_DONTWAIT)) > 0)
		run.came += (size_t) n;
}

/* Serves until nothing is left to do, and takes the replies that come. */
static int
serve(int ours)
{
	struct pollfd ready[1];

	for (int round = 0;; round++)
	{
		int count = sdes_clients_poll(ready);

		REQUIRE(count <= 1 && round < ROUNDS);
		take_replies(ours);
		if (count == 0 || poll(ready, 1, 0) <= 0)
			return count;
		sdes_clients_serve(ready, count);
	}
}

static void
write_seal(SdesWriter *w)
{
	static uint8_t value[LARGE_VALUE / 2];

	sdes_write_u32(w, 1 + SDES_KEK_ID_SIZE + 2 + 1 + 4 + sizeof(value));
	sdes_write_u8(w, SDES_OP_SEAL);
	sdes_write_bytes(w, sdes_bytes(value, SDES_KEK_ID_SIZE));
	sdes_write_u16(w, 1);
	sdes_value_write(w, sdes_bytes(value, 0), SDES_BYTES_OF(value));
}

static void
make_stream(SdesBytes input, uint8_t flags)
{
	SdesWriter w = sdes_writer(run.stream, sizeof(run.stream));

	if (flags & WITH_HELLO)
	{
		sdes_write_u32(&w, 1 + 2 + SDES_AGENT_SECRET_SIZE);
		sdes_write_u8(&w, SDES_OP_HELLO);
		sdes_write_u16(&w, SDES_PROTOCOL_VERSION);
		sdes_write_bytes(&w, SDES_BYTES_OF(config.secret));
	}
	if (flags & WITH_VALUES)
		write_seal(&w);
	sdes_write_bytes(&w, input);
	run.size = sizeof(run.stream) - w.left;
}

static void
send_stream(int ours, uint32_t seed)
{
	size_t sent = 0;

	while (sent < run.size)
	{
		size_t size = fuzz_chunk(&seed, run.size - sent);
		ssize_t n = send(ours, run.stream + sent, size, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
		{
			REQUIRE(errno == EPIPE || errno == ECONNRESET);
			break;
		}
		sent += (size_t) n;
		serve(ours);
	}
}

/* After the stream: answers what waits, and looks whether the client is as expected. */
static void
finish(int ours, bool slow)
{
	SdesBytes body;

	run.late = false;
	while (run.busy != 0)
	{
		answer();
		serve(ours);
	}
	REQUIRE(!expect_request(&body)); /* else one was passed over */
	REQUIRE(serve(ours) == (run.stays ? 1 : 0));
	REQUIRE(run.came == run.replies);
	if (run.stays && slow)
	{
		now += SDES_CLIENT_SLOW_MS;
		sdes_clients_tick();
		REQUIRE(serve(ours) == (run.partial || run.at == 0 ? 0 : 1));
	}
	shutdown(ours, SHUT_RDWR);
	REQUIRE(serve(ours) == 0);
	close(ours);
}

/* A connection of its own, which the agent accepts; returns our end. */
static int
connect_client(void)
{
	int ends[2], small = 4096;

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	if (run.large)
		REQUIRE(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	offered = ends[1];
	REQUIRE(sdes_clients_accept(0));
	return ends[0];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SdesBytes input = sdes_bytes(data, size);
	uint8_t flags = fuzz_take_byte(&input);
	uint32_t seed = fuzz_take_byte(&input);
	static bool started;
	int ours;

	if (!started)
		start();
	started = true;
	run.at = 0;
	run.busy = 0;
	run.replies = 0;
	run.came = 0;
	run.late = (flags & LATE) != 0;
	run.large = (flags & LARGE) != 0;
	config.has_secret = (flags & WITH_SECRET) != 0;
	make_stream(input, flags);
	expect_hello();
	ours = connect_client();
	send_stream(ours, seed);
	finish(ours, (flags & SLOW) != 0);
	return 0;
}
