/*
 * kem.h
 *		ML-KEM-768 (FIPS 203), where the OpenSSL at run time has it: from 3.5 on.
 *
 * Beside RSA it keeps what is sent today from being opened by a quantum computer of
 * tomorrow. No HSM that was tried has it, so its private key is derived from 32 bytes
 * that an AES key in the HSM wraps.
 */
#ifndef SDES_KEM_H
#define SDES_KEM_H

#include "crypto/secret.h"

/* FIPS 203, table 3. */
#define SDES_KEM_PUBLIC_SIZE     1184
#define SDES_KEM_CIPHERTEXT_SIZE 1088
#define SDES_KEM_SECRET_SIZE     32
#define SDES_KEM_ROOT_SIZE       32

/* Whether the rest of this file works here; else it returns SDES_ERR_SUITE. */
extern bool sdes_kem_available(void);

/* The seed d || z (section 7.1) is HKDF-SHA-256(root, info = "sdes/v1/ml-kem-768"). */
extern SdesStatus sdes_kem_public(SdesBytes root, uint8_t out[SDES_KEM_PUBLIC_SIZE]);

/*
 * A new secret for the owner of a public key. SDES_ERR_FORMAT for what is none. secret
 * holds SDES_KEM_SECRET_SIZE bytes of the caller's locked memory.
 */
extern SdesStatus sdes_kem_encapsulate(const uint8_t public_key[SDES_KEM_PUBLIC_SIZE],
                                       uint8_t ciphertext[SDES_KEM_CIPHERTEXT_SIZE],
                                       uint8_t *secret);

/*
 * The secret again. Of a ciphertext that was changed another one comes out, and no error
 * (section 6.3): what is sealed under it has to tell.
 */
extern SdesStatus sdes_kem_decapsulate(SdesBytes root,
                                       const uint8_t ciphertext[SDES_KEM_CIPHERTEXT_SIZE],
                                       uint8_t *secret);

/* The same from a seed of 64 bytes, for the known answers. */
extern SdesStatus sdes_kem_decapsulate_seed(
    SdesBytes seed, const uint8_t ciphertext[SDES_KEM_CIPHERTEXT_SIZE], uint8_t *secret);

#endif
