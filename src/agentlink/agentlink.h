/*
 * agentlink.h
 *		Asking the key agent from a backend, and what backends, the supervisor
 *		and the agent share.
 *
 * A backend waits for the agent on its latch, so that cancel, statement
 * timeout and termination work while the HSM hangs. It never waits where it
 * could not be interrupted.
 *
 * Each token has an agent of its own, so that a module that hangs takes no other
 * token with it. Links to agents are numbered from 0, in failover order. One that
 * is down or fails says so at once, and the next one is asked; one that did not
 * answer in time is asked last, by all backends, until the supervisor has had an
 * answer from it.
 */
#ifndef SDES_AGENTLINK_H
#define SDES_AGENTLINK_H

#include "postgres.h"

#include "agent/protocol.h"
#include "datatype/timestamp.h"
#include "miscadmin.h"

/* Longest a backend waits for one answer; the agent gives up before that. */
#define SDES_LINK_TIMEOUT_MS 12000
/* The same when there is another token to ask. */
#define SDES_LINK_FAILOVER_MS 4000
/* The same for a new KEK. */
#define SDES_LINK_KEK_TIMEOUT_MS 62000
/* Longest it waits where it can do without. */
#define SDES_LINK_BRIEF_MS 300
/* Longest a backend waits for an agent that is being restarted. */
#define SDES_LINK_RESTART_MS 5000
/* Relative to the data directory; each agent has a socket of its own there. */
#define SDES_STATE_DIRECTORY "sdes"

/* Hooks for shared memory; called once, from _PG_init of a preloaded library. */
extern void sdes_agentlink_init(void);

/*
 * True where nothing may be waited for and no catalog read: interrupts are held, as while
 * the lock of a page is. Index comparisons run like this.
 */
static inline bool
sdes_must_not_wait(void)
{
	return InterruptHoldoffCount > 0 || CritSectionCount > 0;
}

typedef struct SdesLinkFailure
{
	SdesStatus status;
	char detail[SDES_DETAIL_MAX + 1];
} SdesLinkFailure;

/* How many tokens, and agents, there are; 1 at the least. */
extern int sdes_agentlink_count(void);

/*
 * Asks one agent after the other and returns the first good reply, valid until
 * sdes_agentlink_finish(). Raises an error when there is none. What was found out
 * about a value or a key's row, other than that the key is missing, is final. The
 * request is sent again when an agent is lost in mid-flight, except for
 * SDES_OP_KEK_CREATE, which is not idempotent.
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

/*
 * The same with a request for each token: makes the one for a link, the first of them
 * at attempt 0, another one after each that found its key missing. False: no more.
 */
typedef bool (*SdesRequestMaker)(int link, int attempt, SdesRequest *request, void *arg);

extern const SdesReply *sdes_agentlink_try_each(SdesRequestMaker make, void *arg,
                                                SdesPatience patience,
                                                SdesLinkFailure *failure);

/* Asks one of the agents, and no other. */
extern const SdesReply *sdes_agentlink_try_at(int link, const SdesRequest *request,
                                              SdesPatience patience,
                                              SdesLinkFailure *failure);
extern const SdesReply *sdes_agentlink_ask_at(int link, const SdesRequest *request);

/*
 * What this process has to do besides, about once a second, while it waits for an answer;
 * false: it waits no longer.
 */
extern void sdes_agentlink_while_waiting(bool (*function)(void));

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
extern void sdes_agentlink_kek_pending(int link, const uint8 kek_id[SDES_KEK_ID_SIZE]);

/*
 * A counter that every change of access raises as its transaction commits. Who
 * caches answers compares it at each use: a statement that runs on without
 * taking a lock would not hear of an invalidation.
 */
extern uint64 sdes_agentlink_access_changes(void);

/* To be called by the transaction that changes access. */
extern void sdes_agentlink_access_changed(void);

/* A session of this server has got a key that it keeps. */
extern void sdes_agentlink_key_fetched(void);

/* When that was for the last time; 0 if it never was since the server started. */
extern TimestampTz sdes_agentlink_last_fetch(void);

/* What the supervisor publishes; sdes.health() reads it. */
typedef struct SdesAgentPublic
{
	pid_t supervisor_pid; /* 0: not running */
	pid_t agent_pid;      /* 0: not running, or a service of its own */
	uint32 starts;        /* of the agent, since the server started */
	char token_label[33]; /* as the agent said last; empty: it has not */
	char token_serial[17];
	char trouble[160]; /* why the agent cannot be started; empty when it can */
} SdesAgentPublic;

extern SdesAgentPublic sdes_agentlink_public(int link);

/*
 * Whether an agent did not answer in time and has not answered since; what key it was
 * asked for then (zeros for none), unless kek_id is NULL.
 */
extern bool sdes_agentlink_suspected(int link, uint8 *kek_id);

/* Which one serves: the first of the order that can. */
extern int sdes_agentlink_serving(void);

/* The path of an agent's socket, in a buffer of SDES_SOCKET_SIZE. */
#define SDES_SOCKET_SIZE 108
extern void sdes_agentlink_socket(int link, char *path);

/*
 * False when programs outside the server can attach to its shared memory, in
 * which the agent's secret is: shared_memory_type is not mmap.
 */
extern bool sdes_agentlink_is_private(void);

/* ---- for the supervisor only ---- */

extern void sdes_agentlink_publish(int link, const SdesAgentPublic *published,
                                   const uint8 secret[SDES_AGENT_SECRET_SIZE]);
extern void sdes_agentlink_publish_count(int n);

/* It has answered. */
extern void sdes_agentlink_trust(int link);

/* A KEK that is to be destroyed, since the transaction that made it was aborted. */
typedef struct SdesOrphan
{
	int link;  /* to ask next: it was made there, unless the settings have changed */
	int asked; /* links that do not know it */
	uint8 kek_id[SDES_KEK_ID_SIZE];
} SdesOrphan;

/* Takes one that is for a link; false when there is none. */
extern bool sdes_agentlink_take_orphan(int link, SdesOrphan *out);
extern void sdes_agentlink_put_orphan(const SdesOrphan *orphan);

#endif
