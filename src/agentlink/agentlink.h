/*
 * agentlink.h
 *		Asking the key agent from a backend, and what backends, the supervisor
 *		and the agent share.
 *
 * A backend waits for the agent on its latch, so that cancel, statement
 * timeout and termination work while the HSM hangs. It never waits where it
 * could not be interrupted.
 */
#ifndef SDES_AGENTLINK_H
#define SDES_AGENTLINK_H

#include "postgres.h"

#include "agent/protocol.h"

/* Longest a backend waits for one answer; the agent gives up before that. */
#define SDES_LINK_TIMEOUT_MS 12000
/* The same for a new KEK. */
#define SDES_LINK_KEK_TIMEOUT_MS 62000
/* Longest it waits where it can do without. */
#define SDES_LINK_BRIEF_MS 300
/* Longest a backend waits for an agent that is being restarted. */
#define SDES_LINK_RESTART_MS 5000
/* Socket of our own agent, relative to the data directory (107-byte limit). */
#define SDES_STATE_DIRECTORY "sdes"
#define SDES_OWN_SOCKET      "sdes/agent.sock"

/* Tokens that a server can have, each with an agent of its own. */
#define SDES_MAX_TOKENS 4

/* Hooks for shared memory; called once, from _PG_init of a preloaded library. */
extern void sdes_agentlink_init(void);

/*
 * True where nothing may be waited for and no catalog read: interrupts are held, as while
 * the lock of a page is. Index comparisons run like this.
 */
extern bool sdes_must_not_wait(void);

typedef struct SdesLinkFailure
{
	SdesStatus status;
	char detail[SDES_DETAIL_MAX + 1];
} SdesLinkFailure;

/*
 * Asks the agent and returns its reply, valid until sdes_agentlink_finish().
 * Raises an error when there is none or it is a failure. The request is sent
 * again when the agent is lost in mid-flight, except for SDES_OP_KEK_CREATE,
 * which is not idempotent.
 */
extern const SdesReply *sdes_agentlink_ask(const SdesRequest *request);

typedef enum SdesPatience
{
	SDES_ONCE = 0,    /* does not wait for an agent that is being restarted */
	SDES_PATIENT = 1, /* does, up to SDES_LINK_RESTART_MS */
	SDES_BRIEF = 2    /* once, and waits for the answer SDES_LINK_BRIEF_MS only */
} SdesPatience;

/* The same, but returns NULL and fills *failure; it raises only for interrupts. */
extern const SdesReply *sdes_agentlink_try(const SdesRequest *request,
                                           SdesPatience patience, SdesLinkFailure *failure);

/* How many tokens, and agents, there are: links are numbered from 0 in failover order. */
extern int sdes_agentlink_count(void);

/* Asks one of them, and no other. */
extern const SdesReply *sdes_agentlink_try_at(int link, const SdesRequest *request,
                                              SdesPatience patience,
                                              SdesLinkFailure *failure);

/* Wipes the reply and hangs up. Must be called once the reply was used. */
extern void sdes_agentlink_finish(void);

/*
 * The same, but keeps the connection for who has more to ask at once: until the
 * transaction ends, or the client's statement if the session then idles in it.
 */
extern void sdes_agentlink_finish_for_now(void);

/* Forgets the connection and all that is buffered; at exit of the process. */
extern void sdes_agentlink_close(void);

/*
 * KEKs made by this transaction are destroyed in the HSM should it abort. The
 * supervisor does that: an abort never waits for an HSM.
 */
extern void sdes_agentlink_kek_pending(const uint8 kek_id[SDES_KEK_ID_SIZE]);

/*
 * A counter that every change of access raises as its transaction commits. Who
 * caches answers compares it at each use: a statement that runs on without
 * taking a lock would not hear of an invalidation.
 */
extern uint64 sdes_agentlink_access_changes(void);

/* To be called by the transaction that changes access. */
extern void sdes_agentlink_access_changed(void);

/* What the supervisor publishes; sdes.health() reads it. */
typedef struct SdesAgentPublic
{
	pid_t supervisor_pid; /* 0: not running */
	pid_t agent_pid;      /* 0: not running, or a service of its own */
	uint32 starts;        /* of the agent, since the server started */
	char trouble[160];    /* why the agent cannot be started; empty when it can */
} SdesAgentPublic;

extern SdesAgentPublic sdes_agentlink_public(void);

/*
 * False when programs outside the server can attach to its shared memory, in
 * which the agent's secret is: shared_memory_type is not mmap.
 */
extern bool sdes_agentlink_is_private(void);

/* ---- for the supervisor only ---- */

extern void sdes_agentlink_publish(const SdesAgentPublic *published,
                                   const uint8 secret[SDES_AGENT_SECRET_SIZE]);

/* Takes one KEK id that is to be destroyed; false when there is none. */
extern bool sdes_agentlink_take_orphan(uint8 kek_id[SDES_KEK_ID_SIZE]);

#endif
