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

typedef struct SdesLink
{
	SdesAgentPublic published;
	uint8 secret[SDES_AGENT_SECRET_SIZE]; /* of the running agent */
	bool suspect;                         /* it did not answer in time */
	uint8 suspect_kek[SDES_KEK_ID_SIZE];  /* what it was asked for then; zeros: none */
} SdesLink;

typedef struct SdesShared
{
	pg_atomic_uint64 access_changes;
	pg_atomic_uint64 last_fetch; /* a TimestampTz; 0: never */
	pg_atomic_uint32 serving;    /* the link that answered last, of those in order */

	/* lock covers everything below it */
	LWLock *lock;
	int nlinks; /* 0: the supervisor has not said yet */
	SdesLink links[SDES_MAX_TOKENS];
	Latch *supervisor_latch; /* NULL: not running */
	int norphans;
	SdesOrphan orphans[SDES_MAX_ORPHANS];
} SdesShared;

/* NULL in a server that did not preload sdes. */
extern SdesShared *sdes_shared;

extern void sdes_shared_init(void);

/*
 * The agent of a link did not answer in time: until the supervisor finds that it does,
 * the others are asked first. kek_id is the key it was asked for, or zeros.
 */
extern void sdes_link_suspect(int link, const uint8 *kek_id);

/* It has answered what any of them could have. */
extern void sdes_link_serves(int link);

#endif
