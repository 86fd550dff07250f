/*
 * fuzz_client.c
 *		The server's side of a conversation (client.c) with an agent that answers
 *		anything, in chunks of any sizes.
 *
 *		byte 0: the operation asked for, and flags, below
 *		byte 1: seed of the chunks' sizes, 0 for one chunk
 *		the rest: what the agent answers, to HELLO and to the request
 *
 * A second reader that has the whole answer at once says what must come of it.
 * HELLO and request are sent once each, and the request only after HELLO was
 * answered well; over a connection that served before, and then is lost, the same
 * request goes out again unless it must not be done twice. The linker wraps connect(), which gives the client one end of
 * a pair of sockets.
 */
#include "fuzz.h"

#include "agent/client.h"

#include <sys/socket.h>
#include <unistd.h>

#define OPS          14   /* SDES_OP_HELLO is asked for by hand, too */
#define LARGE        0x20 /* a large reply to SEAL comes before the input */
#define WITH_WELCOME 0x40 /* a good reply to HELLO comes before the input */
#define WITH_SECRET  0x80

#define LENGTH_SIZE 4
#define STREAM_MAX  (SDES_RESULTS_MAX + 256)

extern int __wrap_connect(int fd, const void *address, unsigned size);

static int ours = -1; /* the agent's end */
static int connections;

static struct
{
	uint8_t bytes[STREAM_MAX];
	size_t size;
	size_t at;
} stream;

int
__wrap_connect(int fd, const void *address, unsigned size)
{
	int ends[2];

	(void) address;
	(void) size;
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
	REQUIRE(dup2(ends[1], fd) == fd);
	close(ends[1]);
	if (ours >= 0)
		close(ours);
	ours = ends[0];
	connections++;
	return 0;
}

static SdesRequest *
the_request(SdesAgentOp op)
{
	static const uint8_t value[] = {1, 'a', 0, 0, 0, 1, 'v'};
	static const uint8_t dek[SDES_DEK_SIZE] = {0};
	static SdesRequest request;

	memset(&request, 0, sizeof(request));
	request.op = op;
	memset(request.kek_id, FUZZ_BYTE, sizeof(request.kek_id));
	request.binding.purpose = SDES_PURPOSE_DATA;
	request.binding.mode = SDES_MODE_CACHED;
	request.kind = SDES_KEK_AES_256;
	request.dek = SDES_BYTES_OF(dek);
	request.nvalues = 1;
	request.values = SDES_BYTES_OF(value);
	return &request;
}

/* What comes of the next message: its body, of max bytes, or why there is none. */
static SdesStatus
next_body(SdesBytes *body, size_t max)
{
	SdesReader r =
	    sdes_reader(sdes_bytes(stream.bytes + stream.at, stream.size - stream.at));
	uint32_t size = sdes_read_u32(&r);

	if (r.failed)
		return SDES_ERR_AGENT_LOST;
	if (size == 0 || size > max)
		return SDES_ERR_AGENT_PROTOCOL;
	*body = sdes_read_bytes(&r, size);
	if (r.failed)
		return SDES_ERR_AGENT_LOST;
	stream.at += LENGTH_SIZE + size;
	return SDES_OK;
}

/* How the conversation must end; body is the reply's when it is SDES_OK. */
static SdesStatus
expect(SdesAgentOp op, SdesBytes *body, bool *greeted)
{
	static SdesReply reply;
	SdesStatus status = next_body(body, SDES_MESSAGE_MAX);

	*greeted = false;
	if (status != SDES_OK)
		return status;
	if (sdes_reply_decode(*body, SDES_OP_HELLO, &reply) != SDES_OK)
		return SDES_ERR_AGENT_PROTOCOL;
	if (reply.status != SDES_OK)
		return reply.status;
	*greeted = true;
	status = next_body(body, sdes_op_has_values(op) ? SDES_RESULTS_MAX : SDES_MESSAGE_MAX);
	if (status == SDES_OK && sdes_reply_decode(*body, op, &reply) != SDES_OK)
		return SDES_ERR_AGENT_PROTOCOL;
	return status;
}

static void
write_results(SdesWriter *w)
{
	static uint8_t sealed[SDES_VALUES_MAX];

	sdes_write_u32(w, 1 + 2 + 2 + 2 + 4 + sizeof(sealed));
	sdes_write_u8(w, SDES_OP_SEAL);
	sdes_write_u16(w, SDES_OK);
	sdes_write_u16(w, 1);
	sdes_result_write(w, SDES_OK, SDES_BYTES_OF(sealed));
}

static void
make_stream(SdesBytes input, uint8_t flags)
{
	static const uint8_t hello[] = {0, 0, 0, 3, SDES_OP_HELLO, 0, 0};
	SdesWriter w = sdes_writer(stream.bytes, sizeof(stream.bytes));

	if (flags & WITH_WELCOME)
		sdes_write_bytes(&w, SDES_BYTES_OF(hello));
	if (flags & LARGE)
		write_results(&w);
	sdes_write_bytes(&w, input);
	stream.size = sizeof(stream.bytes) - w.left;
	stream.at = 0;
}

