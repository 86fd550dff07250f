/*
 * batch.h
 *		Many values sealed or opened inside the token, for one request.
 */
#ifndef SDES_AGENT_BATCH_H
#define SDES_AGENT_BATCH_H

#include "agent/protocol.h"
#include "hsm/provider.h"

/* What a worker works with. */
typedef struct SdesOps
{
	const SdesHsmProvider *provider;
	SdesHsm *hsm;
	const SdesHsmTokenInfo *token; /* as it was when it was logged in to */
	bool mute; /* it does not describe itself any more since then (SoftHSM2, read-only) */
	SdesHsmSession *session; /* NULL when none is open; kept from call to call */
	/*
	 * Called between the values of a batch, which may take long: false when
	 * nobody waits for the rest. NULL: go on.
	 */
	bool (*go_on)(void *argument);
	void *argument;
} SdesOps;

/* How far a batch has come. Zero it at first. */
typedef struct SdesBatch
{
	uint8_t *results;    /* room for all of them, plaintext maybe */
	size_t results_size; /* of that room */
	uint8_t *scratch;    /* of SDES_BATCH_SCRATCH_SIZE bytes */
	SdesReader values;   /* those still to do */
	SdesWriter written;
	int done;
} SdesBatch;

/*
 * Goes on with the batch of a SEAL or OPEN request. What is wrong with a value
 * is told in its result. Anything else ends the call with a status; called
 * again on a new session, it goes on with the value that was at hand. With
 * SDES_OK the reply's results point into the batch.
 */
extern SdesStatus sdes_batch_run(SdesBatch *batch, SdesOps *ops, const SdesRequest *request,
                                 SdesReply *reply, SdesHsmFault *fault);

/* Wipes and frees. */
extern void sdes_batch_free(SdesBatch *batch);

#endif
