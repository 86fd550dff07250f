/*
 * fetch.h
 *		Asking the agent for one key. Private to this room, and to exchange/ for what
 *		is sealed for others.
 */
#ifndef SDES_FETCH_H
#define SDES_FETCH_H

#include "agentlink/agentlink.h"
#include "store/store.h"

/*
 * Has the agent unwrap a row's key, checks that the row commits to it and expands it
 * into out->aead or, for a search key, out->mac; the caller frees them. In mode hsm
 * what is unwrapped is the proof of the row and no key: it is checked, and *out stays
 * empty. Raises only for interrupts.
 */
typedef struct SdesFetched
{
	SdesAead *aead;
	SdesMac *mac;
} SdesFetched;

extern SdesStatus sdes_fetch_key(const SdesDekRow *row, SdesPatience patience,
                                 SdesFetched *out, SdesLinkFailure *failure);

/*
 * Has an agent unwrap a row's key, or a copy of it in another token. The reply holds
 * the key until sdes_agentlink_finish(), checked against the row that was unwrapped;
 * NULL when it cannot be had.
 */
extern const SdesReply *sdes_fetch_raw(const SdesDekRow *row, SdesPatience patience,
                                       SdesLinkFailure *failure);

/* Wipes and frees the keys. */
extern void sdes_fetched_free(SdesFetched *fetched);

#endif
