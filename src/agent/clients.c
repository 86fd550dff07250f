/*
 * clients.c
 *		Connections of the agent.
 *
 * Invariant: messages are taken apart in locked memory, but for those too large
 * for it, which hold values. A message that arrives in pieces is parked in a
 * plain buffer until the rest is there; sdes_client sends HELLO and DEK_WRAP,
 * the only requests with a secret, in one. A client that is idle has no buffer, and one
 * that announces a large message gets room as the message arrives.
 *
 * A client is known by a number that is never used twice, so that a late
 * result cannot reach the wrong one.
 */
#include "agent/clients.h"

#include "agent/buffer.h"
#include "agent/log.h"
#include "crypto/mac.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LENGTH_SIZE  4
#define ACCEPT_BATCH 64
#define SPARE_FILES  64          /* for the module, logs and pipes */
#define FIRST_ROOM   8192        /* of a large message; doubled as it fills */
#define REPLY_HEADER (1 + 2 + 2) /* of SEAL and OPEN: op, status, number of results */

typedef struct Client
{
	int fd;
	uint64_t number;
	bool greeted;     /* HELLO was right */
	bool busy;        /* a request is under way: read no further */
	int64_t deadline; /* for HELLO or the rest of a message or reply; 0 when none */
	size_t have;      /* of length and body */
	uint8_t length[LENGTH_SIZE];
	SdesBuffer body; /* of a message not here whole, or too large for clients.in */
	SdesBuffer out;  /* a reply that the socket has not taken whole */
	size_t sent;     /* of it */
} Client;

static struct
{
	SdesClientsSetup setup;
	Client **table;
	int count;
	int max;
	uint64_t last_number;
	SdesSecret in;      /* SDES_MESSAGE_MAX: the body at hand, unless it is larger */
	SdesSecret out;     /* SDES_MESSAGE_MAX: the reply at hand */
	SdesSecret request; /* an SdesRequest: HELLO has the secret in it */
} clients;

/* Not realloc(), which might leave a copy of what was there. */
static bool
buffer_grow(SdesBuffer *buffer, size_t size)
{
	SdesBuffer larger;

	if (!sdes_buffer_new(&larger, size))
		return false;
	if (buffer->size > 0)
		memcpy(larger.data, buffer->data, buffer->size);
	sdes_buffer_free(buffer);
	*buffer = larger;
	return true;
}

/* As many as descriptors allow, up to our own limit. */
static int
client_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return SDES_CLIENTS_MAX;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur > SDES_CLIENTS_MAX + SPARE_FILES)
		return SDES_CLIENTS_MAX;
	return limit.rlim_cur > SPARE_FILES ? (int) limit.rlim_cur - SPARE_FILES : 1;
}

bool
sdes_clients_init(const SdesClientsSetup *setup)
{
	clients.setup = *setup;
	clients.max = client_limit();
	clients.table = calloc((size_t) clients.max, sizeof(*clients.table));
	return clients.table != NULL &&
	       sdes_secret_new(&clients.in, SDES_MESSAGE_MAX) == SDES_OK &&
	       sdes_secret_new(&clients.out, SDES_MESSAGE_MAX) == SDES_OK &&
	       sdes_secret_new(&clients.request, sizeof(SdesRequest)) == SDES_OK;
}

bool
sdes_clients_room(void)
{
	return clients.count < clients.max;
}

/* Drops the client at an index; the last one takes its place. */
static void
drop(int at)
{
	Client *client = clients.table[at];

	clients.table[at] = clients.table[--clients.count];
	close(client->fd);
	if (client->busy)
		clients.setup.gone(client->number);
	sdes_buffer_free(&client->body);
	sdes_buffer_free(&client->out);
	OPENSSL_cleanse(client, sizeof(*client));
	free(client);
}

static int
index_of(uint64_t number)
{
	for (int i = 0; i < clients.count; i++)
	{
		if (clients.table[i]->number == number)
			return i;
	}
	return -1;
}

/* True when the peer may speak to us at all. */
static bool
peer_allowed(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
	{
		sdes_agent_log("refused a client whose user is unknown");
		return false;
	}
	if (clients.setup.same_user && peer.uid != geteuid())
	{
		sdes_agent_log("refused process %ld of user %ld", (long) peer.pid, (long) peer.uid);
		return false;
	}
	return true;
}

static bool
add(int fd)
{
	Client *client = peer_allowed(fd) ? calloc(1, sizeof(*client)) : NULL;

	if (client == NULL)
	{
		close(fd);
		return false;
	}
	client->fd = fd;
	client->number = ++clients.last_number;
	client->deadline = sdes_agent_now() + SDES_CLIENT_SLOW_MS;
	clients.table[clients.count++] = client;
	return true;
}

