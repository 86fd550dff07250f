/*
 * pkcs11_key.c
 *		Finding a KEK by its id, and remembering it.
 *
 * Invariant: keys are found by their random id alone, and two with one id are
 * an error. No key is used before its attributes were found to be what they
 * must be, so that one planted under a known id gets nothing to wrap. Tokens
 * search in linear time (6 ms among 500 objects), so a session keeps handles.
 */
#include "hsm/pkcs11.h"

#include <string.h>
#include <time.h>

/* Pauses before a key is looked for again: 20, 40 and 80 ms. */
#define FIRST_PAUSE_MS 20
#define LAST_PAUSE_MS  80

static CK_OBJECT_CLASS class_secret = CKO_SECRET_KEY;
static CK_OBJECT_CLASS class_private = CKO_PRIVATE_KEY;
static CK_OBJECT_CLASS class_public = CKO_PUBLIC_KEY;
static CK_KEY_TYPE type_aes = CKK_AES;
static CK_KEY_TYPE type_rsa = CKK_RSA;
static CK_KEY_TYPE type_ec = CKK_EC;

/* What to look for. */
typedef struct Search
{
	CK_OBJECT_CLASS *class;
	const uint8_t *id;
	CK_KEY_TYPE *type; /* NULL: any */
} Search;

/* At most two: more would not be told apart. */
static SdesStatus
find_objects(SdesHsm *hsm, CK_SESSION_HANDLE handle, const Search *search,
             CK_OBJECT_HANDLE found[2], CK_ULONG *count, SdesHsmFault *fault)
{
	CK_ATTRIBUTE template[] = {
	    {CKA_CLASS, search->class, sizeof(*search->class)},
	    {CKA_ID, (void *) (uintptr_t) search->id, SDES_HSM_KEY_ID_SIZE},
	    {CKA_KEY_TYPE, search->type, sizeof(*search->type)},
	};
	CK_RV rv = hsm->p11->C_FindObjectsInit(handle, template, search->type ? 3 : 2);

	*count = 0;
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_FindObjectsInit", rv);
	rv = hsm->p11->C_FindObjects(handle, found, 2, count);
	hsm->p11->C_FindObjectsFinal(handle);
	return rv == CKR_OK ? SDES_OK : sdes_pkcs11_failed(fault, "C_FindObjects", rv);
}

static SdesStatus
missing(SdesHsmFault *fault)
{
	return sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_MISSING,
	                      "no AES, RSA or EC key with this id is in the token");
}

/* What kind a private key is by its type. */
static SdesStatus
private_kind(SdesHsm *hsm, CK_SESSION_HANDLE handle, SdesPkcs11Key *key,
             SdesHsmFault *fault)
{
	CK_KEY_TYPE type = 0;
	SdesStatus status = sdes_pkcs11_read_type(hsm, handle, key->handle, &type, fault);

	if (status != SDES_OK)
		return status;
	if (type != CKK_RSA && type != CKK_EC)
		return missing(fault);
	key->kind = type == CKK_RSA ? SDES_HSM_RSA_4096 : SDES_HSM_P256_SIGN;
	return SDES_OK;
}

/* One look; SDES_ERR_HSM_KEY_MISSING if there is none. */
static SdesStatus
look_for(SdesHsm *hsm, CK_SESSION_HANDLE handle, SdesPkcs11Key *key, SdesHsmFault *fault)
{
	Search secret = {&class_secret, key->id, &type_aes};
	Search private = {&class_private, key->id, NULL};
	CK_OBJECT_HANDLE aes[2], pair[2];
	CK_ULONG naes, npair;
	SdesStatus status = find_objects(hsm, handle, &secret, aes, &naes, fault);

	if (status == SDES_OK)
		status = find_objects(hsm, handle, &private, pair, &npair, fault);
	if (status != SDES_OK)
		return status;
	if (naes + npair == 0)
		return missing(fault);
	if (naes + npair > 1)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_AMBIGUOUS,
		                      "two keys with this id are in the token");
	key->handle = naes == 1 ? aes[0] : pair[0];
	key->kind = SDES_HSM_AES_256;
	return naes == 1 ? SDES_OK : private_kind(hsm, handle, key, fault);
}

/*
 * A key is missing after some looks. SoftHSM2 overlooks an object that another thread or
 * process is reading or writing, as happens when one makes a key.
 */
SdesStatus
sdes_pkcs11_key_find(SdesHsm *hsm, CK_SESSION_HANDLE handle, SdesPkcs11Key *key,
                     SdesHsmFault *fault)
{
	SdesStatus status = look_for(hsm, handle, key, fault);

	for (long ms = FIRST_PAUSE_MS;
	     status == SDES_ERR_HSM_KEY_MISSING && ms <= LAST_PAUSE_MS; ms *= 2)
	{
		struct timespec pause = {0, ms * 1000000L};

		nanosleep(&pause, NULL);
		status = look_for(hsm, handle, key, fault);
	}
	return status;
}

