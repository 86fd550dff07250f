/*
 * batch_tests.c
 *		Values sealed and opened through the agent: sizes, what is wrong with one
 *		of them, tokens that return wrong bytes; and what connections cost.
 */
#include "fixture.h"
#include "tests.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEADER 19 /* of a request with values: op, KEK, number of them */
#define IDLE   4000

/* Batches of one client. */
typedef struct Batcher
{
	Fixture *f;
	SdesClient *client;
	uint8_t kek[SDES_KEK_ID_SIZE];
	uint8_t values[SDES_VALUES_MAX];
	SdesWriter writer;
	uint16_t count;
	uint8_t results[SDES_RESULTS_MAX]; /* of the last reply */
	size_t results_size;
	char detail[SDES_DETAIL_MAX + 1];
} Batcher;

static const uint8_t aad[36] = "what the values are bound to";

static void
clear(Batcher *b)
{
	b->writer = sdes_writer(b->values, sizeof(b->values));
	b->count = 0;
}

static void
add(Batcher *b, const void *data, size_t size)
{
	sdes_value_write(&b->writer, SDES_BYTES_OF(aad), sdes_bytes(data, size));
	b->count++;
}

/* Waits for a client that has begun. */
static SdesStatus
finish(Batcher *b, SdesClientWant want, int ms)
{
	int64_t deadline = now_ms() + ms;
	SdesStatus status;

	while ((want == SDES_CLIENT_READ || want == SDES_CLIENT_WRITE) && now_ms() < deadline)
	{
		struct pollfd fd = {sdes_client_fd(b->client),
		                    want == SDES_CLIENT_READ ? POLLIN : POLLOUT, 0};

		poll(&fd, 1, 50);
		want = sdes_client_step(b->client);
	}
	if (want == SDES_CLIENT_FAILED)
		return sdes_client_status(b->client);
	if (want != SDES_CLIENT_DONE)
		return SDES_ERR_AGENT_TIMEOUT;
	status = sdes_client_reply(b->client)->status;
	b->results_size = sdes_client_reply(b->client)->results.size;
	if (b->results_size > 0)
		memcpy(b->results, sdes_client_reply(b->client)->results.data, b->results_size);
	strcpy(b->detail, sdes_client_reply(b->client)->detail);
	sdes_client_finish(b->client);
	return status;
}

static SdesClientWant
begin(Batcher *b, SdesAgentOp op)
{
	SdesRequest request = {.op = op, .nvalues = b->count};

	memcpy(request.kek_id, b->kek, sizeof(request.kek_id));
	request.values = sdes_bytes(b->values, sizeof(b->values) - b->writer.left);
	return sdes_client_begin(b->client, b->f->config.socket, b->f->secret, &request);
}

static SdesStatus
run(Batcher *b, SdesAgentOp op)
{
	return finish(b, begin(b, op), 15000);
}

static SdesStatus
result(const Batcher *b, int which, SdesBytes *data)
{
	SdesReader r = sdes_reader(sdes_bytes(b->results, b->results_size));
	SdesStatus status = SDES_OK;

	for (int i = 0; i <= which; i++)
		status = sdes_result_read(&r, data);
	return status;
}

/* Makes the results of SEAL the values of the next OPEN. */
static void
turn(Batcher *b)
{
	SdesReader r = sdes_reader(sdes_bytes(b->results, b->results_size));
	int count = b->count;
	SdesBytes data;

	clear(b);
	for (int i = 0; i < count; i++)
	{
		sdes_result_read(&r, &data);
		add(b, data.data, data.size);
	}
}

static Batcher *
batcher_new(void)
{
	Batcher *b = calloc(1, sizeof(*b));
	SdesRequest create = {.op = SDES_OP_KEK_CREATE,
	                      .label = "values",
	                      .kind = SDES_KEK_AES_256,
	                      .seals = true};

	b->f = fixture_new();
	b->client = sdes_client_new();
	agent_start(b->f);
	wait_state(b->f, SDES_AGENT_READY, SDES_OK);
	check_status(ask(b->f, &create, 15000), SDES_OK, "a KEK to seal values under");
	memcpy(b->kek, b->f->reply.kek_id, sizeof(b->kek));
	clear(b);
	return b;
}

static void
batcher_free(Batcher *b)
{
	fixture_rule(b->f, NULL);
	sdes_client_free(b->client);
	fixture_free(b->f);
	free(b);
}

static void
add_texts(Batcher *b, int count)
{
	clear(b);
	for (int i = 0; i < count; i++)
	{
		char text[16];

		add(b, text, (size_t) snprintf(text, sizeof(text), "value %d", i));
	}
}