bool
sdes_clients_accept(int listener)
{
	for (int i = 0; i < ACCEPT_BATCH && sdes_clients_room(); i++)
	{
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			add(fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			return false;
		else if (errno != EINTR && errno != ECONNABORTED)
			break;
	}
	return true;
}

/* A busy client is watched for going away only, which needs no event. */
static short
events_of(const Client *client)
{
	if (client->out.data != NULL)
		return POLLOUT;
	return client->busy ? 0 : POLLIN;
}

int
sdes_clients_poll(struct pollfd *out)
{
	for (int i = 0; i < clients.count; i++)
		out[i] = (struct pollfd){clients.table[i]->fd, events_of(clients.table[i]), 0};
	return clients.count;
}

/* Sends the body in clients.out; false unless the socket took it whole. */
static bool
send_out(const Client *client, size_t size)
{
	uint8_t length[LENGTH_SIZE];
	SdesWriter w = sdes_writer(length, sizeof(length));
	struct iovec parts[2] = {{length, sizeof(length)}, {clients.out.data, size}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t n;

	sdes_write_u32(&w, (uint32_t) size);
	do
		n = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	OPENSSL_cleanse(clients.out.data, size);
	return n == (ssize_t) (LENGTH_SIZE + size);
}

/* Sends what the socket takes of client->out. False: drop the client. */
static bool
send_more(Client *client)
{
	while (client->sent < client->out.size)
	{
		ssize_t n = send(client->fd, client->out.data + client->sent,
		                 client->out.size - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			client->sent += (size_t) n;
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
		{
			if (client->deadline == 0)
				client->deadline = sdes_agent_now() + SDES_CLIENT_SLOW_MS;
			return true;
		}
		else if (errno != EINTR)
			return false;
	}
	sdes_buffer_free(&client->out);
	client->deadline = 0;
	return true;
}

/* A reply with values, which may be larger than what the socket takes at once. */
static bool
reply_values(Client *client, const SdesReply *reply)
{
	size_t size = REPLY_HEADER + reply->results.size, used;
	SdesWriter w;

	if (size > SDES_RESULTS_MAX || !sdes_buffer_new(&client->out, LENGTH_SIZE + size))
		return false;
	w = sdes_writer(client->out.data, LENGTH_SIZE);
	sdes_write_u32(&w, (uint32_t) size);
	client->sent = 0;
	return sdes_reply_encode(reply, client->out.data + LENGTH_SIZE, size, &used) ==
	           SDES_OK &&
	       used == size && send_more(client);
}

static bool
reply_to(Client *client, const SdesReply *reply)
{
	size_t used;

	if (reply->status == SDES_OK && sdes_op_has_values(reply->op))
		return reply_values(client, reply);
	if (sdes_reply_encode(reply, clients.out.data, clients.out.size, &used) != SDES_OK)
		return false;
	return send_out(client, used);
}

static bool
reply_hello(Client *client, SdesStatus status)
{
	SdesReply reply = {.op = SDES_OP_HELLO, .status = status};

	return reply_to(client, &reply);
}

/* HELLO: the version, then the secret. True when the client may stay. */
static bool
greet(Client *client, const SdesRequest *hello)
{
	const SdesAgentConfig *config = clients.setup.config;

	if (hello->version != SDES_PROTOCOL_VERSION)
	{
		sdes_agent_log("refused a client with protocol version %u", hello->version);
		reply_hello(client, SDES_ERR_AGENT_PROTOCOL);
		return false;
	}
	if (config->has_secret &&
	    !sdes_equal(hello->secret, config->secret, sizeof(config->secret)))
	{
		sdes_agent_log("refused a client with a wrong secret");
		reply_hello(client, SDES_ERR_AGENT_REFUSED);
		return false;
	}
	client->greeted = true;
	return reply_hello(client, SDES_OK);
}

/* Takes a whole body. False: drop the client. */
static bool
take_message(Client *client, SdesBytes body)
{
	SdesRequest *request = (SdesRequest *) (void *) clients.request.data;
	bool stay = false;

	if (sdes_request_decode(body, request) != SDES_OK)
		sdes_agent_log("dropped a client that sent a malformed request");
	else if (!client->greeted && request->op == SDES_OP_HELLO)
		stay = greet(client, request);
	else if (client->greeted && request->op != SDES_OP_HELLO)
	{
		client->busy = true;
		clients.setup.handle(client->number, request);
		stay = true;
	}
	OPENSSL_cleanse(request, sizeof(*request));
	return stay;
}

typedef enum Received
{
	RECEIVED_ALL,
	RECEIVED_PART,
	RECEIVED_END
} Received;

/* Of the body that is announced; 0 when it cannot be. */
static size_t
announced(const Client *client)
{
	SdesReader r = sdes_reader(SDES_BYTES_OF(client->length));
	size_t size = sdes_read_u32(&r);

	return size <= (client->greeted ? SDES_VALUES_MAX : SDES_MESSAGE_MAX) ? size : 0;
}

/* Where the next bytes of a body of this size go, and how many; NULL without memory. */
static uint8_t *
next_room(Client *client, size_t size, size_t *room)
{
	size_t have = client->have - LENGTH_SIZE;

	if (size <= SDES_MESSAGE_MAX)
	{
		*room = size - have;
		return clients.in.data + have;
	}
	if (have == client->body.size)
	{
		size_t wanted = have == 0 ? FIRST_ROOM : 2 * have;

		if (!buffer_grow(&client->body, wanted < size ? wanted : size))
			return NULL;
	}
	*room = client->body.size - have;
	return client->body.data + have;
}

/* Reads on until the message is whole; *size is its body's. */
static Received
receive(Client *client, size_t *size)
{
	for (;;)
	{
		uint8_t *into;
		size_t room;
		ssize_t n;

		if (client->have < LENGTH_SIZE)
		{
			into = client->length + client->have;
			room = LENGTH_SIZE - client->have;
		}
		else
		{
			*size = announced(client);
			if (*size == 0)
				return RECEIVED_END;
			if (client->have == LENGTH_SIZE + *size)
				return RECEIVED_ALL;
			into = next_room(client, *size, &room);
			if (into == NULL)
				return RECEIVED_END;
		}
		n = recv(client->fd, into, room, MSG_DONTWAIT);
		if (n > 0)
			client->have += (size_t) n;
		else if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK))
			return RECEIVED_END;
		else if (errno != EINTR)
			return RECEIVED_PART;
	}
}

/* Takes a parked part of a small message into clients.in. */
static void
unpark(Client *client)
{
	if (client->body.data == NULL || announced(client) > SDES_MESSAGE_MAX)
		return;
	memcpy(clients.in.data, client->body.data, client->body.size);
	sdes_buffer_free(&client->body);
}

/* Takes a part of a small message out of clients.in. False without memory. */
static bool
park(Client *client)
{
	size_t size = client->have > LENGTH_SIZE ? client->have - LENGTH_SIZE : 0;

	if (size == 0 || client->body.data != NULL)
		return true;
	if (!sdes_buffer_new(&client->body, size))
		return false;
	memcpy(client->body.data, clients.in.data, size);
	return true;
}

/* The body at hand is whole. */
static bool
take_body(Client *client, size_t size)
{
	SdesBuffer body = client->body;
	bool stay;

	client->body = (SdesBuffer){NULL, 0};
	client->have = 0;
	client->deadline = 0;
	stay = take_message(client,
	                    sdes_bytes(body.data != NULL ? body.data : clients.in.data, size));
	sdes_buffer_free(&body);
	return stay;
}

/* Reads one message. False: drop the client. */
static bool
serve(Client *client)
{
	size_t size = 0;
	Received received;
	bool stay = false;

	unpark(client);
	received = receive(client, &size);
	if (received == RECEIVED_ALL)
		stay = take_body(client, size);
	else if (received == RECEIVED_PART)
	{
		stay = park(client);
		if (client->deadline == 0 && client->have > 0)
			client->deadline = sdes_agent_now() + SDES_CLIENT_SLOW_MS;
	}
	OPENSSL_cleanse(clients.in.data, clients.in.size);
	return stay;
}

/* What poll() found. False: drop the client. */
static bool
attend(Client *client, short revents)
{
	if (client->busy || client->out.data != NULL)
	{
		if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
			return false;
		return client->out.data == NULL || send_more(client);
	}
	return serve(client);
}

/* From the last to the first: drop() fills a gap from the end. */
void
sdes_clients_serve(const struct pollfd *ready, int count)
{
	for (int i = count - 1; i >= 0; i--)
	{
		if (ready[i].revents != 0 && !attend(clients.table[i], ready[i].revents))
			drop(i);
	}
}

int
sdes_clients_tick(void)
{
	int64_t now = sdes_agent_now(), wait = -1;

	for (int i = clients.count - 1; i >= 0; i--)
	{
		int64_t left = clients.table[i]->deadline - now;

		if (clients.table[i]->deadline == 0)
			continue;
		if (left <= 0)
			drop(i);
		else if (wait < 0 || left < wait)
			wait = left;
	}
	return (int) wait;
}

void
sdes_clients_reply(uint64_t number, const SdesReply *reply)
{
	int at = index_of(number);
	Client *client = at < 0 ? NULL : clients.table[at];

	if (client == NULL)
		return;
	client->busy = false;
	if (!reply_to(client, reply))
		shutdown(client->fd, SHUT_RDWR); /* dropped when poll() next reports it */
}
