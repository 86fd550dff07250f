/*
 * wrap_tests.c
 *		Each mechanism that wraps a DEK, made to be used by hiding the others;
 *		keys that are not what they must be.
 */
#include "crypto/kdf.h"
#include "tests.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A KEK, a DEK, and the blob. */
typedef struct Wrapped
{
	SdesHsmWrap under;
	uint8_t aad[SDES_DEK_BINDING_SIZE];
	uint8_t dek[SDES_HSM_DEK_SIZE];
	SdesHsmBlob blob;
} Wrapped;

static SdesStatus
create(Token *t, SdesHsmKekKind kind, bool seals, Wrapped *w, const char **name)
{
	SdesHsmNewKek spec = {"wraps", kind, seals};

	*name = "";
	return t->provider->kek_create(t->session, &spec, w->under.kek_id, name, &t->fault);
}

static bool
make(Token *t, SdesHsmKekKind kind, const char *mechanism, Wrapped *w)
{
	const char *name;

	memset(w, 0, sizeof(*w));
	sdes_random(w->dek, sizeof(w->dek));
	memset(w->aad, 0x5a, sizeof(w->aad));
	w->under.aad = SDES_BYTES_OF(w->aad);
	if (!check_status(create(t, kind, false, w, &name), SDES_OK, mechanism) ||
	    !check(strcmp(name, mechanism) == 0, "it is called so"))
	{
		printf("# %s, %s\n", name, t->fault.detail);
		return false;
	}
	return check_status(t->provider->dek_wrap(t->session, &w->under, SDES_BYTES_OF(w->dek),
	                                          &w->blob, &t->fault),
	                    SDES_OK, "a DEK is wrapped");
}

/* In a new session if it failed, as the agent does. */
static SdesStatus
unwrap(Token *t, const Wrapped *w, bool *same)
{
	SdesSecret dek;
	SdesStatus status = t->provider->dek_unwrap(
	    t->session, &w->under, sdes_bytes(w->blob.data, w->blob.size), &dek, &t->fault);

	*same = status == SDES_OK && memcmp(dek.data, w->dek, sizeof(w->dek)) == 0;
	if (status != SDES_OK && dek.data != NULL)
		*same = true; /* a secret that nobody was to get: no test wants that */
	sdes_secret_free(&dek);
	if (status != SDES_OK)
		token_renew(t);
	return status;
}

/* Each byte, or one in so many, with one bit flipped. */
static void
tamper(Token *t, Wrapped *w, size_t step)
{
	int opened = 0, odd = 0;
	bool same;

	for (size_t i = 0; i < w->blob.size; i += i < 2 ? 1 : step)
	{
		SdesStatus status;

		w->blob.data[i] ^= (uint8_t) (1 << i % 8);
		status = unwrap(t, w, &same);
		opened += status == SDES_OK || same;
		odd += status != SDES_ERR_TAG && !(i < 2 && status == SDES_ERR_SUITE);
		if (status != SDES_ERR_TAG && i >= 2)
			printf("# byte %zu: %s, %s\n", i, sdes_status_name(status), t->fault.detail);
		w->blob.data[i] ^= (uint8_t) (1 << i % 8);
	}
	check(opened == 0 && odd == 0, "bytes of the blob flipped: refused");
	for (size_t i = 0; i < sizeof(w->aad); i += step)
	{
		SdesStatus status;

		w->aad[i] ^= 1;
		status = unwrap(t, w, &same);
		opened += status == SDES_OK || same;
		odd += status != SDES_ERR_TAG;
		w->aad[i] ^= 1;
	}
	check(opened == 0 && odd == 0, "bytes of the aad flipped: refused");
}

