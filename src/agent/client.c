/*
 * client.c
 *		The non-blocking conversation of client.h.
 *
 * A connection goes HELLO out, HELLO reply in, then request out, reply in, as
 * often as wanted. Invariant: a request that must not be done twice (KEK_CREATE,
 * PIN_RETRY) is not sent again once its first byte was sent. Any other is, once,
 * when a connection that served before turns out to be closed.
 *
 * No signal, no wait: sockets are non-blocking, sends use MSG_NOSIGNAL.
 */
#include "agent/client.h"

#include "agent/buffer.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LENGTH_SIZE 4 /* before each body */
#define HELLO_SIZE  (1 + 2 + SDES_AGENT_SECRET_SIZE)
/* The longest without values, DEK_UNWRAP, fits with room; a power of 2 wastes no heap. */
#define REQUEST_SIZE 2048
/* Of SEAL and OPEN: op, KEK, number of values. */
#define VALUES_HEADER_SIZE (1 + SDES_KEK_ID_SIZE + 2)

typedef enum ClientPhase
{
	PHASE_CLOSED,
	PHASE_SEND_HELLO,
	PHASE_READ_HELLO,
	PHASE_SEND_REQUEST,
	PHASE_READ_REPLY,
	PHASE_DONE, /* reply is valid */
	PHASE_IDLE  /* connected, nothing under way */
} ClientPhase;

/* A message on its way out or in: the length and size bytes of a body. */
typedef struct Transfer
{
	uint8_t length[LENGTH_SIZE];
	uint8_t *body;
	size_t size;
	size_t done; /* of LENGTH_SIZE + size */
} Transfer;

struct SdesClient
{
	int fd;
	ClientPhase phase;
	SdesStatus status; /* of the last failure */
	bool reused;       /* the connection served an earlier request */

	/* what the connection was made to */
	char path[SDES_CONFIG_VALUE_SIZE];
	bool has_secret;

	/* locked memory, allocated at the first begin */
	SdesSecret secret;
	SdesSecret hello;
	SdesSecret request;
	SdesSecret incoming;

	/* ordinary memory, for one conversation about values; NULL otherwise */
	SdesBuffer values;
	SdesBuffer results;

	uint8_t *request_body;
	size_t request_size;
	Transfer transfer;
	SdesAgentOp op;
	SdesReply reply;
};

SdesClient *
sdes_client_new(void)
{
	SdesClient *client = calloc(1, sizeof(*client));

	if (client != NULL)
		client->fd = -1;
	return client;
}

static SdesStatus
allocate_buffers(SdesClient *client)
{
	SdesStatus status = SDES_OK;

	if (client->incoming.data != NULL)
		return SDES_OK;
	if (status == SDES_OK && client->secret.data == NULL)
		status = sdes_secret_new(&client->secret, SDES_AGENT_SECRET_SIZE);
	if (status == SDES_OK && client->hello.data == NULL)
		status = sdes_secret_new(&client->hello, HELLO_SIZE);
	if (status == SDES_OK && client->request.data == NULL)
		status = sdes_secret_new(&client->request, REQUEST_SIZE);
	if (status == SDES_OK)
		status = sdes_secret_new(&client->incoming, SDES_MESSAGE_MAX);
	return status;
}

static void
wipe(SdesSecret *secret)
{
	if (secret->data != NULL)
		OPENSSL_cleanse(secret->data, secret->size);
}

static void
wipe_request(SdesClient *client)
{
	wipe(&client->request);
	sdes_buffer_free(&client->values);
}

/* Wipes what a conversation leaves behind. */
static void
wipe_conversation(SdesClient *client)
{
	wipe(&client->hello);
	wipe_request(client);
	wipe(&client->incoming);
	sdes_buffer_free(&client->results);
	OPENSSL_cleanse(&client->reply, sizeof(client->reply));
}

static void
disconnect(SdesClient *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
	client->phase = PHASE_CLOSED;
	client->reused = false;
}

