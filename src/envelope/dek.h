/*
 * dek.h
 *		The data encryption key as a root: what is derived from it, and what it
 *		is bound to.
 *
 * A DEK is 32 random bytes and never touches a value itself. Its sealing key
 * and its commitment are HKDF-SHA-256 outputs under different labels. The
 * commitment stands in the key's row in clear; it covers everything the row
 * says of the key, so that no field of the row can be changed, nor the key be
 * swapped, without notice. (AES-GCM itself does not commit to its key.)
 *
 * In mode hsm the values are sealed by the KEK itself, inside the HSM. The DEK
 * seals nothing there: it is the proof of its row and no key.
 */
#ifndef SDES_DEK_H
#define SDES_DEK_H

#include "crypto/mac.h"
#include "crypto/secret.h"
#include "envelope/envelope.h"

#define SDES_DEK_SIZE         32
#define SDES_COMMITMENT_SIZE  32
#define SDES_KEK_ID_SIZE      16 /* CKA_ID of the KEK in the token */
#define SDES_DEK_BINDING_SIZE 46

/* The numbers are part of the binding: append only. */
typedef enum SdesDekPurpose
{
	SDES_PURPOSE_DATA = 1,    /* seals the values of a bucket */
	SDES_PURPOSE_LITERAL = 2, /* seals literals that have no bucket yet */
	SDES_PURPOSE_SEARCH = 3,  /* makes search tokens */
	SDES_PURPOSE_AUDIT = 4,   /* chains the audit journal */
	SDES_PURPOSE_PARCEL = 5   /* the content key of a parcel of keys: in no row */
} SdesDekPurpose;

typedef enum SdesDekMode
{
	SDES_MODE_CACHED = 1, /* the DEK is unwrapped once per backend */
	SDES_MODE_HSM = 2     /* values are sealed by the KEK; the DEK proves the row */
} SdesDekMode;

typedef struct SdesDekBinding
{
	uint8_t key_id[SDES_KEY_ID_SIZE];
	uint8_t bucket[SDES_UUID_SIZE];
	uint32_t version;
	uint8_t purpose; /* SdesDekPurpose */
	uint8_t mode;    /* SdesDekMode */
	uint8_t kek_id[SDES_KEK_ID_SIZE];
} SdesDekBinding;

/*
 * The canonical bytes of a binding: the fields in the order above, big-endian.
 * They are also the AAD under which a KEK wraps the DEK.
 */
extern void sdes_dek_binding_encode(const SdesDekBinding *binding,
                                    uint8_t out[SDES_DEK_BINDING_SIZE]);

/* False unless bytes are exactly SDES_DEK_BINDING_SIZE with known purpose and mode. */
extern bool sdes_dek_binding_decode(SdesBytes bytes, SdesDekBinding *out);

extern SdesStatus sdes_dek_commitment(SdesBytes dek, const SdesDekBinding *binding,
                                      uint8_t out[SDES_COMMITMENT_SIZE]);

/* SDES_ERR_COMMITMENT unless dek is the one that the commitment was made of. */
extern SdesStatus sdes_dek_check(SdesBytes dek, const SdesDekBinding *binding,
                                 const uint8_t commitment[SDES_COMMITMENT_SIZE]);

/* The key that seals values, in *out, which the caller frees. */
extern SdesStatus sdes_dek_sealing_key(SdesBytes dek, SdesSecret *out);

/*
 * Checks dek against the commitment and expands its sealing key into *out, which
 * the caller frees. SDES_ERR_FORMAT in mode hsm, where nothing is sealed by it.
 */
extern SdesStatus sdes_dek_open(SdesBytes dek, const SdesDekBinding *binding,
                                const uint8_t commitment[SDES_COMMITMENT_SIZE],
                                SdesAead **out);

/*
 * The same for a search key: the key that makes tokens, expanded into *out, which
 * the caller frees. SDES_ERR_FORMAT for a DEK of another purpose.
 */
extern SdesStatus sdes_dek_open_search(SdesBytes dek, const SdesDekBinding *binding,
                                       const uint8_t commitment[SDES_COMMITMENT_SIZE],
                                       SdesMac **out);

#endif
