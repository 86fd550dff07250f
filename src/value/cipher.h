/*
 * cipher.h
 *		Sealing and opening under a key, wherever that key is: here, in mode
 *		cached, or in the HSM. Private to this room.
 *
 * Nothing here asks who the user is, and all plaintext is as it is sealed: UTF-8,
 * or bytes that are marked. Many values under one key cost one round trip to the
 * HSM for a batch of them.
 */
#ifndef SDES_CIPHER_H
#define SDES_CIPHER_H

#include "postgres.h"

#include "agentlink/agentlink.h"
#include "keyring/keyring.h"

typedef struct SdesSealing
{
	SdesSealSpec spec;
	SdesBytes plaintext;
	struct varlena *value; /* the result, palloc'd */
} SdesSealing;

typedef struct SdesOpening
{
	const SdesEnvelope *envelope;
	SdesValueContext context;
	text *plain; /* the result, palloc'd; NULL unless it is SDES_OK */
	SdesStatus status;
} SdesOpening;

/* The longest plaintext that a key of that mode seals. */
extern size_t sdes_cipher_max(SdesDekMode mode);

/* All or an error. */
extern void sdes_cipher_seal(const SdesKey *key, SdesSealing *items, int n);

/*
 * Opens them one by one: each has a status of its own. An error when the HSM does not
 * answer; then there is no plaintext.
 */
extern void sdes_cipher_open(const SdesKey *key, SdesOpening *items, int n);

/* One of them; an error unless it opens. */
extern text *sdes_cipher_open_one(const SdesKey *key, const SdesEnvelope *envelope,
                                  const SdesValueContext *context);

/* Of some, but asks once and tells why in *failure: false when there was no answer. */
extern bool sdes_cipher_try_open(const SdesKey *key, SdesOpening *items, int n,
                                 SdesLinkFailure *failure);

/* Wipes and frees what was opened. */
extern void sdes_cipher_wipe(SdesOpening *items, int n);

#endif