static SdesClientWant
answer(SdesClient *client, SdesClientWant want, uint32_t seed)
{
	for (size_t sent = 0; sent < stream.size;)
	{
		size_t size = fuzz_chunk(&seed, stream.size - sent);
		ssize_t n = send(ours, stream.bytes + sent, size, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		sent += (size_t) n;
		if (want == SDES_CLIENT_READ)
			want = sdes_client_step(client);
		REQUIRE(want != SDES_CLIENT_WRITE);
	}
	if (want == SDES_CLIENT_READ)
	{
		shutdown(ours, SHUT_WR);
		want = sdes_client_step(client);
	}
	return want;
}

/* HELLO once, and the request once or not at all. */
static void
check_sent(const SdesRequest *request, const uint8_t *secret, bool greeted)
{
	static uint8_t sent[STREAM_MAX], want[STREAM_MAX];
	SdesWriter w = sdes_writer(want, sizeof(want));
	ssize_t n = recv(ours, sent, sizeof(sent), MSG_DONTWAIT);
	size_t used = 0;

	sdes_write_u32(&w, 1 + 2 + SDES_AGENT_SECRET_SIZE);
	sdes_write_u8(&w, SDES_OP_HELLO);
	sdes_write_u16(&w, SDES_PROTOCOL_VERSION);
	sdes_write_bytes(&w, sdes_bytes(secret, SDES_AGENT_SECRET_SIZE));
	if (greeted)
	{
		REQUIRE(sdes_request_encode(request, w.at + LENGTH_SIZE, w.left - LENGTH_SIZE,
		                            &used) == SDES_OK);
		sdes_write_u32(&w, (uint32_t) used);
		w.left -= used;
	}
	REQUIRE(n == (ssize_t) (sizeof(want) - w.left));
	REQUIRE(memcmp(sent, want, (size_t) n) == 0);
}

static void
check_reply(const SdesClient *client, SdesBytes body)
{
	static uint8_t again[SDES_RESULTS_MAX];
	const SdesReply *reply = sdes_client_reply(client);
	size_t used = 0;

	REQUIRE(reply != NULL);
	REQUIRE(sdes_reply_encode(reply, again, sizeof(again), &used) == SDES_OK);
	REQUIRE(fuzz_same(sdes_bytes(again, used), body));
}

/*
 * A connection is used again only when the agent has said nothing unasked. Lost
 * before a reply, it is replaced once.
 */
static void
check_reuse(SdesClient *client, const uint8_t *secret, const SdesRequest *request)
{
	bool unasked = stream.at < stream.size;
	bool once_only = request->op == SDES_OP_KEK_CREATE || request->op == SDES_OP_PIN_RETRY;
	SdesClientWant want;

	sdes_client_finish(client);
	REQUIRE(sdes_client_reply(client) == NULL && sdes_client_fd(client) >= 0);
	REQUIRE(sdes_client_begin(client, "socket", secret, request) == SDES_CLIENT_READ);
	REQUIRE(connections == (unasked ? 2 : 1));
	shutdown(ours, SHUT_WR);
	want = sdes_client_step(client);
	if (unasked || once_only)
		REQUIRE(want == SDES_CLIENT_FAILED &&
		        sdes_client_status(client) == SDES_ERR_AGENT_LOST);
	else
		REQUIRE(want == SDES_CLIENT_READ && connections == 2);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static SdesClient *client;
	uint8_t secret[SDES_AGENT_SECRET_SIZE] = {0};
	SdesBytes input = sdes_bytes(data, size), body;
	uint8_t flags = fuzz_take_byte(&input);
	uint32_t seed = fuzz_take_byte(&input);
	SdesRequest *request = the_request((SdesAgentOp) (1 + (flags & 0x1f) % OPS));
	bool with_secret = (flags & WITH_SECRET) != 0, greeted;
	SdesClientWant want;
	SdesStatus expected;

	if (client == NULL)
		client = sdes_client_new();
	REQUIRE(client != NULL);
	if (with_secret)
		memset(secret, FUZZ_BYTE, sizeof(secret));
	make_stream(input, flags);
	expected = expect(request->op, &body, &greeted);
	connections = 0;
	want = sdes_client_begin(client, "socket", with_secret ? secret : NULL, request);
	REQUIRE(want == SDES_CLIENT_READ && connections == 1);
	want = answer(client, want, seed);
	check_sent(request, secret, greeted);
	if (expected == SDES_OK)
	{
		REQUIRE(want == SDES_CLIENT_DONE);
		check_reply(client, body);
		check_reuse(client, with_secret ? secret : NULL, request);
	}
	else
	{
		REQUIRE(want == SDES_CLIENT_FAILED && sdes_client_status(client) == expected);
		REQUIRE(sdes_client_reply(client) == NULL && sdes_client_fd(client) == -1);
	}
	sdes_client_close(client);
	return 0;
}
