/*
 * kdf.h
 *		HKDF-SHA-256 (RFC 5869), extract and expand.
 */
#ifndef SDES_KDF_H
#define SDES_KDF_H

#include "crypto/bytes.h"
#include "crypto/status.h"

/* The npieces of info are taken one after the other; at most 1024 bytes. */
extern SdesStatus sdes_hkdf_sha256(SdesBytes ikm, SdesBytes salt, const SdesBytes *info,
                                   int npieces, uint8_t *out, size_t size);

/* size bytes from OpenSSL's private generator, for keys and ids. */
extern SdesStatus sdes_random(void *out, size_t size);

#endif
