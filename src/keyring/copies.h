/*
 * copies.h
 *		Keys wrapped in every token, so that one can take over from another. Callers
 *		hold the lock under which keys are made.
 */
#ifndef SDES_COPIES_H
#define SDES_COPIES_H

#include "keyring/keyring.h"
#include "keyring/tokens.h"

/*
 * Makes a KEK for a bucket in one token and inserts its row, which *kek becomes. False
 * when that token cannot; the KEK is destroyed again should the transaction abort.
 */
extern bool sdes_keyring_make_kek_at(int link, const SdesBucketRow *bucket,
                                     const SdesKeySpec *spec, SdesKekRow *kek,
                                     SdesLinkFailure *failure);

/*
 * A bucket's active KEK of that kind in a token, made if there is none; false when it
 * cannot be.
 */
extern bool sdes_keyring_kek_in(const SdesHsmToken *token, const SdesBucketRow *bucket,
                                const SdesKeySpec *spec, SdesPlace *place,
                                SdesLinkFailure *failure);

/* Whether a key is wrapped in a token. */
extern bool sdes_keyring_is_in(const SdesDekRow *row, const SdesHsmToken *token);

/* What came of a key's copy in a token. */
typedef struct SdesCopied
{
	bool made;
	SdesLinkFailure failure; /* SDES_OK: it is there now */
} SdesCopied;

/*
 * Wraps a key of mode cached in each of n tokens that it is not wrapped in; copied[i]
 * tells of tokens[i]. In mode hsm the values need the KEK itself: there is nothing to
 * copy.
 */
extern void sdes_keyring_copy(const SdesDekRow *row, const SdesHsmToken *tokens, int n,
                              SdesCopied *copied);

#endif
