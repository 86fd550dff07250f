/*
 * aead.h
 *		AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags.
 *
 * An SdesAead is one key, expanded once and kept by the provider in use
 * (provider.h). OpenSSL holds the expanded key on the plain heap, which is why
 * every process that owns one is undumpable and why sdes_aead_free() must be
 * called at eviction. Not for use by two threads at once.
 */
#ifndef SDES_AEAD_H
#define SDES_AEAD_H

#include "crypto/bytes.h"
#include "crypto/nonce.h"
#include "crypto/status.h"

#define SDES_AEAD_KEY_SIZE 32
#define SDES_AEAD_TAG_SIZE 16
/* OpenSSL counts in int; far below GCM's own limit of 2^36 - 32 bytes. */
#define SDES_AEAD_MAX_SIZE 0x7fffff00

typedef struct SdesAead SdesAead;

/* Expands a key of SDES_AEAD_KEY_SIZE bytes; the caller frees *out. */
extern SdesStatus sdes_aead_new(SdesAead **out, SdesBytes key);

/* Wipes and frees. NULL is fine. */
extern void sdes_aead_free(SdesAead *aead);

/*
 * Seals plaintext under nonce, authenticating the naad pieces of aad one after
 * the other. Writes plaintext.size bytes to ciphertext and the tag to tag.
 */
extern SdesStatus sdes_aead_seal(SdesAead *aead, const uint8_t nonce[SDES_NONCE_SIZE],
                                 const SdesBytes *aad, int naad, SdesBytes plaintext,
                                 uint8_t *ciphertext, uint8_t tag[SDES_AEAD_TAG_SIZE]);

/* What sdes_aead_open() takes apart: nonce and tag borrow. */
typedef struct SdesSealed
{
	const uint8_t *nonce; /* SDES_NONCE_SIZE bytes */
	const uint8_t *tag;   /* SDES_AEAD_TAG_SIZE bytes */
	SdesBytes ciphertext;
} SdesSealed;

/*
 * Opens into plaintext, which holds ciphertext.size bytes. On SDES_ERR_TAG
 * those bytes are wiped: unauthenticated plaintext never leaves.
 */
extern SdesStatus sdes_aead_open(SdesAead *aead, const SdesBytes *aad, int naad,
                                 const SdesSealed *sealed, uint8_t *plaintext);

#endif
