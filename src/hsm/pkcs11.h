/*
 * pkcs11.h
 *		Shared by the files of the PKCS#11 provider, and by nobody else.
 *
 * The PKCS#11 headers are p11-kit's, in their standard spelling (no CRYPTOKI_GNU).
 */
#ifndef SDES_HSM_PKCS11_H
#define SDES_HSM_PKCS11_H

#include "hsm/provider.h"

#include <p11-kit/pkcs11.h>
#include <pthread.h>

/* Wrapping mechanisms the provider knows: rows of the table in pkcs11_wrap.c. */
#define SDES_PKCS11_MECHANISMS_MAX 8
/* Keys a session remembers. */
#define SDES_PKCS11_KEYS 8

#define SDES_PKCS11_RSA_BITS 4096
#define SDES_PKCS11_RSA_SIZE (SDES_PKCS11_RSA_BITS / 8)

/* CKA_EC_PARAMS of P-256: its object identifier (RFC 5480, section 2.1.1.1) in DER. */
#define SDES_PKCS11_P256                                                                   \
	{                                                                                      \
		0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07                         \
	}

/* An attribute of an array of CK_ATTRIBUTE. */
#define SDES_PKCS11_ATTRIBUTE(type, object)                                                \
	{                                                                                      \
		type, &(object), sizeof(object)                                                    \
	}

typedef struct SdesPkcs11Mechanism SdesPkcs11Mechanism;

/* Who makes the IV of AES-GCM, see pkcs11_gcm.c. */
typedef enum SdesPkcs11Iv
{
	SDES_PKCS11_IV_OURS = 0,
	SDES_PKCS11_IV_FILLED,
	SDES_PKCS11_IV_APPENDED,
	SDES_PKCS11_IV_COUNT
} SdesPkcs11Iv;

struct SdesHsm
{
	CK_FUNCTION_LIST_PTR p11;
	CK_SLOT_ID slot;
	/* Open from login to close: the login lasts as long as one session does. */
	CK_SESSION_HANDLE anchor;
	CK_INFO info;
	bool offered[SDES_PKCS11_MECHANISMS_MAX]; /* by the token, in table order */
	int gcm_iv;         /* SdesPkcs11Iv that worked last; atomic, many threads use it */
	const char *module; /* its path, as long as the process lives */

	pthread_mutex_t rsa_lock;
	struct SdesPkcs11Rsa *rsa; /* under rsa_lock; see pkcs11_libp11.c */
};

/* A KEK that was found, and whose attributes were what they must be. */
typedef struct SdesPkcs11Key
{
	uint8_t id[SDES_HSM_KEY_ID_SIZE];
	CK_OBJECT_HANDLE handle; /* CK_INVALID_HANDLE: none; of a pair the private one */
	SdesHsmKekKind kind;
	CK_FLAGS usage; /* CKF_ENCRYPT and the like: what its attributes allow */
	const SdesPkcs11Mechanism *proven; /* NULL until a round trip was done */
	struct evp_pkey_st *private_key;   /* libp11's; NULL until it was needed */
} SdesPkcs11Key;

struct SdesHsmSession
{
	SdesHsm *hsm;
	CK_SESSION_HANDLE handle; /* read-only */
	SdesPkcs11Key keys[SDES_PKCS11_KEYS];
	unsigned next_key; /* to be replaced */
};

/* A key in an open session, and what the wrapping is bound to. */
typedef struct SdesPkcs11Context
{
	SdesHsm *hsm;
	CK_SESSION_HANDLE handle;
	SdesPkcs11Key *key;
	SdesBytes aad;
	const SdesPkcs11Mechanism *mechanism; /* by which it is wrapped */
} SdesPkcs11Context;

