/*
 * parcel.h
 *		The format in which data encryption keys leave a database: to another site
 *		(an export), or for a rainy day (a backup). This is its specification.
 *
 *		8	"SDESKEYS"
 *		1	format, 1
 *		1	kind: 1 export, 2 backup
 *		1	how the content key is wrapped: 1 RSA-OAEP-SHA-256, 2 that and ML-KEM-768
 *		1	threshold: of a backup, shares that restore it; of an export 0
 *		16	id of the parcel, random
 *		8	when it was made, microseconds since 1970, UTC
 *		32	fingerprint of the sender's certificate
 *		1	number of recipients, 1 to 16; of an export 1
 *		2	number of buckets
 *		4	number of keys
 *		97	of each recipient: fingerprint of the certificate (32), length (1) and
 *			bytes of its name, filled up with zeros (64)
 *		98	of each bucket: UUID (16), whether it is the system bucket (1), kind of its
 *			KEK (1), rotation period in months, days, microseconds (4, 4, 8), length
 *			(1) and bytes of its name, UTF-8, filled up with zeros (63)
 *		25	of each key: id (8), place of its bucket in the list (2), version (4),
 *			purpose (1), mode (1), state (1), when it was made (8)
 *		--	this is the manifest; it holds nothing secret
 *		32	commitment to the content key
 *		2+	of each recipient: length and bytes of the wrapped content key, or share
 *		60	of each key: nonce, ciphertext and tag of the DEK, AES-256-GCM
 *		2+	length and bytes of the signature of all that stands before, RSA-PKCS1-v1_5
 *			with SHA-256 (RFC 8017, section 8.2)
 *
 * For a site the wrapped content key is a blob as of hsm/pkcs11_wrap.c, mechanism 5:
 * 01 05 || RSAES-OAEP(content key || HKDF-SHA-256(content key, info = "sdes/v1/wrap" ||
 * binding)), where the binding (envelope/dek.h) is the first 8 bytes of the parcel's id,
 * the id, version 1, purpose 5, mode 1 and the id of the recipient's key. For an officer
 * it is RSAES-OAEP(the text of his share).
 *
 * By wrapping 2, of exports only, what is wrapped so is a first secret of 32 random bytes,
 * and the ciphertext of ML-KEM-768 (FIPS 203), 1088 bytes, stands before it. The content
 * key is HKDF-SHA-256(first secret || secret of the KEM, info = "sdes/v1/parcel-hybrid" ||
 * id of the parcel || SHA-256(all that stands in the field)): who opens it has broken both.
 *
 * Numbers are big-endian. The content key is 32 random bytes of one parcel. With
 * digest = SHA-256(manifest), the sealing key is HKDF-SHA-256(content key, info =
 * "sdes/v1/parcel-seal" || digest), the commitment the same with
 * "sdes/v1/parcel-commitment"; the AAD of a DEK is digest || its place in the list (4).
 *
 * There is one spelling of everything: what the parser takes, the writer writes.
 */
#ifndef SDES_PARCEL_H
#define SDES_PARCEL_H

#include "crypto/mac.h"
#include "envelope/dek.h"
#include "parcel/certificate.h"
#include "parcel/share.h"

#define SDES_PARCEL_ID_SIZE         16
#define SDES_PARCEL_KEY_SIZE        32 /* of the content key */
#define SDES_PARCEL_SEALED_SIZE     60 /* of a DEK: nonce, ciphertext, tag */
#define SDES_PARCEL_RECIPIENTS_MAX  SDES_SHARES_MAX
#define SDES_PARCEL_BUCKET_NAME_MAX 63
#define SDES_PARCEL_RECIPIENT_SIZE  97
#define SDES_PARCEL_BUCKET_SIZE     98
#define SDES_PARCEL_KEY_RECORD_SIZE 25
#define SDES_PARCEL_MAX             (64 * 1024 * 1024) /* bytes of a whole parcel */

typedef enum SdesParcelKind
{
	SDES_PARCEL_EXPORT = 1,
	SDES_PARCEL_BACKUP = 2
} SdesParcelKind;

typedef enum SdesParcelWrap
{
	SDES_WRAP_RSA = 1,
	SDES_WRAP_HYBRID = 2
} SdesParcelWrap;

