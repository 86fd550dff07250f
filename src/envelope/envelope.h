/*
 * envelope.h
 *		The sealed form of one value, frozen with release 1.0.
 *
 *		offset	size
 *		0		1	marker 0x00: no text of any server encoding begins so
 *		1		1	suite, SDES_SUITE_*
 *		2		1	flags, SDES_ENVELOPE_*
 *		3		8	id of the data encryption key (DEK)
 *		11		12	nonce
 *		23		2	search-key id  } when SDES_ENVELOPE_TOKEN
 *		25		16	search token   }
 *		...		18	the same again   when SDES_ENVELOPE_TOKEN2
 *		...		18	the same for the lower-cased text   when SDES_ENVELOPE_CI
 *		...		18	and again   when SDES_ENVELOPE_CI2
 *		...		n	ciphertext
 *		...		16	GCM tag
 *
 * Numbers are big-endian. The additional authenticated data (AAD) is the whole
 * header (everything before the ciphertext), then the type tag (4 bytes), then
 * the bucket's UUID (16 bytes). No OID, name or row identity is in it, so that
 * dumps, renames, replication and verbatim copies keep working.
 *
 * Suite 0x01 is AES-256-GCM under a sealing key (dek.h), with a random 96-bit
 * nonce of ours; the ciphertext is as long as the plaintext.
 *
 * Suite 0x02 is AES-256-GCM inside an HSM, under the bucket's KEK itself. What is
 * sealed is the plaintext and then the first 8 bytes of its SHA-256, which tell
 * whether it left the HSM as it went in; so much longer is the ciphertext. The AAD
 * has zeros in the nonce's place: an HSM that draws its own nonce tells it only
 * afterwards. GCM authenticates its nonce without that (NIST SP 800-38D, 7.1).
 *
 * The mode of a key tells the suite of its values, 0x01 for cached and 0x02 for hsm,
 * never the other.
 *
 * The parser is strict: what it does not know is an error, never passed over.
 */
#ifndef SDES_ENVELOPE_H
#define SDES_ENVELOPE_H

#include "crypto/aead.h"

#define SDES_ENVELOPE_MARKER       0x00
#define SDES_SUITE_AES_256_GCM     0x01
#define SDES_SUITE_AES_256_GCM_HSM 0x02

/* Flags; every other bit is refused. */
#define SDES_ENVELOPE_TOKEN  0x01 /* a search token is present */
#define SDES_ENVELOPE_TOKEN2 0x02 /* and a second one (search-key rotation) */
#define SDES_ENVELOPE_BYTES  0x04 /* the plaintext is not UTF-8 (SQL_ASCII) */
#define SDES_ENVELOPE_CI     0x08 /* a token of the lower-cased text is present */
#define SDES_ENVELOPE_CI2    0x10 /* and a second one */

#define SDES_KEY_ID_SIZE          8
#define SDES_UUID_SIZE            16
#define SDES_TOKEN_SIZE           16
#define SDES_ENVELOPE_HEADER_SIZE 23 /* without tokens */
#define SDES_ENVELOPE_TOKEN_FIELD 18 /* search-key id and token */
#define SDES_ENVELOPE_MIN_SIZE    (SDES_ENVELOPE_HEADER_SIZE + SDES_AEAD_TAG_SIZE)
#define SDES_ENVELOPE_MAX_TOKENS  4 /* in all */
#define SDES_ENVELOPE_MAX_OVERHEAD                                                         \
	(SDES_ENVELOPE_MIN_SIZE + SDES_ENVELOPE_MAX_TOKENS * SDES_ENVELOPE_TOKEN_FIELD)

/* The AAD: header with all tokens, type tag, UUID. */
#define SDES_ENVELOPE_AAD_MAX                                                              \
	(SDES_ENVELOPE_HEADER_SIZE + SDES_ENVELOPE_MAX_TOKENS * SDES_ENVELOPE_TOKEN_FIELD +    \
	 4 + SDES_UUID_SIZE)
/* Suite 0x02: the bytes of SHA-256, and by how much what comes from the HSM is longer. */
#define SDES_ENVELOPE_CHECK_SIZE 8
#define SDES_ENVELOPE_HSM_OVERHEAD                                                         \
	(SDES_NONCE_SIZE + SDES_ENVELOPE_CHECK_SIZE + SDES_AEAD_TAG_SIZE)

/* Type tags: what SQL type a value was sealed as. Four ASCII bytes. */
#define SDES_TYPE_TEXT 0x74657874U /* "text" */
#define SDES_TYPE_PAN  0x70616e20U /* "pan " */

/* In tokens only: of the text in lower case. */
#define SDES_TYPE_TEXT_CI 0x74657863U /* "texc" */

typedef struct SdesToken
{
	uint16_t search_key;
	uint8_t token[SDES_TOKEN_SIZE];
} SdesToken;