static void
lengths(Token *t, const Wrapped *w)
{
	int opened = 0, odd = 0;
	bool same;

	for (size_t size = 0; size <= SDES_HSM_BLOB_MAX; size += size < 4 ? 1 : 37)
	{
		Wrapped bad = *w;
		SdesStatus status;

		if (size == w->blob.size)
			continue;
		bad.blob.size = size;
		status = unwrap(t, &bad, &same);
		opened += status == SDES_OK || same;
		odd += status != SDES_ERR_TAG && status != SDES_ERR_FORMAT;
		if (status != SDES_ERR_TAG && status != SDES_ERR_FORMAT)
			printf("# %zu: %s, %s\n", size, sdes_status_name(status), t->fault.detail);
	}
	check(opened == 0 && odd == 0, "a blob of another length: refused");
}

static void
test_mechanism(SdesHsmKekKind kind, const char *mechanism, uint8_t number, size_t size)
{
	Token *t = token_new();
	Wrapped w, other;
	const char *name;
	bool same;

	check(token_only(t, mechanism), "the token offers %s", mechanism);
	if (make(t, kind, mechanism, &w))
	{
		check(w.blob.size == size && w.blob.data[0] == 1 && w.blob.data[1] == number,
		      "format 1, mechanism %d, %zu bytes", number, size);
		check_status(unwrap(t, &w, &same), SDES_OK, "it is unwrapped");
		check(same, "it is the same DEK");
		check_status(t->provider->kek_check(t->session, w.under.kek_id, &name, &t->fault),
		             SDES_OK, "the KEK passes a check");
		check(strcmp(name, mechanism) == 0, "which names %s", mechanism);
		tamper(t, &w, kind == SDES_HSM_AES_256 ? 1 : 97);
		lengths(t, &w);
		if (kind == SDES_HSM_AES_256 && make(t, kind, mechanism, &other))
		{
			other.blob = w.blob;
			check_status(unwrap(t, &other, &same), SDES_ERR_TAG, "another KEK: refused");
		}
		token_only(t, NULL);
		check_status(t->provider->kek_check(t->session, w.under.kek_id, &name, &t->fault),
		             SDES_OK, "a check when the token offers all");
		check_status(unwrap(t, &w, &same), SDES_OK, "the key still unwraps it");
		check_status(t->provider->kek_destroy(t->session, w.under.kek_id, &t->fault),
		             SDES_OK, "the KEK is destroyed");
		check(token_count(t, w.under.kek_id) == 0, "nothing of it is left");
		check_status(unwrap(t, &w, &same), SDES_ERR_HSM_KEY_MISSING,
		             "its blob: the key is missing");
	}
	token_free(t);
}

/* A bad padding must look like a wrong tag: the same status, code and words. */
static void
test_cbc_uniform(void)
{
	Token *t = token_new();
	SdesHsmFault wrong_tag, bad_padding;
	Wrapped w;
	bool same;

	token_only(t, "AES-CBC-PAD");
	if (make(t, SDES_HSM_AES_256, "AES-CBC-PAD", &w))
	{
		w.blob.data[2] ^= 1; /* the IV's first byte: the payload's first */
		check_status(unwrap(t, &w, &same), SDES_ERR_TAG, "CBC: a wrong tag");
		wrong_tag = t->fault;
		w.blob.data[2] ^= 1;
		w.blob.data[w.blob.size - 17] ^= 0x55; /* the last byte of the padding */
		check_status(unwrap(t, &w, &same), SDES_ERR_TAG, "CBC: a bad padding");
		bad_padding = t->fault;
		check(wrong_tag.code == bad_padding.code && wrong_tag.lost == bad_padding.lost &&
		          strcmp(wrong_tag.detail, bad_padding.detail) == 0,
		      "nobody can tell them apart");
	}
	token_free(t);
}