/* How many results are the texts in their order. */
static int
texts_in(const Batcher *b, int count)
{
	SdesReader r = sdes_reader(sdes_bytes(b->results, b->results_size));
	int good = 0;

	for (int i = 0; i < count; i++)
	{
		char text[16];
		size_t size = (size_t) snprintf(text, sizeof(text), "value %d", i);
		SdesBytes data;

		good += sdes_result_read(&r, &data) == SDES_OK && data.size == size &&
		        memcmp(data.data, text, size) == 0;
	}
	return good;
}

static void
test_batches(Batcher *b)
{
	SdesBytes data;

	add_texts(b, 20);
	check_status(run(b, SDES_OP_SEAL), SDES_OK, "SEAL");
	check(texts_in(b, 20) == 0 && result(b, 3, &data) == SDES_OK &&
	          data.size == 7 + SDES_VALUE_OVERHEAD,
	      "makes something else of 20 values");
	turn(b);
	check_status(run(b, SDES_OP_OPEN), SDES_OK, "OPEN");
	check(texts_in(b, 20) == 20, "makes the 20 values of it");

	add_texts(b, 20);
	run(b, SDES_OP_SEAL);
	turn(b);
	b->values[5 * (1 + sizeof(aad) + 4 + 7 + SDES_VALUE_OVERHEAD) - 1] ^= 1;
	check_status(run(b, SDES_OP_OPEN), SDES_OK, "one of them is spoilt");
	check(texts_in(b, 20) == 19 && result(b, 4, &data) == SDES_ERR_TAG,
	      "that one fails, and no other");

	b->kek[0] ^= 1;
	check_status(run(b, SDES_OP_OPEN), SDES_ERR_HSM_KEY_MISSING, "no such key");
	b->kek[0] ^= 1;
}

static void
test_sizes(Batcher *b)
{
	static const uint8_t zeros[SDES_VALUES_MAX];
	const size_t head = 1 + sizeof(aad) + 4;
	SdesBytes data;

	clear(b);
	add(b, zeros, SDES_VALUE_MAX);
	check_status(run(b, SDES_OP_SEAL), SDES_OK, "the longest value");
	check_status(result(b, 0, &data), SDES_OK, "is sealed");
	turn(b);
	run(b, SDES_OP_OPEN);
	check(result(b, 0, &data) == SDES_OK && data.size == SDES_VALUE_MAX &&
	          memcmp(data.data, zeros, data.size) == 0,
	      "and opened");
	clear(b);
	add(b, zeros, SDES_VALUE_MAX + 1);
	add(b, zeros, 1);
	run(b, SDES_OP_SEAL);
	check(result(b, 0, &data) == SDES_ERR_TOO_LONG && result(b, 1, &data) == SDES_OK,
	      "one byte more: that value is refused");

	clear(b);
	add(b, zeros, SDES_VALUE_MAX - 36);
	add(b, zeros, SDES_VALUES_MAX - HEADER - 2 * head - (SDES_VALUE_MAX - 36));
	check(b->writer.left == HEADER, "a batch of the maximal size");
	check_status(run(b, SDES_OP_SEAL), SDES_OK, "is sealed");
	check(result(b, 1, &data) == SDES_OK, "all of it");
	clear(b);
	add(b, zeros, SDES_VALUE_MAX - 36);
	add(b, zeros, SDES_VALUES_MAX - HEADER - 2 * head - (SDES_VALUE_MAX - 36) + 1);
	check_status(run(b, SDES_OP_SEAL), SDES_ERR_TOO_LONG, "one byte more: refused");
	clear(b);
	while (b->writer.left >= HEADER + head)
		add(b, NULL, 0);
	check_status(run(b, SDES_OP_SEAL), SDES_OK, "as many values as fit");
	check(result(b, b->count - 1, &data) == SDES_OK && data.size == SDES_VALUE_OVERHEAD,
	      "all %d of them are sealed", b->count);
}