/* A row of the table of wrapping mechanisms. */
struct SdesPkcs11Mechanism
{
	uint8_t number; /* in the blob: never used for anything else */
	const char *name;
	CK_MECHANISM_TYPE type;
	SdesHsmKekKind kind;
	CK_FLAGS usage; /* what the token must offer and the key must allow, and no more */
	bool has_aad;   /* of its own; the others wrap a tag with the DEK */
	bool malleable; /* a padding error must look like a wrong tag */
	SdesStatus (*wrap)(const SdesPkcs11Context *context, SdesBytes payload, SdesWriter *out,
	                   SdesHsmFault *fault);
	/* Fills payload, whose size is known; the rest of in is all its own. */
	SdesStatus (*unwrap)(const SdesPkcs11Context *context, SdesReader *in,
	                     SdesSecret *payload, SdesHsmFault *fault);
};

/* pkcs11_fault.c: sets *fault from a CK_RV of the named call; returns the status. */
extern SdesStatus sdes_pkcs11_failed(SdesHsmFault *fault, const char *call, CK_RV rv);
/* The same with a status of the caller's choice. */
extern SdesStatus sdes_pkcs11_failed_as(SdesHsmFault *fault, SdesStatus status,
                                        const char *call, CK_RV rv);
/* The same of a call that opens what was sealed: SDES_ERR_TAG where the code says so. */
extern SdesStatus sdes_pkcs11_open_failed(SdesHsmFault *fault, const char *call, CK_RV rv);
/* Codes that tokens give for a bad tag and for other trouble. */
extern bool sdes_pkcs11_may_say_tampered(CK_RV rv);