/* What KEKs for values ask for. */
static void
test_seals(void)
{
	Token *t = token_new();
	const char *name;
	Wrapped w;

	check_status(create(t, SDES_HSM_AES_256, true, &w, &name), SDES_OK, "a KEK for values");
	check(strcmp(name, "AES-GCM") == 0, "does AES-GCM");
	check_status(create(t, SDES_HSM_RSA_4096, true, &w, &name), SDES_ERR_HSM_MECHANISM,
	             "an RSA KEK for values: refused");
	token_only(t, "AES-CBC-PAD");
	check(create(t, SDES_HSM_AES_256, true, &w, &name) == SDES_ERR_HSM_MECHANISM &&
	          strstr(t->fault.detail, "the token has no AES-GCM") != NULL,
	      "a KEK for values on a token without AES-GCM: refused, in words");
	check(token_count(t, w.under.kek_id) == 0, "and none is left behind");
	token_only(t, "RSA-OAEP-SHA256");
	check(create(t, SDES_HSM_AES_256, false, &w, &name) == SDES_ERR_HSM_MECHANISM &&
	          strstr(t->fault.detail, "none of: AES-GCM AES-KEY-WRAP-KWP AES-KEY-WRAP "
	                                  "AES-CBC-PAD") != NULL,
	      "a token that offers nothing for AES: all names");
	token_free(t);
}

/* A key with a known value under the id that a row names. */
static void
refuse_planted(Token *t, const uint8_t id[SDES_KEK_ID_SIZE], const char *what)
{
	Wrapped w = {.under = {.aad = {NULL, 0}}};
	uint8_t out[64];
	const char *name;
	bool same;

	memcpy(w.under.kek_id, id, SDES_KEK_ID_SIZE);
	check_status(t->provider->kek_check(t->session, id, &name, &t->fault),
	             SDES_ERR_HSM_KEY_UNSAFE, what);
	token_renew(t);
	check_status(t->provider->dek_wrap(t->session, &w.under, SDES_BYTES_OF(w.dek), &w.blob,
	                                   &t->fault),
	             SDES_ERR_HSM_KEY_UNSAFE, "it gets no DEK to wrap");
	token_renew(t);
	check_status(
	    t->provider->seal(t->session, &w.under, SDES_BYTES_OF(w.dek), out, &t->fault),
	    SDES_ERR_HSM_KEY_UNSAFE, "and no value to seal");
	token_renew(t);
	check_status(unwrap(t, &w, &same), SDES_ERR_HSM_KEY_UNSAFE, "and unwraps nothing");
}

static void
test_planted(void)
{
	static const uint8_t value[32] = {1, 2, 3};
	static const uint8_t id[SDES_KEK_ID_SIZE] = {7};
	Token *t = token_new();
	CK_OBJECT_HANDLE key;

	check(token_import_aes(t, id, SDES_BYTES_OF(value), CKF_ENCRYPT | CKF_DECRYPT, true,
	                       &key),
	      "a key with a known value is imported");
	refuse_planted(t, id, "an imported key is no KEK");
	check_status(t->provider->kek_destroy(t->session, id, &t->fault), SDES_OK,
	             "it can be destroyed");
	token_free(t);
}

/* A key that wraps and decrypts could bring another key into the open. */
static void
test_usages(void)
{
	static const CK_FLAGS crypts = CKF_ENCRYPT | CKF_DECRYPT, wraps = CKF_WRAP | CKF_UNWRAP;
	const struct
	{
		CK_FLAGS usage;
		const char *name;
	} usages[] = {
	    {crypts | wraps, "CKA_WRAP"},
	    {0, "CKA_WRAP"},
	    {wraps | CKF_DECRYPT, "CKA_DECRYPT"},
	    {crypts | CKF_UNWRAP, "CKA_UNWRAP"},
	};
	Token *t = token_new();
	const char *name;

	for (size_t i = 0; i < sizeof(usages) / sizeof(usages[0]); i++)
	{
		uint8_t id[SDES_KEK_ID_SIZE] = {9, (uint8_t) i};

		check(token_generate_aes(t, id, usages[i].usage) &&
		          t->provider->kek_check(t->session, id, &name, &t->fault) ==
		              SDES_ERR_HSM_KEY_UNSAFE &&
		          strstr(t->fault.detail, usages[i].name) != NULL,
		      "usages 0x%lx: no KEK, for its %s", usages[i].usage, usages[i].name);
	}
	token_free(t);
}

