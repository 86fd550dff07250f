/*
 * tokens.h
 *		The HSM tokens of this server, and which of them a KEK is in. Private to the
 *		rooms that make and destroy KEKs.
 *
 * A KEK's row names the token it was generated in, by label and serial number; which
 * link leads to that token is asked anew each time, since settings change.
 */
#ifndef SDES_TOKENS_H
#define SDES_TOKENS_H

#include "agentlink/agentlink.h"
#include "store/store.h"

typedef struct SdesHsmToken
{
	int link;                /* to its agent */
	bool ready;              /* its agent is logged in, or about to be */
	SdesLinkFailure failure; /* unless it is */
	char label[33];          /* empty when not known */
	char serial[17];
} SdesHsmToken;

/* Asks every agent, in failover order; returns how many there are. */
extern int sdes_tokens_look(SdesHsmToken tokens[SDES_MAX_TOKENS]);

/* Whether a KEK was generated in that token. */
extern bool sdes_token_is_home(const SdesHsmToken *token, const SdesKekRow *kek);

/* The token that a KEK was generated in, NULL unless it is one of them. */
extern const SdesHsmToken *sdes_token_of(const SdesHsmToken *tokens, int n,
                                         const SdesKekRow *kek);

/* What people call it: its label, or its place in the settings. */
extern const char *sdes_token_name(const SdesHsmToken *token);

#endif
