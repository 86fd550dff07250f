/*
 * fetch.h
 *		Asking the agent for one key. Private to this room.
 */
#ifndef SDES_FETCH_H
#define SDES_FETCH_H

#include "agentlink/agentlink.h"
#include "store/store.h"

/*
 * Has the agent unwrap a row's key, checks that the row commits to it and expands it
 * into *aead, which the caller frees. In mode hsm what is unwrapped is the proof of
 * the row and no key: it is checked, and *aead stays as it is. Raises only for
 * interrupts.
 */
extern SdesStatus sdes_fetch_key(const SdesDekRow *row, SdesPatience patience,
                                 SdesAead **aead, SdesLinkFailure *failure);

#endif
