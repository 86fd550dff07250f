/*
 * internal.h
 *		What the files of this room share. Private to it.
 */
#ifndef SDES_DOCTOR_INTERNAL_H
#define SDES_DOCTOR_INTERNAL_H

#include "postgres.h"

#include "agentlink/agentlink.h"
#include "funcapi.h"

/* What one token's agent says. */
typedef struct Seen
{
	bool asked;     /* the agent answered */
	bool logged_in; /* and is logged in */
	SdesAgentInfo info;
	SdesLinkFailure failure; /* why it did not answer */
} Seen;

typedef struct Health
{
	ReturnSetInfo *result;
	int ntokens;
	Seen seen[SDES_MAX_TOKENS];
	int link; /* of the token that is being looked at */
} Health;

/* One row; the hint is shown when it is not ok. */
extern void sdes_health_add(Health *health, const char *check, bool ok, const char *detail,
                            const char *hint);

/* audit.c: the rows about the audit. */
extern void sdes_health_audit(Health *health);

/* health_tokens.c: those about the token at health->link; and about keys that outlive it. */
extern void sdes_health_token(Health *health);
extern void sdes_health_cache(Health *health);

/* health_keys.c: those about keys; and whether rows fit together. */
extern void sdes_health_keys(Health *health);
extern void sdes_health_rows(Health *health);

#endif
