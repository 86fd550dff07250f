/*
 * mac.h
 *		HMAC-SHA-256 (FIPS 198-1) and SHA-256 (FIPS 180-4).
 */
#ifndef SDES_MAC_H
#define SDES_MAC_H

#include "crypto/bytes.h"
#include "crypto/status.h"

#define SDES_MAC_SIZE    32
#define SDES_DIGEST_SIZE 32

/*
 * An HMAC key, kept expanded for many messages by the provider in use (provider.h).
 * One thread at a time. All else here is OpenSSL's.
 */
typedef struct SdesMac SdesMac;

/* The caller keeps the key's bytes and frees *out. Any key length. */
extern SdesStatus sdes_mac_new(SdesMac **out, SdesBytes key);

/* HMAC under a kept key over the npieces of data one after the other. */
extern SdesStatus sdes_mac(SdesMac *mac, const SdesBytes *pieces, int npieces,
                           uint8_t out[SDES_MAC_SIZE]);

/* Wipes the key. NULL is allowed. */
extern void sdes_mac_free(SdesMac *mac);

/* HMAC over the npieces of data one after the other. Any key length. */
extern SdesStatus sdes_hmac_sha256(SdesBytes key, const SdesBytes *pieces, int npieces,
                                   uint8_t out[SDES_MAC_SIZE]);

extern SdesStatus sdes_sha256(const SdesBytes *pieces, int npieces,
                              uint8_t out[SDES_DIGEST_SIZE]);

/* Compares in constant time. */
extern bool sdes_equal(const void *a, const void *b, size_t size);

#endif
