/*
 * provider.h
 *		What the agent asks of a key store, as a table of operations.
 *
 * An SdesHsm is one opened token; an SdesHsmSession is one conversation with
 * it, used by one thread at a time. Any call may take for ever (that is why
 * only the agent's worker threads make them). After a call on a session has
 * failed, close that session: an operation may have stayed active in it.
 *
 * Every operation returns a status and, unless it is SDES_OK, describes the
 * failure in *fault, in words for people. No secret, PIN or value is in them.
 */
#ifndef SDES_HSM_PROVIDER_H
#define SDES_HSM_PROVIDER_H

#include "crypto/secret.h"

#define SDES_HSM_KEY_ID_SIZE 16   /* of a KEK */
#define SDES_HSM_BLOB_MAX    1024 /* of a wrapped DEK */
#define SDES_HSM_DEK_SIZE    32
#define SDES_HSM_DETAIL_MAX  300

typedef struct SdesHsm SdesHsm;
typedef struct SdesHsmSession SdesHsmSession;

typedef struct SdesHsmFault
{
	uint32_t code; /* the module's CK_RV, 0 when none is meant */
	bool lost;     /* the session, login or device is gone: a new one may work */
	char detail[SDES_HSM_DETAIL_MAX + 1];
} SdesHsmFault;

/*
 * Describes a failure that no module reported, cut at SDES_HSM_DETAIL_MAX;
 * returns the status, so that it can stand in a return statement.
 */
extern SdesStatus sdes_hsm_fault(SdesHsmFault *fault, SdesStatus status, const char *format,
                                 ...) __attribute__((format(printf, 3, 4)));

/* What to open. Empty strings are not set. */
typedef struct SdesHsmTarget
{
	const char *module;
	const char *init_args;
	const char *token;
} SdesHsmTarget;

typedef struct SdesHsmTokenInfo
{
	char module[128];
	char label[33];
	char serial[17];
	char model[17];
	bool login_required;
	bool pin_count_low; /* a wrong PIN was tried since the last good one */
	bool pin_final_try;
	bool pin_locked;
} SdesHsmTokenInfo;

typedef struct SdesHsmBlob
{
	size_t size;
	uint8_t data[SDES_HSM_BLOB_MAX];
} SdesHsmBlob;

/* What to wrap or seal with which key; aad is authenticated and not stored. */
typedef struct SdesHsmWrap
{
	uint8_t kek_id[SDES_HSM_KEY_ID_SIZE];
	SdesBytes aad;
} SdesHsmWrap;

/* The numbers travel in requests to the agent: append only. */
typedef enum SdesHsmKekKind
{
	SDES_HSM_AES_256 = 1,
	SDES_HSM_RSA_4096 = 2,
	SDES_HSM_RSA_4096_SIGN = 3, /* no KEK: it signs, and does nothing else */
	SDES_HSM_P256_SIGN = 4      /* the same on the curve P-256 */
} SdesHsmKekKind;

#define SDES_HSM_RSA_SIZE    512 /* of a modulus and of a signature */
#define SDES_HSM_DIGEST_SIZE 32  /* SHA-256 */

/* A public key, or a signature. */
typedef struct SdesHsmPublic
{
	size_t size;
	uint8_t data[SDES_HSM_RSA_SIZE];
} SdesHsmPublic;

typedef struct SdesHsmNewKek
{
	const char *label;
	SdesHsmKekKind kind;
	/* Values will be sealed under it in the token: nothing but AES-GCM will do. */
	bool seals;
} SdesHsmNewKek;

/* A value sealed in the token: nonce, ciphertext, tag. */
#define SDES_HSM_SEALED_OVERHEAD 28

typedef struct SdesHsmKekList
{
	size_t count;
	size_t max;
	uint8_t (*ids)[SDES_HSM_KEY_ID_SIZE]; /* room for max, the caller's */
} SdesHsmKekList;

