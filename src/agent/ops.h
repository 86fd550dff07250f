/*
 * ops.h
 *		What a worker does with one request, on its own session.
 */
#ifndef SDES_AGENT_OPS_H
#define SDES_AGENT_OPS_H

#include "agent/batch.h"

/* What a reply borrows from; zero it at first, and free it with the reply. */
typedef struct SdesOpsMemory
{
	SdesSecret dek;
	SdesBatch batch;
} SdesOpsMemory;

/*
 * Fills the reply. A request that fails for other reasons than its own is tried
 * once more on a new session. Returns false when it failed for such reasons
 * then, too: the session, the token or the module is not well.
 */
extern bool sdes_ops_run(SdesOps *ops, const SdesRequest *request, SdesReply *reply,
                         SdesOpsMemory *memory);

extern void sdes_ops_memory_free(SdesOpsMemory *memory);

extern void sdes_ops_close(SdesOps *ops);

#endif
