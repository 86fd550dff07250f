/*
 * checkpoint.h
 *		Signatures in a journal, by a key that never leaves the HSM. This is their
 *		specification.
 *
 * A checkpoint is a record that holds nothing; its hash is that of all that stands before
 * it. A signature of that hash follows in a record of its own, when the HSM has made it,
 * after whatever was recorded meanwhile. Fields of a signature:
 *
 *		algorithm	"ecdsa-p256-sha256", or "rsa-4096-pkcs1-sha256" where the token has no
 *					elliptic curves
 *		key			id of the key in the token
 *		signature	ECDSA (FIPS 186-5, section 6.4), r || s, 64 bytes, or RSASSA-PKCS1-v1_5
 *					(RFC 8017, section 8.2), 512 bytes, with SHA-256 of
 *					"sdes audit checkpoint" || id of the journal (16) ||
 *					sequence of the checkpoint (8) || its hash (32)
 *		checkpoint	that sequence
 *
 * The key is made known by an event of the operation "signing key", with its id and the
 * public key, a SubjectPublicKeyInfo (RFC 5280, section 4.1) in DER: when a server begins
 * to sign, and once in each segment, so that a segment can be verified alone.
 *
 * Whoever writes a journal anew can make a key known in it, too. So the right key is to be
 * known from elsewhere, by its fingerprint: the SHA-256 of those bytes.
 */
#ifndef SDES_JOURNAL_CHECKPOINT_H
#define SDES_JOURNAL_CHECKPOINT_H

#include "crypto/public_key.h"
#include "journal/record.h"

#define SDES_CHECKPOINT_P256     "ecdsa-p256-sha256"
#define SDES_CHECKPOINT_RSA      "rsa-4096-pkcs1-sha256"
#define SDES_SIGNING_KEY         "signing key" /* operation of the event */
#define SDES_SIGNING_KEY_ID_SIZE 16
#define SDES_PINS_MAX            8
#define SDES_CHECKPOINTS_MAX     8        /* that wait for their signatures at a time */
#define SDES_UNSIGNED_MAX        60000000 /* microseconds: a longer tail is suspicious */

/* SHA-256 of what is signed. */
extern SdesStatus sdes_checkpoint_digest(const uint8_t journal[SDES_JOURNAL_ID_SIZE],
                                         uint64_t sequence,
                                         const uint8_t hash[SDES_DIGEST_SIZE],
                                         uint8_t out[SDES_DIGEST_SIZE]);

typedef struct SdesCheckpoint
{
	uint64_t sequence;
	int64_t time;
	uint8_t hash[SDES_DIGEST_SIZE];
} SdesCheckpoint;

/* What a verification knows of signatures. */
typedef struct SdesSignatures
{
	/* Fingerprints of keys that are known from elsewhere: then no other key counts. */
	uint8_t pins[SDES_PINS_MAX][SDES_DIGEST_SIZE];
	int npins;

	SdesPublicKey *key; /* the last one that was made known; NULL: none */
	uint8_t key_id[SDES_SIGNING_KEY_ID_SIZE];
	uint8_t fingerprint[SDES_DIGEST_SIZE]; /* of that; what signed is signed_by */
	SdesCheckpoint waiting[SDES_CHECKPOINTS_MAX];
	int nwaiting;
	uint64_t count;                      /* of good signatures */
	uint8_t signed_by[SDES_DIGEST_SIZE]; /* the last of them: fingerprint of its key */
	uint64_t changes;                    /* how often that was another one than before */
	int64_t unsigned_since; /* time of the first record after it; 0: there is none */
	int64_t seen;           /* time of the last record */
	SdesCheckpoint last;    /* the last checkpoint that is signed; sequence 0: none */
} SdesSignatures;

extern void sdes_signatures_start(SdesSignatures *s);
extern void sdes_signatures_end(SdesSignatures *s);

/* Where keys are known: whether they have signed, and all but a short tail. */
extern bool sdes_signatures_suffice(const SdesSignatures *s);

/*
 * Takes note of a record of a journal whose records are seen from sequence first on. False
 * for a signature that is wrong, or that is of another key than those that count. What a
 * signature is of may stand, as may its key, before the first record: then it is passed
 * over.
 */
extern bool sdes_signatures_see(SdesSignatures *s,
                                const uint8_t journal[SDES_JOURNAL_ID_SIZE], uint64_t first,
                                const SdesRecord *record);

#endif
