/*
 * shared.h
 *		The piece of shared memory that backends and the supervisor share.
 *		Private to this room.
 */
#ifndef SDES_AGENTLINK_SHARED_H
#define SDES_AGENTLINK_SHARED_H

#include "agentlink/agentlink.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#define SDES_MAX_ORPHANS 64

typedef struct SdesShared
{
	pg_atomic_uint64 access_changes;
	pg_atomic_uint64 last_fetch; /* a TimestampTz; 0: never */

	/* lock covers everything below it */
	LWLock *lock;
	SdesAgentPublic published;
	uint8 secret[SDES_AGENT_SECRET_SIZE]; /* of the running agent */
	Latch *supervisor_latch;              /* NULL: not running */
	int norphans;
	uint8 orphans[SDES_MAX_ORPHANS][SDES_KEK_ID_SIZE];
} SdesShared;

/* NULL in a server that did not preload sdes. */
extern SdesShared *sdes_shared;

extern void sdes_shared_init(void);

#endif