typedef struct SdesHsmProvider
{
	const char *name;

	/*
	 * Loads and initialises the module and finds the token. On failure *out is
	 * NULL and nothing is left open.
	 */
	SdesStatus (*open)(const SdesHsmTarget *target, SdesHsm **out, SdesHsmFault *fault);
	/* Logs out and finalises. All sessions must be closed. NULL is fine. */
	void (*close)(SdesHsm *hsm);
	/* The token's names and PIN flags as they are now. */
	SdesStatus (*token_info)(SdesHsm *hsm, SdesHsmTokenInfo *out, SdesHsmFault *fault);
	/*
	 * Spends one try of the PIN. SDES_ERR_HSM_PIN when the token refused the
	 * PIN, SDES_ERR_HSM_PIN_LOCKED when it reports it locked.
	 */
	SdesStatus (*login)(SdesHsm *hsm, SdesBytes pin, SdesHsmFault *fault);

	SdesStatus (*session_open)(SdesHsm *hsm, SdesHsmSession **out, SdesHsmFault *fault);
	void (*session_close)(SdesHsmSession *session);

	/*
	 * Generates a KEK with a random id, reads its attributes back and proves it
	 * by a round trip; on any failure no key stays behind. *mechanism becomes
	 * the static name of the wrapping mechanism that worked.
	 */
	SdesStatus (*kek_create)(SdesHsmSession *session, const SdesHsmNewKek *spec,
	                         uint8_t id[SDES_HSM_KEY_ID_SIZE], const char **mechanism,
	                         SdesHsmFault *fault);
	/* The same proofs for a KEK that exists, of whatever kind. */
	SdesStatus (*kek_check)(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
	                        const char **mechanism, SdesHsmFault *fault);
	SdesStatus (*kek_destroy)(SdesHsmSession *session,
	                          const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault);
	/* The list->max smallest ids greater than after, of labels that begin with prefix. */
	SdesStatus (*kek_list)(SdesHsmSession *session, const char *prefix,
	                       const uint8_t after[SDES_HSM_KEY_ID_SIZE], SdesHsmKekList *list,
	                       SdesHsmFault *fault);

	SdesStatus (*dek_wrap)(SdesHsmSession *session, const SdesHsmWrap *wrap, SdesBytes dek,
	                       SdesHsmBlob *out, SdesHsmFault *fault);
	/*
	 * The SDES_HSM_DEK_SIZE bytes that were wrapped, in *out, which the caller
	 * frees. SDES_ERR_TAG when key, aad or blob are not those of the wrapping.
	 */
	SdesStatus (*dek_unwrap)(SdesHsmSession *session, const SdesHsmWrap *wrap,
	                         SdesBytes blob, SdesSecret *out, SdesHsmFault *fault);
	/*
	 * Seals a value inside the token by AES-GCM under an AES KEK into out, which
	 * holds plaintext.size + SDES_HSM_SEALED_OVERHEAD bytes. The nonce is random,
	 * drawn by the token where it insists on that, by us elsewhere.
	 */
	SdesStatus (*seal)(SdesHsmSession *session, const SdesHsmWrap *under,
	                   SdesBytes plaintext, uint8_t *out, SdesHsmFault *fault);
	/*
	 * The reverse, into out, which holds sealed.size bytes (some tokens want room
	 * for what they do not write); the plaintext is SDES_HSM_SEALED_OVERHEAD
	 * shorter. SDES_ERR_TAG when it is not authentic; out is wiped then.
	 */
	SdesStatus (*open_sealed)(SdesHsmSession *session, const SdesHsmWrap *under,
	                          SdesBytes sealed, uint8_t *out, SdesHsmFault *fault);
	/*
	 * The modulus of an RSA key of either kind, big-endian (its exponent is 65537); the
	 * point of one on P-256, uncompressed (SEC 1, section 2.3.3).
	 */
	SdesStatus (*public_key)(SdesHsmSession *session,
	                         const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmPublic *out,
	                         SdesHsmFault *fault);
	/*
	 * A digest's signature by a key of a kind that signs: RSASSA-PKCS1-v1_5 with SHA-256
	 * (RFC 8017, section 8.2), or ECDSA, r || s (FIPS 186-5, section 6.4).
	 */
	SdesStatus (*sign)(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
	                   const uint8_t digest[SDES_HSM_DIGEST_SIZE], SdesHsmPublic *signature,
	                   SdesHsmFault *fault);
	SdesStatus (*random)(SdesHsmSession *session, uint8_t *out, size_t size,
	                     SdesHsmFault *fault);
} SdesHsmProvider;

extern const SdesHsmProvider *sdes_hsm_pkcs11(void);

#endif