SdesStatus
sdes_pkcs11_find_point(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                       const uint8_t id[SDES_HSM_KEY_ID_SIZE], CK_OBJECT_HANDLE *out,
                       SdesHsmFault *fault)
{
	Search search = {&class_public, id, &type_ec};
	CK_OBJECT_HANDLE found[2];
	CK_ULONG count;
	SdesStatus status = find_objects(hsm, handle, &search, found, &count, fault);

	if (status != SDES_OK)
		return status;
	if (count != 1)
		return sdes_hsm_fault(
		    fault, count == 0 ? SDES_ERR_HSM_KEY_MISSING : SDES_ERR_HSM_KEY_AMBIGUOUS,
		    count == 0 ? "the key's public half is not in the token"
		               : "two public keys with this id are in the token");
	*out = found[0];
	return SDES_OK;
}

void
sdes_pkcs11_key_close(SdesPkcs11Key *key)
{
	sdes_pkcs11_rsa_free_key(key->private_key);
	key->private_key = NULL;
	key->proven = NULL;
	key->handle = CK_INVALID_HANDLE;
}

SdesStatus
sdes_pkcs11_key_open(SdesHsm *hsm, CK_SESSION_HANDLE handle, SdesPkcs11Key *key,
                     SdesHsmFault *fault)
{
	SdesStatus status;

	sdes_pkcs11_key_close(key);
	status = sdes_pkcs11_key_find(hsm, handle, key, fault);
	if (status == SDES_OK)
		status = sdes_pkcs11_check_attributes(hsm, handle, key, fault);
	if (status != SDES_OK)
		key->handle = CK_INVALID_HANDLE;
	return status;
}

SdesStatus
sdes_pkcs11_session_key(SdesHsmSession *session, const SdesHsmWrap *wrap,
                        SdesPkcs11Context *context, SdesHsmFault *fault)
{
	SdesPkcs11Key *key;

	*context = (SdesPkcs11Context){session->hsm, session->handle, NULL, wrap->aad, NULL};
	for (size_t i = 0; i < SDES_PKCS11_KEYS; i++)
	{
		key = &session->keys[i];
		if (key->handle != CK_INVALID_HANDLE &&
		    memcmp(key->id, wrap->kek_id, sizeof(key->id)) == 0)
		{
			context->key = key;
			return SDES_OK;
		}
	}
	key = &session->keys[session->next_key++ % SDES_PKCS11_KEYS];
	sdes_pkcs11_key_close(key);
	memcpy(key->id, wrap->kek_id, sizeof(key->id));
	context->key = key;
	return sdes_pkcs11_key_open(session->hsm, session->handle, key, fault);
}

bool
sdes_pkcs11_key_stale(SdesPkcs11Key *key, const SdesHsmFault *fault)
{
	sdes_pkcs11_key_close(key);
	return fault->code == CKR_KEY_HANDLE_INVALID ||
	       fault->code == CKR_OBJECT_HANDLE_INVALID ||
	       fault->code == CKR_WRAPPING_KEY_HANDLE_INVALID ||
	       fault->code == CKR_UNWRAPPING_KEY_HANDLE_INVALID;
}

static SdesStatus
destroy_found(SdesHsm *hsm, CK_SESSION_HANDLE handle, const Search *search,
              SdesHsmFault *fault)
{
	CK_OBJECT_HANDLE found[2];
	CK_ULONG count;
	SdesStatus status;

	do
	{
		status = find_objects(hsm, handle, search, found, &count, fault);
		for (CK_ULONG i = 0; status == SDES_OK && i < count; i++)
		{
			CK_RV rv = hsm->p11->C_DestroyObject(handle, found[i]);

			if (rv != CKR_OK)
				status = sdes_pkcs11_failed(fault, "C_DestroyObject", rv);
		}
	} while (status == SDES_OK && count == 2);
	return status;
}

/* The public half first: while the private one is there, all can be tried again. */
SdesStatus
sdes_pkcs11_key_destroy(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                        const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault)
{
	Search searches[] = {
	    {&class_public, id, &type_rsa},  {&class_public, id, &type_ec},
	    {&class_private, id, &type_rsa}, {&class_private, id, &type_ec},
	    {&class_secret, id, &type_aes},
	};
	size_t n = sizeof(searches) / sizeof(searches[0]);
	SdesStatus status = SDES_OK;

	for (size_t i = 0; status == SDES_OK && i < n; i++)
		status = destroy_found(hsm, handle, &searches[i], fault);
	return status;
}
