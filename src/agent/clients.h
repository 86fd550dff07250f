/*
 * clients.h
 *		The agent's connections: reading requests, writing replies, limits.
 *
 * Main thread only. Nothing here blocks: a client that does not take its reply
 * at once is dropped, since it never has more than one under way and the
 * socket's buffer holds many. A reply with values may be larger than that: its
 * rest waits, for a bounded time.
 */
#ifndef SDES_AGENT_CLIENTS_H
#define SDES_AGENT_CLIENTS_H

#include "agent/protocol.h"

#include <poll.h>

#define SDES_CLIENTS_MAX    4096
#define SDES_CLIENT_SLOW_MS 5000 /* for HELLO, and for the rest of a message */

/* Called with each request after HELLO; answer with sdes_clients_reply(). */
typedef void (*SdesRequestHandler)(uint64_t client, const SdesRequest *request);

/* Called when a connection is gone. */
typedef void (*SdesGoneHandler)(uint64_t client);

typedef struct SdesClientsSetup
{
	const SdesAgentConfig *config;
	bool same_user; /* refuse peers of another uid */
	SdesRequestHandler handle;
	SdesGoneHandler gone;
} SdesClientsSetup;

/* Locked buffers and the table. False without (locked) memory. */
extern bool sdes_clients_init(const SdesClientsSetup *setup);

/* True while one more may be accepted. */
extern bool sdes_clients_room(void);

/* Accepts what waits on the listening socket; false when out of descriptors. */
extern bool sdes_clients_accept(int listener);

/* Fills one pollfd per client; returns their number. */
extern int sdes_clients_poll(struct pollfd *out);

/* Serves those that poll() found ready: the same array. */
extern void sdes_clients_serve(const struct pollfd *ready, int count);

/* Drops who is too slow; returns milliseconds until the next check, -1 for never. */
extern int sdes_clients_tick(void);

/* Sends a reply; a client that is gone, or does not take it, is no error. */
extern void sdes_clients_reply(uint64_t client, const SdesReply *reply);

#endif
