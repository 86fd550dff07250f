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

typedef enum SdesOpsOutcome
{
	SDES_OPS_SERVED,  /* and a key in the token was used */
	SDES_OPS_NEUTRAL, /* refused for the sake of key, blob or value; or no key was used */
	SDES_OPS_MISSING, /* the key is not there, as far as the module knows */
	SDES_OPS_FAILED,  /* for other reasons, and again on a new session */
	SDES_OPS_LOST     /* and the token does not answer at all, or is another one */
} SdesOpsOutcome;

/*
 * Fills the reply. What fails for other reasons than the request's own is tried
 * once more on a new session.
 */
extern SdesOpsOutcome sdes_ops_run(SdesOps *ops, const SdesRequest *request,
                                   SdesReply *reply, SdesOpsMemory *memory);

/*
 * What shows, without a request, that the token works: a session, its
 * description, random bytes and, unless kek is NULL, a round trip with that key.
 * That the key is not there is no failure.
 */
extern SdesStatus sdes_ops_probe(SdesOps *ops, const uint8_t *kek, SdesHsmFault *fault);

/* Whether the token says who it is, so that another one would be noticed. */
extern bool sdes_ops_knows_token(const SdesOps *ops);

/* Whether a request is made for the sake of what the key it names can do. */
extern bool sdes_ops_wants_key(const SdesRequest *request);

/* The KEK that a request names, or that a served one has made. */
extern const uint8_t *sdes_ops_kek(const SdesRequest *request, const SdesReply *reply);

extern void sdes_ops_memory_free(SdesOpsMemory *memory);

extern void sdes_ops_close(SdesOps *ops);

#endif