static SdesClientWant
fail(SdesClient *client, SdesStatus status)
{
	disconnect(client);
	wipe_conversation(client);
	client->status = status;
	return SDES_CLIENT_FAILED;
}

/* What a failed connect(2) means to who waits for the agent. */
static SdesStatus
connect_failure(int error)
{
	switch (error)
	{
		case EAGAIN: /* the backlog is full: it does not accept any more */
			return SDES_ERR_AGENT_TIMEOUT;
		case EACCES:
		case EPERM:
			return SDES_ERR_AGENT_REFUSED;
		default:
			return SDES_ERR_AGENT_ABSENT;
	}
}

/*
 * A Unix socket connects at once or not at all, also when non-blocking: there
 * is no state of being on the way (unix(7)).
 */
static SdesStatus
open_connection(SdesClient *client)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	disconnect(client);
	if (strlen(client->path) >= sizeof(address.sun_path))
		return SDES_ERR_AGENT_ABSENT;
	strcpy(address.sun_path, client->path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		return SDES_ERR_AGENT_ABSENT;
	if (connect(client->fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		return connect_failure(errno);
	return SDES_OK;
}

static void
start_send(SdesClient *client, ClientPhase phase, uint8_t *body, size_t size)
{
	SdesWriter w = sdes_writer(client->transfer.length, LENGTH_SIZE);

	sdes_write_u32(&w, (uint32_t) size);
	client->transfer.body = body;
	client->transfer.size = size;
	client->transfer.done = 0;
	client->phase = phase;
}

static void
start_read(SdesClient *client, ClientPhase phase)
{
	client->transfer.body = client->incoming.data;
	client->transfer.size = 0;
	client->transfer.done = 0;
	client->phase = phase;
}

static void
start_request(SdesClient *client)
{
	start_send(client, PHASE_SEND_REQUEST, client->request_body, client->request_size);
}

/* Connects and makes ready to say HELLO. */
static SdesStatus
start_connection(SdesClient *client)
{
	SdesWriter w = sdes_writer(client->hello.data, HELLO_SIZE);
	SdesStatus status = open_connection(client);

	if (status != SDES_OK)
		return status;
	/* Written field by field: an SdesRequest with the secret would lie on the stack. */
	sdes_write_u8(&w, SDES_OP_HELLO);
	sdes_write_u16(&w, SDES_PROTOCOL_VERSION);
	sdes_write_bytes(&w, sdes_secret_bytes(&client->secret));
	start_send(client, PHASE_SEND_HELLO, client->hello.data, HELLO_SIZE);
	return SDES_OK;
}

/* True while the idle connection is open and the agent has said nothing unasked. */
static bool
connection_alive(const SdesClient *client)
{
	uint8_t byte;

	return recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* Remembers path and secret; true when the connection was made with the same. */
static bool
take_address(SdesClient *client, const char *path, const uint8_t *secret)
{
	bool same = client->phase == PHASE_IDLE && strcmp(client->path, path) == 0 &&
	            client->has_secret == (secret != NULL) &&
	            (secret == NULL ||
	             CRYPTO_memcmp(client->secret.data, secret, SDES_AGENT_SECRET_SIZE) == 0);

	if (same)
		return true;
	strcpy(client->path, path);
	client->has_secret = secret != NULL;
	if (secret != NULL)
		memcpy(client->secret.data, secret, SDES_AGENT_SECRET_SIZE);
	else
		wipe(&client->secret);
	return false;
}

/* Into locked memory, or, with values, into a buffer of the right size. */
static SdesStatus
encode_request(SdesClient *client, const SdesRequest *request)
{
	size_t size = client->request.size;

	wipe_conversation(client);
	client->op = request->op;
	client->request_body = client->request.data;
	if (sdes_op_has_values(request->op))
	{
		size = VALUES_HEADER_SIZE + request->values.size;
		if (size > SDES_VALUES_MAX)
			return SDES_ERR_TOO_LONG;
		if (!sdes_buffer_new(&client->values, size))
			return SDES_ERR_MEMORY;
		client->request_body = client->values.data;
	}
	return sdes_request_encode(request, client->request_body, size, &client->request_size);
}

SdesClientWant
sdes_client_begin(SdesClient *client, const char *socket_path, const uint8_t *secret,
                  const SdesRequest *request)
{
	SdesStatus status = allocate_buffers(client);
	bool same;

	if (status != SDES_OK)
		return fail(client, status);
	if (client->phase == PHASE_DONE)
		sdes_client_finish(client);
	if (client->phase != PHASE_IDLE)
		disconnect(client);
	if (strlen(socket_path) >= sizeof(client->path))
		return fail(client, SDES_ERR_AGENT_ABSENT);

	status = encode_request(client, request);
	if (status != SDES_OK)
		return fail(client, status);
	same = take_address(client, socket_path, secret);
	if (same && connection_alive(client))
	{
		client->reused = true;
		start_request(client);
	}
	else if ((status = start_connection(client)) != SDES_OK)
		return fail(client, status);
	return sdes_client_step(client);
}

/* What one attempt to move bytes came to. */
typedef enum Moved
{
	MOVED_ALL,
	MOVED_WAIT,
	MOVED_LOST,
	MOVED_BAD,      /* the other side does not speak our protocol */
	MOVED_NO_MEMORY /* for the reply */
} Moved;

static Moved
moved_error(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK ? MOVED_WAIT : MOVED_LOST;
}

/* The part of a transfer that comes next: the rest of the length or of the body. */
static uint8_t *
transfer_next(Transfer *t, size_t *size)
{
	if (t->done < LENGTH_SIZE)
	{
		*size = LENGTH_SIZE - t->done;
		return t->length + t->done;
	}
	*size = LENGTH_SIZE + t->size - t->done;
	return t->body + (t->done - LENGTH_SIZE);
}

/* Length and body leave in one piece, so that the agent reads them in one. */
static Moved
send_some(SdesClient *client)
{
	Transfer *t = &client->transfer;

	while (t->done < LENGTH_SIZE + t->size)
	{
		struct iovec parts[2] = {{NULL, 0}, {t->body, t->size}};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
		ssize_t n;

		if (t->done < LENGTH_SIZE)
			parts[0].iov_base = transfer_next(t, &parts[0].iov_len);
		else
			parts[1].iov_base = transfer_next(t, &parts[1].iov_len);
		n = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return moved_error();
		t->done += (size_t) n;
	}
	return MOVED_ALL;
}

/* The length has arrived: finds room for the body. */
static Moved
prepare_body(SdesClient *client)
{
	Transfer *t = &client->transfer;
	SdesReader r = sdes_reader(SDES_BYTES_OF(t->length));
	bool results = client->phase == PHASE_READ_REPLY && sdes_op_has_values(client->op);

	t->size = sdes_read_u32(&r);
	if (t->size == 0 || t->size > (results ? SDES_RESULTS_MAX : SDES_MESSAGE_MAX))
		return MOVED_BAD;
	if (!results)
		return MOVED_ALL;
	if (!sdes_buffer_new(&client->results, t->size))
		return MOVED_NO_MEMORY;
	t->body = client->results.data;
	return MOVED_ALL;
}

static Moved
read_some(SdesClient *client)
{
	Transfer *t = &client->transfer;

	while (t->done < LENGTH_SIZE || t->done < LENGTH_SIZE + t->size)
	{
		size_t want;
		uint8_t *next = transfer_next(t, &want);
		ssize_t n = recv(client->fd, next, want, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return moved_error();
		if (n == 0)
			return MOVED_LOST;
		t->done += (size_t) n;
		if (t->done == LENGTH_SIZE)
		{
			Moved prepared = prepare_body(client);

			if (prepared != MOVED_ALL)
				return prepared;
		}
	}
	return MOVED_ALL;
}

/* A message has left or arrived: goes to the next phase, or fails. */
static SdesStatus
next_phase(SdesClient *client)
{
	SdesBytes body = sdes_bytes(client->transfer.body, client->transfer.size);

	switch (client->phase)
	{
		case PHASE_SEND_HELLO:
			wipe(&client->hello);
			start_read(client, PHASE_READ_HELLO);
			return SDES_OK;
		case PHASE_READ_HELLO:
			if (sdes_reply_decode(body, SDES_OP_HELLO, &client->reply) != SDES_OK)
				return SDES_ERR_AGENT_PROTOCOL;
			start_request(client);
			return client->reply.status;
		case PHASE_SEND_REQUEST:
			if (!client->reused) /* else it may have to be sent again */
				wipe_request(client);
			start_read(client, PHASE_READ_REPLY);
			return SDES_OK;
		default: /* PHASE_READ_REPLY: sdes_client_step() calls for no other */
			if (sdes_reply_decode(body, client->op, &client->reply) != SDES_OK)
				return SDES_ERR_AGENT_PROTOCOL;
			client->phase = PHASE_DONE;
			return SDES_OK;
	}
}

/*
 * The other side went away: lost, unless the connection was an old one and the
 * request can be sent over a new one.
 */
static SdesStatus
after_loss(SdesClient *client)
{
	bool started = client->phase != PHASE_SEND_REQUEST || client->transfer.done > 0;
	bool answered = client->phase == PHASE_READ_REPLY && client->transfer.done > 0;
	bool once_only = client->op == SDES_OP_KEK_CREATE || client->op == SDES_OP_PIN_RETRY;
	SdesStatus status;

	if (!client->reused || answered || (started && once_only))
		return SDES_ERR_AGENT_LOST;
	status = start_connection(client);
	return status == SDES_ERR_AGENT_ABSENT && started ? SDES_ERR_AGENT_LOST : status;
}

static SdesStatus
after_move(SdesClient *client, Moved moved)
{
	switch (moved)
	{
		case MOVED_ALL:
			return next_phase(client);
		case MOVED_NO_MEMORY:
			return SDES_ERR_MEMORY;
		case MOVED_LOST:
			return after_loss(client);
		default: /* MOVED_BAD; MOVED_WAIT is not passed on */
			return SDES_ERR_AGENT_PROTOCOL;
	}
}

SdesClientWant
sdes_client_step(SdesClient *client)
{
	if (client->phase == PHASE_CLOSED || client->phase == PHASE_IDLE)
		return SDES_CLIENT_FAILED;
	while (client->phase != PHASE_DONE)
	{
		bool sending =
		    client->phase == PHASE_SEND_HELLO || client->phase == PHASE_SEND_REQUEST;
		Moved moved = sending ? send_some(client) : read_some(client);
		SdesStatus status;

		if (moved == MOVED_WAIT)
			return sending ? SDES_CLIENT_WRITE : SDES_CLIENT_READ;
		status = after_move(client, moved);
		if (status != SDES_OK)
			return fail(client, status);
	}
	return SDES_CLIENT_DONE;
}

int
sdes_client_fd(const SdesClient *client)
{
	return client->fd;
}

SdesStatus
sdes_client_status(const SdesClient *client)
{
	return client->status;
}

const SdesReply *
sdes_client_reply(const SdesClient *client)
{
	return client->phase == PHASE_DONE ? &client->reply : NULL;
}

void
sdes_client_finish(SdesClient *client)
{
	if (client->phase != PHASE_DONE)
		return;
	wipe_conversation(client);
	client->phase = PHASE_IDLE;
}

void
sdes_client_close(SdesClient *client)
{
	disconnect(client);
	wipe_conversation(client);
	wipe(&client->secret);
	client->path[0] = '\0';
}

void
sdes_client_free(SdesClient *client)
{
	if (client == NULL)
		return;
	disconnect(client);
	wipe_conversation(client);
	sdes_secret_free(&client->secret);
	sdes_secret_free(&client->hello);
	sdes_secret_free(&client->request);
	sdes_secret_free(&client->incoming);
	OPENSSL_cleanse(client, sizeof(*client));
	free(client);
}