/* What a value is bound to besides its header. */
typedef struct SdesValueContext
{
	uint32_t type; /* SDES_TYPE_* */
	uint8_t bucket[SDES_UUID_SIZE];
} SdesValueContext;

/* A parsed envelope. Pointers borrow from the bytes it was parsed from. */
typedef struct SdesEnvelope
{
	uint8_t suite;
	uint8_t flags;
	uint8_t key_id[SDES_KEY_ID_SIZE];
	int ntokens; /* of the text */
	SdesToken tokens[2];
	int nci; /* of the lower-cased text */
	SdesToken ci[2];
	SdesBytes header; /* everything before the ciphertext */
	SdesSealed sealed;
} SdesEnvelope;

/* What the sealer chooses; the nonce is drawn by sdes_envelope_seal(). */
typedef struct SdesSealSpec
{
	uint8_t key_id[SDES_KEY_ID_SIZE];
	SdesValueContext context;
	bool bytes;  /* the plaintext is not UTF-8 */
	int ntokens; /* 0, 1 or 2, of the text */
	SdesToken tokens[2];
	int nci; /* 0, 1 or 2, of the lower-cased text */
	SdesToken ci[2];
} SdesSealSpec;

/* True when the bytes can only be an envelope (they begin with the marker). */
extern bool sdes_envelope_marked(SdesBytes bytes);

/*
 * SDES_ERR_FORMAT or SDES_ERR_SUITE for anything but a canonical envelope. Tokens beyond
 * ntokens and nci are not set.
 */
extern SdesStatus sdes_envelope_parse(SdesBytes bytes, SdesEnvelope *out);

/*
 * The same of the header alone: what follows it is not looked at, and may be missing.
 * header and sealed are not set.
 */
extern SdesStatus sdes_envelope_parse_header(SdesBytes bytes, SdesEnvelope *out);

/* Size of the envelope of a plaintext of that many bytes, with so many tokens in all. */
extern size_t sdes_envelope_size(int ntokens, size_t plaintext_size);

/*
 * Seals into out, which holds sdes_envelope_size() bytes. The plaintext must
 * be UTF-8 unless spec->bytes; that is the caller's to know.
 */
extern SdesStatus sdes_envelope_seal(SdesAead *aead, const SdesSealSpec *spec,
                                     SdesBytes plaintext, uint8_t *out);

/* The same under a nonce of the caller's choice: for known-answer tests only. */
extern SdesStatus sdes_envelope_seal_with_nonce(SdesAead *aead, const SdesSealSpec *spec,
                                                const uint8_t nonce[SDES_NONCE_SIZE],
                                                SdesBytes plaintext, uint8_t *out);

/*
 * Opens into out, which holds sealed.ciphertext.size bytes. SDES_ERR_FORMAT for
 * a value that was sealed inside an HSM.
 */
extern SdesStatus sdes_envelope_open(SdesAead *aead, const SdesEnvelope *envelope,
                                     const SdesValueContext *context, uint8_t *out);

/*
 * Suite 0x02, where the cipher is elsewhere. What goes there is an AAD and a
 * plaintext, and what comes back, SDES_ENVELOPE_HSM_OVERHEAD bytes longer, is
 * nonce, ciphertext and tag in one run. Nobody here sees the 8 bytes of SHA-256.
 */
typedef struct SdesEnvelopeAad
{
	size_t size;
	uint8_t data[SDES_ENVELOPE_AAD_MAX];
} SdesEnvelopeAad;

/* What a new value is bound to. SDES_ERR_FORMAT for tokens that are not canonical. */
extern SdesStatus sdes_envelope_hsm_seal_aad(const SdesSealSpec *spec,
                                             SdesEnvelopeAad *out);

/* Size of the envelope of a plaintext of that many bytes, with so many tokens in all. */
extern size_t sdes_envelope_hsm_size(int ntokens, size_t plaintext_size);

/*
 * Puts what the HSM has sealed into out, which holds sdes_envelope_hsm_size() bytes
 * of the plaintext. SDES_ERR_FORMAT unless sealed is as long as it must be.
 */
extern SdesStatus sdes_envelope_hsm_write(const SdesSealSpec *spec, size_t plaintext_size,
                                          SdesBytes sealed, uint8_t *out);

/* What a value is bound to. SDES_ERR_FORMAT unless it was sealed inside an HSM. */
extern SdesStatus sdes_envelope_hsm_open_aad(const SdesEnvelope *envelope,
                                             const SdesValueContext *context,
                                             SdesEnvelopeAad *out);

/* Of a value that was sealed inside an HSM. */
extern size_t sdes_envelope_hsm_plaintext_size(const SdesEnvelope *envelope);

/*
 * The run of bytes that the HSM opens, into out, which holds the plaintext's size and
 * SDES_ENVELOPE_HSM_OVERHEAD bytes.
 */
extern void sdes_envelope_hsm_sealed(const SdesEnvelope *envelope, uint8_t *out);

#endif
