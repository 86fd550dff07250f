/*
 * ops.h
 *		What a worker does with one request, on its own session.
 */
#ifndef SDES_AGENT_OPS_H
#define SDES_AGENT_OPS_H

#include "agent/protocol.h"
#include "hsm/provider.h"

typedef struct SdesOps
{
	const SdesHsmProvider *provider;
	SdesHsm *hsm;
	SdesHsmSession *session; /* NULL when none is open; kept from call to call */
} SdesOps;

/*
 * Fills the reply; a DEK it holds is in *dek, which the caller frees. A lost
 * session is replaced and the request tried once more. Returns false when the
 * token itself seems lost: log in anew.
 */
extern bool sdes_ops_run(SdesOps *ops, const SdesRequest *request, SdesReply *reply,
                         SdesSecret *dek);

extern void sdes_ops_close(SdesOps *ops);

#endif