/* NSS writes the second over the first. */
static void
test_softhsm_twice(void)
{
	static const uint8_t value[32] = {1, 2, 3}, twice[SDES_KEK_ID_SIZE] = {8};
	Token *t = token_new();
	CK_OBJECT_HANDLE key;
	const char *name;

	token_import_aes(t, twice, SDES_BYTES_OF(value), CKF_ENCRYPT | CKF_DECRYPT, true, &key);
	token_import_aes(t, twice, SDES_BYTES_OF(value), CKF_ENCRYPT | CKF_DECRYPT, true, &key);
	check_status(t->provider->kek_check(t->session, twice, &name, &t->fault),
	             SDES_ERR_HSM_KEY_AMBIGUOUS, "two keys with one id");
	check_status(t->provider->kek_destroy(t->session, twice, &t->fault),
	             SDES_ERR_HSM_KEY_AMBIGUOUS, "of which none is destroyed");
	check(token_count(t, twice) == 2, "both are there");
	token_free(t);
}

/* Somebody else's public key under the id of a pair: nothing is wrapped under it. */
static void
test_planted_public(void)
{
	Token *t = token_new();
	uint8_t modulus[SDES_PKCS11_RSA_SIZE], none[SDES_KEK_ID_SIZE] = {0};
	uint8_t ids[4][SDES_KEK_ID_SIZE];
	SdesHsmKekList list = {0, 4, ids};
	SdesSecret dek;
	Wrapped w;
	bool same;

	if (make(t, SDES_HSM_RSA_4096, "RSA-OAEP-SHA256", &w))
	{
		memset(modulus, 0xc5, sizeof(modulus));
		check(token_plant_public(t, w.under.kek_id, SDES_BYTES_OF(modulus)),
		      "another public key under the id of an RSA KEK");
		token_renew(t);
		check_status(t->provider->dek_wrap(t->session, &w.under, SDES_BYTES_OF(w.dek),
		                                   &w.blob, &t->fault),
		             SDES_OK, "a DEK is wrapped");
		check_status(unwrap(t, &w, &same), SDES_OK, "under the public key of the pair");
		check_status(t->provider->kek_list(t->session, "wraps", none, &list, &t->fault),
		             SDES_OK, "kek_list");
		check(list.count == 1 && memcmp(ids[0], w.under.kek_id, sizeof(none)) == 0,
		      "lists RSA keys");
		/* A ciphertext that is no number below the modulus. */
		memset(w.blob.data + 2, 0xff, w.blob.size - 2);
		check_status(t->provider->dek_unwrap(t->session, &w.under,
		                                     sdes_bytes(w.blob.data, w.blob.size), &dek,
		                                     &t->fault),
		             SDES_ERR_TAG, "a number above the modulus: refused");
		check_status(t->provider->kek_destroy(t->session, w.under.kek_id, &t->fault),
		             SDES_OK, "the KEK is destroyed");
		check(token_count(t, w.under.kek_id) == 0, "with all public keys of that id");
	}
	token_free(t);
}

