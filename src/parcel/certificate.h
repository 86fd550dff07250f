/*
 * certificate.h
 *		X.509 certificates (RFC 5280): of a site, and of officers who keep shares.
 *
 * A site's certificate is a text of two or three PEM blocks (RFC 7468). The first is of the key
 * that the site signs with, signed by itself: its fingerprint, SHA-256 of its DER, is
 * what officers compare, and what "openssl x509 -fingerprint -sha256" prints of the
 * text. The second, signed by the first, is of the key to which others encrypt; its
 * subject key identifier is the key's CKA_ID in the token. A third one, of a site whose
 * OpenSSL has it, is of an ML-KEM-768 key (id-alg-ml-kem-768, NIST CSOR), by which what is
 * encrypted to the second is encrypted as well; the first says by its organizational unit
 * "hybrid" that there is one, so that nobody can leave it away. None of them expires
 * (section 4.1.2.5): a site is trusted until an officer ends that.
 */
#ifndef SDES_CERTIFICATE_H
#define SDES_CERTIFICATE_H

#include "parcel/kem.h"
#include "crypto/public_key.h"

#define SDES_SITE_NAME_MAX      63   /* bytes; a common name has 64 characters at most */
#define SDES_SITE_KEY_ID_SIZE   16   /* CKA_ID */
#define SDES_CERTIFICATE_MAX    8192 /* of one certificate, in PEM or DER */
#define SDES_CERTIFICATE_SERIAL 16   /* bytes, random; the first below 0x80 */

/* What a certificate says; the caller frees it with sdes_certificate_free(). */
typedef struct SdesCertificate
{
	uint8_t fingerprint[SDES_DIGEST_SIZE];
	char name[SDES_SITE_NAME_MAX + 1];     /* the subject's common name, UTF-8 */
	uint8_t key_id[SDES_SITE_KEY_ID_SIZE]; /* of the key to encrypt to; of sites only */
	SdesPublicKey *key;                    /* signs; of an officer: what to encrypt to */
	SdesPublicKey *encrypts;               /* what to encrypt to; of sites only */
	bool hybrid;                           /* and as well to: */
	uint8_t kem[SDES_KEM_PUBLIC_SIZE];
} SdesCertificate;

/*
 * Reads a site's certificate. SDES_ERR_FORMAT unless it is a text of exactly those
 * blocks with RSA keys of 4096 bits, SDES_ERR_TAG unless the first signed both.
 */
extern SdesStatus sdes_certificate_read_site(SdesBytes pem, SdesCertificate *out);

/* Reads a text of one certificate with an RSA key that sdes_public_key_fits(). */
extern SdesStatus sdes_certificate_read_officer(SdesBytes pem, SdesCertificate *out);

extern void sdes_certificate_free(SdesCertificate *certificate);

/* A certificate to be made. The signature is the token's to make. */
typedef struct SdesCertificateSpec
{
	const char *name;  /* UTF-8 */
	bool hybrid;       /* the site has an ML-KEM-768 key */
	SdesBytes kem;     /* the subject's key, if it is that */
	SdesBytes modulus; /* of the subject's key */
	uint8_t subject_id[SDES_SITE_KEY_ID_SIZE];
	uint8_t issuer_id[SDES_SITE_KEY_ID_SIZE]; /* the same one: it signs */
	uint8_t serial[SDES_CERTIFICATE_SERIAL];
	int64_t not_before; /* seconds since 1970 */
} SdesCertificateSpec;

typedef struct x509_st SdesCertificateDraft;

/* The draft, which the caller frees, and the digest that is to be signed. */
extern SdesStatus sdes_certificate_draft(const SdesCertificateSpec *spec,
                                         SdesCertificateDraft **out,
                                         uint8_t digest[SDES_DIGEST_SIZE]);

/* Its PEM with that signature, into out, which holds size bytes; *used is set. */
extern SdesStatus sdes_certificate_finish(SdesCertificateDraft *draft, SdesBytes signature,
                                          char *out, size_t size, size_t *used);

/* NULL is fine. */
extern void sdes_certificate_draft_free(SdesCertificateDraft *draft);

#endif