typedef struct SdesParcelRecipient
{
	uint8_t fingerprint[SDES_DIGEST_SIZE];
	char name[SDES_SITE_NAME_MAX + 1];
} SdesParcelRecipient;

typedef struct SdesParcelBucket
{
	uint8_t uuid[SDES_UUID_SIZE];
	bool system;
	uint8_t kek_kind; /* SdesKekKind: 1, 2 */
	int32_t months;   /* rotation period */
	int32_t days;
	int64_t microseconds;
	char name[SDES_PARCEL_BUCKET_NAME_MAX + 1];
} SdesParcelBucket;

typedef enum SdesParcelState
{
	SDES_PARCEL_ACTIVE = 0,
	SDES_PARCEL_DECRYPT_ONLY = 1,
	SDES_PARCEL_RETIRED = 2,
	SDES_PARCEL_INCOMING = 4 /* a search key that values are getting tokens of */
} SdesParcelState;

typedef struct SdesParcelKey
{
	uint8_t key_id[SDES_KEY_ID_SIZE];
	uint16_t bucket; /* its place in the list */
	uint32_t version;
	uint8_t purpose; /* SdesDekPurpose: data, literal or search */
	uint8_t mode;    /* SdesDekMode: cached */
	uint8_t state;   /* SdesParcelState */
	int64_t created; /* microseconds since 1970 */
} SdesParcelKey;

/* A parcel that was taken apart, or is to be made. All but the numbers borrows. */
typedef struct SdesParcel
{
	uint8_t kind; /* SdesParcelKind */
	uint8_t wrap; /* SdesParcelWrap */
	uint8_t threshold;
	uint8_t id[SDES_PARCEL_ID_SIZE];
	int64_t created;
	uint8_t sender[SDES_DIGEST_SIZE];
	uint8_t nrecipients;
	uint16_t nbuckets;
	uint32_t nkeys;
	SdesBytes recipients; /* the records */
	SdesBytes buckets;
	SdesBytes keys;
	SdesBytes commitment;
	SdesBytes wrapped[SDES_PARCEL_RECIPIENTS_MAX];
	SdesBytes sealed; /* of all keys */
	SdesBytes signature;
	SdesBytes signed_part;            /* what the signature is over */
	uint8_t digest[SDES_DIGEST_SIZE]; /* of the manifest */
} SdesParcel;

/* Takes a parcel apart: SDES_ERR_FORMAT unless it is spelled as it must be. */
extern SdesStatus sdes_parcel_parse(SdesBytes bytes, SdesParcel *out);

/* Records out of a parcel that was parsed; at < the number of them. */
extern void sdes_parcel_recipient(const SdesParcel *parcel, size_t at,
                                  SdesParcelRecipient *out);
extern void sdes_parcel_bucket(const SdesParcel *parcel, size_t at, SdesParcelBucket *out);
extern void sdes_parcel_key(const SdesParcel *parcel, size_t at, SdesParcelKey *out);

/* Records to be written. */
extern void sdes_parcel_write_recipient(SdesWriter *w,
                                        const SdesParcelRecipient *recipient);
extern void sdes_parcel_write_bucket(SdesWriter *w, const SdesParcelBucket *bucket);
extern void sdes_parcel_write_key(SdesWriter *w, const SdesParcelKey *key);

/* Bytes of a parcel with wrapped content keys of that many bytes in all. */
extern size_t sdes_parcel_size(const SdesParcel *parcel, size_t wrapped);

/*
 * Writes the manifest and sets parcel->digest: kind, threshold, id, created, sender,
 * numbers and records of *parcel are set. What follows is written by sdes_parcel_seal().
 */
extern SdesStatus sdes_parcel_write_manifest(SdesWriter *w, SdesParcel *parcel);

/* The commitment to a content key, SDES_DIGEST_SIZE bytes. */
extern SdesStatus sdes_parcel_commitment(const SdesParcel *parcel, SdesBytes content_key,
                                         uint8_t out[SDES_DIGEST_SIZE]);

/* Seals the DEK that stands at that place in the list of keys. */
extern SdesStatus sdes_parcel_seal(const SdesParcel *parcel, SdesBytes content_key,
                                   uint32_t at, SdesBytes dek,
                                   uint8_t out[SDES_PARCEL_SEALED_SIZE]);

