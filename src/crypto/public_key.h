/*
 * public_key.h
 *		Public keys of others: encrypting to RSA keys, and verifying what RSA keys and
 *		those on the curve P-256 have signed.
 *
 * Padding for encryption is put on here, in locked memory: the padded message is as
 * good as the message, and OpenSSL's own would lie on the plain heap.
 */
#ifndef SDES_PUBLIC_KEY_H
#define SDES_PUBLIC_KEY_H

#include "crypto/bytes.h"
#include "crypto/mac.h"
#include "crypto/status.h"

#define SDES_RSA_BITS_MIN 3072 /* NIST SP 800-57 part 1 rev. 5, table 2: 128 bits */
#define SDES_RSA_BITS_MAX 8192
#define SDES_RSA_SIZE_MAX (SDES_RSA_BITS_MAX / 8)

#define SDES_P256_POINT_SIZE     65 /* SEC 1, section 2.3.3, uncompressed */
#define SDES_P256_SIGNATURE_SIZE 64 /* r || s, 32 bytes each */
#define SDES_PUBLIC_KEY_MAX      600 /* bytes of a SubjectPublicKeyInfo of RSA-4096 or P-256 */

/* OpenSSL's EVP_PKEY */
typedef struct evp_pkey_st SdesPublicKey;

/*
 * The key of a big-endian modulus and the exponent 65537, which the caller frees.
 * SDES_ERR_FORMAT unless sdes_public_key_fits().
 */
extern SdesStatus sdes_public_key_new(SdesBytes modulus, SdesPublicKey **out);

/* The key of a point on P-256. SDES_ERR_FORMAT when it is none. */
extern SdesStatus sdes_public_key_of_point(SdesBytes point, SdesPublicKey **out);

/*
 * The key of a SubjectPublicKeyInfo (RFC 5280, section 4.1) in DER: P-256, or RSA of the
 * same demands as above. SDES_ERR_FORMAT for anything else.
 */
extern SdesStatus sdes_public_key_read(SdesBytes info, SdesPublicKey **out);

/* The reverse; *size is that of out, and becomes what is used. SDES_ERR_TOO_LONG. */
extern SdesStatus sdes_public_key_write(const SdesPublicKey *key, uint8_t *out,
                                        size_t *size);

/* NULL is fine. */
extern void sdes_public_key_free(SdesPublicKey *key);

/* Whether it is an RSA key of SDES_RSA_BITS_MIN to _MAX bits with an exponent as due. */
extern bool sdes_public_key_fits(const SdesPublicKey *key);

/* Bytes of an RSA key's modulus, of what is encrypted to it and of its signatures. */
extern size_t sdes_public_key_size(const SdesPublicKey *key);

/*
 * RSAES-OAEP with SHA-256 and MGF1-SHA-256, label empty (RFC 8017, section 7.1), into
 * out, which holds sdes_public_key_size() bytes. SDES_ERR_TOO_LONG for a message that
 * is longer than that less 66.
 */
extern SdesStatus sdes_public_key_encrypt(SdesPublicKey *key, SdesBytes message,
                                          uint8_t *out);

/*
 * A signature of a digest: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2) by an
 * RSA key, ECDSA (FIPS 186-5, section 6.4) by one on P-256. SDES_ERR_TAG unless the key's
 * owner made it.
 */
extern SdesStatus sdes_public_key_verify(SdesPublicKey *key,
                                         const uint8_t digest[SDES_DIGEST_SIZE],
                                         SdesBytes signature);

#endif
