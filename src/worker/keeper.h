/*
 * keeper.h
 *		Keeps the agent of one token: starts it, replaces it when it dies or is stuck,
 *		and asks it things. Private to this room.
 *
 * An agent that is a service of its own is neither started nor replaced, but asked as
 * any. Nothing here waits: the supervisor's loop calls in again and again.
 */
#ifndef SDES_KEEPER_H
#define SDES_KEEPER_H

#include "postgres.h"

#include "agent/client.h"
#include "agentlink/agentlink.h"
#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "worker/agent_process.h"

typedef struct SdesKeeper
{
	int link;
	SdesAgentPublic published;
	SdesAgentConfig config;
	SdesAgentProcess process;
	TimestampTz started_at;
	TimestampTz start_again_at;
	int pause_ms; /* before that, 0: none was needed */

	/* one request at a time: how are you, does this key work, destroy this key */
	SdesClient *client;
	SdesClientWant want;
	SdesAgentOp asked;
	TimestampTz asked_at; /* or when to ask next */
	bool heard;           /* the agent's state has changed since it was asked how it is */
	bool probed;          /* the last question was about a key, not how it is */

	bool has_orphan;
	SdesOrphan orphan;
	TimestampTz orphan_at; /* not before */
} SdesKeeper;

/* False without locked memory. */
extern bool sdes_keeper_init(SdesKeeper *keeper, int link);

/* Takes in that settings may have changed. */
extern void sdes_keeper_reload(SdesKeeper *keeper);

/* Starts, reaps, asks, listens: whatever is due. */
extern void sdes_keeper_run(SdesKeeper *keeper);

/* Ends the agent, if it is ours, and forgets what was known of the token. */
extern void sdes_keeper_stop(SdesKeeper *keeper);

/* Milliseconds until it must run again, at most. */
extern long sdes_keeper_wait_ms(const SdesKeeper *keeper);

/* Descriptors that it has to run for: at most two. */
extern void sdes_keeper_add_events(const SdesKeeper *keeper, WaitEventSet *set);

#endif