/* Whatever the token returns: never a value that was not sealed. */
static void
test_wrong_bytes(Batcher *b)
{
	static const char *const rules[] = {"C_Decrypt wrong", "C_Decrypt torn",
	                                    "C_Decrypt less", "C_Decrypt short",
	                                    "C_Decrypt 0x5"};
	SdesBytes data;
	int tags = 0;

	add_texts(b, 30);
	run(b, SDES_OP_SEAL);
	turn(b);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
	{
		char rule[64];

		fixture_rule(b->f, rules[i]);
		check_status(run(b, SDES_OP_OPEN), SDES_ERR_HSM, rules[i]);
		check(b->results_size == 0, "no value comes of it");
		snprintf(rule, sizeof(rule), "%s 1", rules[i]);
		fixture_rule(b->f, rule);
		check(run(b, SDES_OP_OPEN) == SDES_OK && texts_in(b, 30) == 30,
		      "only once: all come");
	}
	fixture_rule(b->f, "C_Encrypt wrong every 30");
	add_texts(b, 30);
	check_status(run(b, SDES_OP_SEAL), SDES_OK, "C_Encrypt returns a wrong byte");
	fixture_rule(b->f, NULL);
	turn(b);
	check_status(run(b, SDES_OP_OPEN), SDES_OK, "the batch is opened");
	for (int i = 0; i < 30; i++)
		tags += result(b, i, &data) == SDES_ERR_TAG;
	check(texts_in(b, 30) == 29 && tags == 1, "that value is found out");
	fixture_rule(b->f, "C_DecryptInit 0x30 every 40");
	check(run(b, SDES_OP_OPEN) == SDES_OK && texts_in(b, 30) == 29,
	      "a session lost in the middle of a batch: it goes on");
	fixture_rule(b->f, NULL);
}

/* The agent goes away under a connection that was kept. */
static void
test_kept_connection(Batcher *b)
{
	SdesRequest create = {.op = SDES_OP_KEK_CREATE, .label = "k", .kind = SDES_KEK_AES_256};
	SdesClientWant want;
	int before, fd, calls;

	add_texts(b, 3);
	run(b, SDES_OP_SEAL);
	fd = sdes_client_fd(b->client);
	before = fixture_calls(b->f, "C_Encrypt ");
	check(run(b, SDES_OP_SEAL) == SDES_OK && sdes_client_fd(b->client) == fd,
	      "a connection is kept from one request to the next");
	/* A probe of the agent's own may come in between, which has two. */
	calls = fixture_calls(b->f, "C_Encrypt ") - before;
	check(calls >= 3 && calls < 6, "and nothing is done twice (%d calls)", calls);

	kill(b->f->agent, SIGSTOP);
	want = begin(b, SDES_OP_SEAL);
	agent_kill(b->f);
	agent_start(b->f);
	wait_state(b->f, SDES_AGENT_READY, SDES_OK);
	check_status(finish(b, want, 5000), SDES_OK,
	             "the agent went away with the request: sent again, to its successor");
	turn(b);
	check(run(b, SDES_OP_OPEN) == SDES_OK && texts_in(b, 3) == 3, "and done right");

	kill(b->f->agent, SIGSTOP);
	want = sdes_client_begin(b->client, b->f->config.socket, b->f->secret, &create);
	agent_kill(b->f);
	agent_start(b->f);
	wait_state(b->f, SDES_AGENT_READY, SDES_OK);
	check_status(finish(b, want, 5000), SDES_ERR_AGENT_LOST, "but not KEK_CREATE");
}

/* ---- what connections cost ---- */

/* Kilobytes of the agent in memory. */
static long
resident(const Fixture *f)
{
	char path[64], line[128];
	FILE *file;
	long size = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int) f->agent);
	file = fopen(path, "r");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		sscanf(line, "VmRSS: %ld", &size);
	if (file != NULL)
		fclose(file);
	return size;
}

/* A connection that has said HELLO, -1 unless it was answered. */
static int
greeted(const Fixture *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint8_t hello[4 + 35] = {0, 0, 0, 35, SDES_OP_HELLO, 0, SDES_PROTOCOL_VERSION};
	struct pollfd ready = {fd, POLLIN, 0};

	memcpy(hello + 7, f->config.secret, SDES_AGENT_SECRET_SIZE);
	strcpy(address.sun_path, f->config.socket);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0 &&
	    send(fd, hello, sizeof(hello), MSG_NOSIGNAL) == sizeof(hello) &&
	    poll(&ready, 1, 3000) == 1 && recv(fd, hello, sizeof(hello), 0) == 4 + 3)
		return fd;
	close(fd);
	return -1;
}