/* pkcs11_module.c: the process has one module, loaded once and never unloaded. */
extern SdesStatus sdes_pkcs11_load(const char *path, CK_FUNCTION_LIST_PTR *out,
                                   SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_initialize(CK_FUNCTION_LIST_PTR p11, const char *init_args,
                                         SdesHsmFault *fault);

/* pkcs11_token.c */
extern SdesStatus sdes_pkcs11_find_token(SdesHsm *hsm, const char *uri,
                                         SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_token_info(SdesHsm *hsm, SdesHsmTokenInfo *out,
                                         SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_login(SdesHsm *hsm, SdesBytes pin, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_session(SdesHsm *hsm, bool writable, CK_SESSION_HANDLE *out,
                                      SdesHsmFault *fault);

/* pkcs11_key.c */
/*
 * Finds the one key with key->id; sets handle and kind, of which it knows SDES_HSM_AES_256,
 * _RSA_4096 and _P256_SIGN: what an RSA key is for, its attributes say.
 */
extern SdesStatus sdes_pkcs11_key_find(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                       SdesPkcs11Key *key, SdesHsmFault *fault);
/* The public half of a pair on P-256, which anybody may have put there. */
extern SdesStatus sdes_pkcs11_find_point(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                         const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                         CK_OBJECT_HANDLE *out, SdesHsmFault *fault);
/* Finds it and checks its attributes, too. */
extern SdesStatus sdes_pkcs11_key_open(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                       SdesPkcs11Key *key, SdesHsmFault *fault);
/* Forgets what is known of a key; an empty one is fine. */
extern void sdes_pkcs11_key_close(SdesPkcs11Key *key);
/* The same, remembered by the session, in *context with its session and aad. */
extern SdesStatus sdes_pkcs11_session_key(SdesHsmSession *session, const SdesHsmWrap *wrap,
                                          SdesPkcs11Context *context, SdesHsmFault *fault);
/* After a failure: forgets the key; true when its handle was stale, so try again. */
extern bool sdes_pkcs11_key_stale(SdesPkcs11Key *key, const SdesHsmFault *fault);
/* Destroys all objects of KEKs with this id; none is fine. */
extern SdesStatus sdes_pkcs11_key_destroy(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                          const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                          SdesHsmFault *fault);

/* pkcs11_attributes.c */
extern SdesStatus sdes_pkcs11_check_attributes(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                               SdesPkcs11Key *key, SdesHsmFault *fault);
/* The modulus of a private RSA key, which it checks with the exponent. */
extern SdesStatus sdes_pkcs11_read_modulus(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                           CK_OBJECT_HANDLE key,
                                           uint8_t modulus[SDES_PKCS11_RSA_SIZE],
                                           SdesHsmFault *fault);

/* The type of a private key: CKK_RSA, CKK_EC. */
extern SdesStatus sdes_pkcs11_read_type(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                        CK_OBJECT_HANDLE key, CK_KEY_TYPE *type,
                                        SdesHsmFault *fault);
/* The point of a public key on P-256, uncompressed. */
extern SdesStatus sdes_pkcs11_read_point(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                         CK_OBJECT_HANDLE key, SdesHsmPublic *out,
                                         SdesHsmFault *fault);

/* pkcs11_generate.c: a key of the kind and usage of the mechanism, nothing checked. */
extern SdesStatus sdes_pkcs11_generate(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                       const SdesPkcs11Mechanism *mechanism,
                                       const char *label,
                                       const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                       SdesHsmFault *fault);
/* The same of a pair that only signs. */
extern SdesStatus sdes_pkcs11_generate_signer(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                              const SdesHsmNewKek *spec,
                                              const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                              SdesHsmFault *fault);

/* pkcs11_kek.c */
extern SdesStatus sdes_pkcs11_kek_create(SdesHsmSession *session, const SdesHsmNewKek *spec,
                                         uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                         const char **mechanism, SdesHsmFault *fault);
/* In a session of its own, since a failed call may leave an operation active in one. */
extern void sdes_pkcs11_destroy_failed(SdesHsm *hsm,
                                       const uint8_t id[SDES_HSM_KEY_ID_SIZE]);
extern SdesStatus sdes_pkcs11_kek_check(SdesHsmSession *session,
                                        const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                        const char **mechanism, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_kek_destroy(SdesHsmSession *session,
                                          const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                          SdesHsmFault *fault);

/* pkcs11_sign.c */
extern SdesStatus sdes_pkcs11_public_key(SdesHsmSession *session,
                                         const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                         SdesHsmPublic *out, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_sign(SdesHsmSession *session,
                                   const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                   const uint8_t digest[SDES_HSM_DIGEST_SIZE],
                                   SdesHsmPublic *signature, SdesHsmFault *fault);
/* Generates a key that signs and proves it; on failure none stays behind. */
extern SdesStatus sdes_pkcs11_signer_create(SdesHsmSession *session,
                                            const SdesHsmNewKek *spec,
                                            uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                            const char **mechanism, SdesHsmFault *fault);

/* pkcs11_list.c */
extern SdesStatus sdes_pkcs11_kek_list(SdesHsmSession *session, const char *prefix,
                                       const uint8_t after[SDES_HSM_KEY_ID_SIZE],
                                       SdesHsmKekList *list, SdesHsmFault *fault);

/* pkcs11_wrap.c */
extern const SdesPkcs11Mechanism *const sdes_pkcs11_gcm; /* its row */
extern void sdes_pkcs11_probe_mechanisms(SdesHsm *hsm);
/*
 * The mechanisms for a new key, in order of preference: the next one that the
 * token offers after the given one (NULL: the first); NULL when there is none.
 */
extern const SdesPkcs11Mechanism *
sdes_pkcs11_next_mechanism(const SdesHsm *hsm, const SdesHsmNewKek *spec,
                           const SdesPkcs11Mechanism *after);
/* Says which mechanisms would have done. */
extern SdesStatus sdes_pkcs11_none_offered(const SdesHsmNewKek *spec, SdesHsmFault *fault);
/*
 * Wraps and unwraps random bytes under the key, see SdesHsmProvider.kek_create, by
 * that mechanism or, when it is NULL, by the first for such a key that works, to
 * which key->proven is set. Does nothing when a mechanism was proven.
 */
extern SdesStatus sdes_pkcs11_prove(SdesHsm *hsm, SdesPkcs11Key *key,
                                    const SdesPkcs11Mechanism *only, SdesHsmFault *fault);
/*
 * Who is to blame for a status of an unwrap, or an open: where
 * the code could mean either and the key still does a round trip, the token is
 * well and what was wrapped is not.
 */
extern SdesStatus sdes_pkcs11_settle_blame(const SdesPkcs11Context *context,
                                           SdesStatus status, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_dek_wrap(SdesHsmSession *session, const SdesHsmWrap *wrap,
                                       SdesBytes dek, SdesHsmBlob *out,
                                       SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_dek_unwrap(SdesHsmSession *session, const SdesHsmWrap *wrap,
                                         SdesBytes blob, SdesSecret *out,
                                         SdesHsmFault *fault);

/* pkcs11_gcm.c */
/* Into out, which holds plaintext.size + SDES_HSM_SEALED_OVERHEAD bytes. */
extern SdesStatus sdes_pkcs11_gcm_seal(const SdesPkcs11Context *context,
                                       SdesBytes plaintext, uint8_t *out,
                                       SdesHsmFault *fault);
/* Into out, which holds sealed.size bytes; wiped on failure. */
extern SdesStatus sdes_pkcs11_gcm_open(const SdesPkcs11Context *context, SdesBytes sealed,
                                       uint8_t *out, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_gcm_wrap(const SdesPkcs11Context *context, SdesBytes payload,
                                       SdesWriter *out, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_gcm_unwrap(const SdesPkcs11Context *context, SdesReader *in,
                                         SdesSecret *payload, SdesHsmFault *fault);

/* pkcs11_value.c */
extern SdesStatus sdes_pkcs11_value_seal(SdesHsmSession *session, const SdesHsmWrap *under,
                                         SdesBytes plaintext, uint8_t *out,
                                         SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_value_open(SdesHsmSession *session, const SdesHsmWrap *under,
                                         SdesBytes sealed, uint8_t *out,
                                         SdesHsmFault *fault);

/* pkcs11_keywrap.c: AES key wrap, with and without padding. */
extern SdesStatus sdes_pkcs11_kw_wrap(const SdesPkcs11Context *context, SdesBytes payload,
                                      SdesWriter *out, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_kw_unwrap(const SdesPkcs11Context *context, SdesReader *in,
                                        SdesSecret *payload, SdesHsmFault *fault);

/* pkcs11_cbc.c */
extern SdesStatus sdes_pkcs11_cbc_wrap(const SdesPkcs11Context *context, SdesBytes payload,
                                       SdesWriter *out, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_cbc_unwrap(const SdesPkcs11Context *context, SdesReader *in,
                                         SdesSecret *payload, SdesHsmFault *fault);

/* pkcs11_rsa.c */
extern SdesStatus sdes_pkcs11_oaep_wrap(const SdesPkcs11Context *context, SdesBytes payload,
                                        SdesWriter *out, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_oaep_unwrap(const SdesPkcs11Context *context, SdesReader *in,
                                          SdesSecret *payload, SdesHsmFault *fault);
/*
 * RSAES-OAEP of RFC 8017, section 7.1, with an empty label. The message is the
 * first *size bytes of message, which holds SDES_PKCS11_RSA_SIZE.
 */
extern SdesStatus sdes_pkcs11_oaep_encrypt(const SdesPkcs11Context *context,
                                           SdesBytes message,
                                           uint8_t ciphertext[SDES_PKCS11_RSA_SIZE],
                                           SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_oaep_decrypt(const SdesPkcs11Context *context,
                                           SdesBytes ciphertext, SdesSecret *message,
                                           size_t *size, SdesHsmFault *fault);

/* pkcs11_libp11.c */
/* Sets key->private_key where it is NULL. */
extern SdesStatus sdes_pkcs11_rsa_open_key(SdesHsm *hsm, SdesPkcs11Key *key,
                                           SdesHsmFault *fault);
/* What libp11 or OpenSSL said last, as a fault of the named call; empties their queue. */
extern SdesStatus sdes_pkcs11_openssl_failed(SdesHsmFault *fault, const char *call);
/* Frees what libp11 made of a key; NULL is fine. */
extern void sdes_pkcs11_rsa_free_key(struct evp_pkey_st *key);
/* Has libp11 look up the token, before the login; what fails is tried again later. */
extern void sdes_pkcs11_rsa_prepare(SdesHsm *hsm);
/* Ends libp11's part; all sessions of the slot are closed then. */
extern void sdes_pkcs11_rsa_close(SdesHsm *hsm);

#endif