/*
 * Opens it into *dek, which the caller frees. SDES_ERR_TAG unless it is authentic,
 * which implies that the content key is the right one.
 */
extern SdesStatus sdes_parcel_open(const SdesParcel *parcel, SdesBytes content_key,
                                   uint32_t at, SdesSecret *dek);

#define SDES_PARCEL_WRAPPED_MAX (SDES_KEM_CIPHERTEXT_SIZE + 2 + SDES_RSA_SIZE_MAX)

/* What a content key is bound to when it is wrapped for the key kek_id of a site. */
extern void sdes_parcel_binding(const SdesParcel *parcel,
                                const uint8_t kek_id[SDES_KEK_ID_SIZE],
                                SdesDekBinding *out);

/*
 * Wraps the content key for a site, in the form that its agent unwraps as a DEK under
 * that binding: what hsm/pkcs11_wrap.c makes by RSA-OAEP-SHA256. out holds
 * SDES_PARCEL_WRAPPED_MAX bytes.
 */
extern SdesStatus sdes_parcel_wrap(const SdesParcel *parcel, SdesBytes content_key,
                                   SdesPublicKey *key,
                                   const uint8_t kek_id[SDES_KEK_ID_SIZE], uint8_t *out,
                                   size_t *size);

/*
 * The same by SDES_WRAP_HYBRID: makes the content key, into memory of the caller's that
 * is locked and holds SDES_PARCEL_KEY_SIZE bytes.
 */
extern SdesStatus sdes_parcel_wrap_hybrid(const SdesParcel *parcel,
                                          const SdesCertificate *to, uint8_t *content_key,
                                          uint8_t *out, size_t *size);

/* The part of a recipient's field that his agent unwraps. */
extern SdesBytes sdes_parcel_wrapped_secret(const SdesParcel *parcel);

/*
 * The content key of a parcel with SDES_WRAP_HYBRID, of what the agent has unwrapped and
 * the root of the site's ML-KEM key, into the caller's locked memory.
 */
extern SdesStatus sdes_parcel_hybrid_key(const SdesParcel *parcel, SdesBytes first,
                                         SdesBytes root, uint8_t *content_key);

/* The same of an officer's share: its text, encrypted. */
extern SdesStatus sdes_parcel_wrap_share(const SdesParcel *parcel, uint8_t number,
                                         const uint8_t share[SDES_PARCEL_KEY_SIZE],
                                         SdesPublicKey *key, uint8_t *out, size_t *size);

/* SDES_ERR_TAG unless the content key is the one that the parcel commits to. */
extern SdesStatus sdes_parcel_check_key(const SdesParcel *parcel, SdesBytes content_key);

/* The digest that is signed: SHA-256 of what is given. */
extern SdesStatus sdes_parcel_signed_digest(SdesBytes signed_part,
                                            uint8_t out[SDES_DIGEST_SIZE]);

/* SDES_ERR_TAG unless the owner of the key signed the parcel. */
extern SdesStatus sdes_parcel_verify(const SdesParcel *parcel, SdesPublicKey *sender);

/*
 * The share of an officer as a text, which is what is encrypted to him and what he gives
 * back: "sdes-share-1:" || first 8 hex digits of the parcel's id || ":" || number || ":" ||
 * 64 hex digits of the share || ":" || first 8 hex digits of SHA-256 of all before.
 */
#define SDES_SHARE_TEXT_MAX 128

extern SdesStatus sdes_share_to_text(const uint8_t id[SDES_PARCEL_ID_SIZE], uint8_t number,
                                     const uint8_t share[SDES_PARCEL_KEY_SIZE],
                                     char out[SDES_SHARE_TEXT_MAX]);

/*
 * The reverse. Blanks around it are passed over. SDES_ERR_FORMAT for what is no share,
 * SDES_ERR_TAG for one that was mistyped or is of another parcel.
 */
extern SdesStatus sdes_share_from_text(SdesBytes text,
                                       const uint8_t id[SDES_PARCEL_ID_SIZE],
                                       uint8_t *number,
                                       uint8_t share[SDES_PARCEL_KEY_SIZE]);

#endif