/* libp11 0.4.12 sees no key then. NSS makes none. */
static void
test_softhsm_foreign_key(void)
{
	static CK_BYTE edwards25519[] = {0x13, 12,  'e', 'd', 'w', 'a', 'r',
	                                 'd',  's', '2', '5', '5', '1', '9'};
	Token *t = token_new();
	CK_BBOOL yes = CK_TRUE;
	CK_MECHANISM generation = {0x1055, NULL, 0}; /* PKCS#11 v3.0: EdDSA keys */
	CK_ATTRIBUTE public[] = {SDES_PKCS11_ATTRIBUTE(CKA_EC_PARAMS, edwards25519)};
	CK_ATTRIBUTE private[] = {SDES_PKCS11_ATTRIBUTE(CKA_TOKEN, yes),
	                          SDES_PKCS11_ATTRIBUTE(CKA_PRIVATE, yes)};
	CK_SESSION_HANDLE handle;
	CK_OBJECT_HANDLE keys[2];
	Wrapped w;
	bool same;

	if (make(t, SDES_HSM_RSA_4096, "RSA-OAEP-SHA256", &w))
	{
		sdes_pkcs11_session(t->hsm, true, &handle, &t->fault);
		check(t->hsm->p11->C_GenerateKeyPair(handle, &generation, public, 1, private, 2,
		                                     &keys[0], &keys[1]) == CKR_OK,
		      "somebody's Ed25519 key is in the token, too");
		token_renew(t);
		check_status(unwrap(t, &w, &same), SDES_OK, "the RSA KEK works beside it");
		w.blob.data[100] ^= 1;
		check_status(unwrap(t, &w, &same), SDES_ERR_TAG, "and refuses what it must");
		t->hsm->p11->C_CloseSession(handle);
	}
	token_free(t);
}

static CK_FUNCTION_LIST_PTR module;
static bool lies; /* of the length of what it wrote */

static CK_RV
lying_C_Encrypt(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG size, CK_BYTE *out,
                CK_ULONG *used)
{
	CK_RV rv = module->C_Encrypt(session, in, size, out, used);

	*used += lies ? 400 : 0;
	return rv;
}

static CK_RV
lying_C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
                CK_OBJECT_HANDLE wrapped, CK_BYTE *out, CK_ULONG *used)
{
	CK_RV rv = module->C_WrapKey(session, mechanism, key, wrapped, out, used);

	*used += lies ? 400 : 0;
	return rv;
}

/* More than there is: our memory would be in the blob, and the DEK lost. */
static void
test_lengths_made_up(const char *mechanism)
{
	Token *t = token_new();
	CK_FUNCTION_LIST list = *t->hsm->p11;
	Wrapped w;

	module = t->hsm->p11;
	list.C_Encrypt = lying_C_Encrypt;
	list.C_WrapKey = lying_C_WrapKey;
	t->hsm->p11 = &list;
	token_only(t, mechanism);
	if (make(t, SDES_HSM_AES_256, mechanism, &w))
	{
		lies = true;
		check_status(t->provider->dek_wrap(t->session, &w.under, SDES_BYTES_OF(w.dek),
		                                   &w.blob, &t->fault),
		             SDES_ERR_HSM, "wrapped to a length that cannot be: refused");
		lies = false;
	}
	t->hsm->p11 = module;
	token_free(t);
}

void
wrap_tests(void)
{
	test_mechanism(SDES_HSM_AES_256, "AES-GCM", 1, 2 + 12 + 32 + 16);
	if (fixture_is_nss()) /* SoftHSM2 has none */
		test_mechanism(SDES_HSM_AES_256, "AES-KEY-WRAP-KWP", 2, 2 + 8 + 64);
	test_mechanism(SDES_HSM_AES_256, "AES-KEY-WRAP", 3, 2 + 8 + 64);
	test_mechanism(SDES_HSM_AES_256, "AES-CBC-PAD", 4, 2 + 16 + 64 + 16);
	test_mechanism(SDES_HSM_RSA_4096, "RSA-OAEP-SHA256", 5, 2 + 512);
	test_cbc_uniform();
	test_seals();
	test_planted();
	test_usages();
	if (!fixture_is_nss())
	{
		test_softhsm_twice();
		test_softhsm_foreign_key();
	}
	test_planted_public();
	test_lengths_made_up("AES-CBC-PAD");
	test_lengths_made_up("AES-KEY-WRAP");
}
