/*
 * client.h
 *		The backend's side of a conversation with the agent, as a state machine
 *		that never blocks.
 *
 * The owner of the event loop calls sdes_client_step() whenever the descriptor
 * is ready as asked, and may drop the conversation at any moment with
 * sdes_client_close(). Nothing here waits, allocates through PostgreSQL or
 * jumps, so a cancelled statement leaves at worst an open client, which the
 * next sdes_client_begin() resets.
 *
 * Message bodies live in locked memory, allocated at the first begin and
 * wiped after each conversation; those with values (SEAL, OPEN) in ordinary
 * memory, which is wiped and given back then.
 */
#ifndef SDES_CLIENT_H
#define SDES_CLIENT_H

#include "agent/protocol.h"

typedef enum SdesClientWant
{
	SDES_CLIENT_DONE,  /* the reply is there, see sdes_client_reply() */
	SDES_CLIENT_READ,  /* call again when the descriptor is readable */
	SDES_CLIENT_WRITE, /* call again when it is writable */
	SDES_CLIENT_FAILED /* see sdes_client_status() */
} SdesClientWant;

typedef struct SdesClient SdesClient;

/* NULL when there is no (locked) memory. One per process is enough. */
extern SdesClient *sdes_client_new(void);

/*
 * Starts a request. Reuses the open connection when it is idle and was made to
 * the same socket with the same secret, else connects anew (HELLO first).
 * secret may be NULL for an agent that runs as its own service. Never blocks.
 * A reused connection that turns out to be closed is replaced once, silently,
 * unless the agent may have got a KEK_CREATE or PIN_RETRY by it.
 */
extern SdesClientWant sdes_client_begin(SdesClient *client, const char *socket_path,
                                        const uint8_t *secret, const SdesRequest *request);

/* Moves on as far as possible without blocking. */
extern SdesClientWant sdes_client_step(SdesClient *client);

/* The descriptor to wait on, -1 when there is none. */
extern int sdes_client_fd(const SdesClient *client);

/* After SDES_CLIENT_FAILED: SDES_ERR_AGENT_ABSENT, _LOST, _PROTOCOL, _REFUSED ... */
extern SdesStatus sdes_client_status(const SdesClient *client);

/* After SDES_CLIENT_DONE; valid until sdes_client_finish(), begin or close. */
extern const SdesReply *sdes_client_reply(const SdesClient *client);

/* Wipes the reply, keeps the connection for the next request. */
extern void sdes_client_finish(SdesClient *client);

/* Wipes everything and closes the connection. The client can begin again. */
extern void sdes_client_close(SdesClient *client);

extern void sdes_client_free(SdesClient *client);

#endif