static void
test_memory(Batcher *b)
{
	static const uint8_t half[] = {0, 1, 0, 0, SDES_OP_SEAL, 1, 2, 3};
	static int fds[IDLE];
	int connected = 0, hung_up = 0;
	long before, idle, halves, after;

	for (int i = 0; i < 3; i++)
		test_sizes(b);
	before = resident(b->f);
	for (int i = 0; i < IDLE; i++)
	{
		fds[i] = greeted(b->f);
		connected += fds[i] >= 0;
	}
	idle = resident(b->f);
	check(connected == IDLE, "%d connections", IDLE);
	check(idle - before < 4096, "cost %ld kB of the agent's memory", idle - before);
	for (int i = 0; i < 500; i++)
		send(fds[i], half, sizeof(half), MSG_NOSIGNAL);
	add_texts(b, 3);
	check_status(run(b, SDES_OP_SEAL), SDES_OK, "others are served meanwhile");
	halves = resident(b->f);
	check(halves - idle < 8192, "500 that announce a large message: %ld kB", halves - idle);
	for (int i = 0; i < 500; i++)
	{
		struct pollfd ready = {fds[i], POLLIN, 0};
		uint8_t byte;

		hung_up += poll(&ready, 1, 8000) == 1 && recv(fds[i], &byte, 1, 0) == 0;
	}
	check(hung_up == 500, "and do not send it are hung up on");
	for (int i = 0; i < IDLE; i++)
		close(fds[i]);
	test_sizes(b);
	after = resident(b->f);
	check(after - before < 8192, "after all that %ld kB are left", after - before);
}

/* The length that is announced: of the largest message, and one more. */
static void
test_lengths(Batcher *b)
{
	static const uint8_t largest[] = {0, 1, 0, 0}, larger[] = {0, 1, 0, 1};
	int one = greeted(b->f), other = greeted(b->f);
	struct pollfd ready[2] = {{one, POLLIN, 0}, {other, POLLIN, 0}};
	uint8_t byte;

	send(one, largest, sizeof(largest), MSG_NOSIGNAL);
	send(other, larger, sizeof(larger), MSG_NOSIGNAL);
	check(poll(&ready[1], 1, 1000) == 1 && recv(other, &byte, 1, 0) == 0,
	      "a message longer than the longest: hung up on");
	check(poll(&ready[0], 1, 0) == 0, "the longest may come");
	close(one);
	close(other);
}

/* Asks for more than the socket takes, and reads it late. */
static void
test_late_reader(Batcher *b)
{
	static uint8_t message[4 + SDES_VALUES_MAX], reply[4 + SDES_RESULTS_MAX];
	static const uint8_t zeros[SDES_VALUE_MAX];
	SdesRequest request = {.op = SDES_OP_SEAL};
	SdesWriter w = sdes_writer(message, 4);
	int fd = greeted(b->f), sent = 0, got = 0;
	size_t used = 0, at = 0;

	clear(b);
	add(b, zeros, SDES_VALUE_MAX - 60);
	add(b, zeros, SDES_VALUE_MAX - 60);
	memcpy(request.kek_id, b->kek, sizeof(request.kek_id));
	request.nvalues = b->count;
	request.values = sdes_bytes(b->values, sizeof(b->values) - b->writer.left);
	if (sdes_request_encode(&request, message + 4, SDES_VALUES_MAX, &used) != SDES_OK)
		abort();
	sdes_write_u32(&w, (uint32_t) used);
	/* Until neither side takes more: the agent reads nothing while a reply waits. */
	for (;;)
	{
		struct pollfd ready = {fd, POLLOUT, 0};
		ssize_t n;

		if (poll(&ready, 1, 500) <= 0)
			break;
		n = send(fd, message + at, 4 + used - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			break;
		at += (size_t) n;
		if (at == 4 + used)
		{
			sent++;
			at = 0;
		}
	}
	check(sent >= 3, "%d large requests are sent, and no reply is read", sent);
	for (; got < sent; got++)
	{
		size_t due = 4 + 5 + 2 * (6 + SDES_VALUE_MAX - 60 + SDES_VALUE_OVERHEAD);
		struct pollfd ready = {fd, POLLIN, 0};
		SdesReply decoded;

		if (poll(&ready, 1, 3000) <= 0 ||
		    recv(fd, reply, due, MSG_WAITALL) != (ssize_t) due ||
		    sdes_reply_decode(sdes_bytes(reply + 4, due - 4), SDES_OP_SEAL, &decoded) !=
		        SDES_OK)
			break;
	}
	check(got == sent, "all are answered in full when it is");
	close(fd);
}

void
batch_tests(void)
{
	Batcher *b = batcher_new();

	test_batches(b);
	test_sizes(b);
	test_wrong_bytes(b);
	test_kept_connection(b);
	test_lengths(b);
	test_late_reader(b);
	test_memory(b);
	check(wait_state(b->f, SDES_AGENT_READY, SDES_OK), "the agent is still ready");
	batcher_free(b);
}
