/*
 * pkcs11_wrap.c
 *		Wrapping a DEK under a KEK that never leaves the token.
 *
 *		blob:	1	format, SDES_BLOB_FORMAT
 *				1	mechanism, a number from the table below
 *				...	what that mechanism writes
 *		AES-GCM:	12	IV, then the ciphertext with its 16-byte tag
 *
 * Mechanisms are rows of a table, tried in order, and proved by a round trip
 * when a KEK is made. Numbers in a blob are never used for anything else.
 */
#include "hsm/pkcs11.h"

#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/mac.h"

#include <string.h>

#define SDES_BLOB_FORMAT 1
#define BLOB_HEADER_SIZE 2
#define GCM_TAG_BITS     (8 * SDES_AEAD_TAG_SIZE)
#define GCM_SEALED_SIZE  (SDES_HSM_DEK_SIZE + SDES_AEAD_TAG_SIZE)

/* PKCS#11 v3.0, section 3.3 "Return values"; p11-kit 0.24 has it not. */
#ifndef CKR_AEAD_DECRYPT_FAILED
#define CKR_AEAD_DECRYPT_FAILED (0x42UL)
#endif

/* A key in an open session, and what the wrapping is bound to. */
typedef struct WrapContext
{
	CK_FUNCTION_LIST_PTR p11;
	CK_SESSION_HANDLE handle;
	CK_OBJECT_HANDLE key;
	SdesBytes aad;
} WrapContext;

typedef struct WrapMechanism
{
	uint8_t number; /* in the blob */
	const char *name;
	CK_MECHANISM_TYPE type;
	CK_FLAGS flags; /* the token must offer */
	SdesStatus (*wrap)(const WrapContext *context, SdesBytes dek, SdesWriter *out,
	                   SdesHsmFault *fault);
	SdesStatus (*unwrap)(const WrapContext *context, SdesReader *in, SdesSecret *dek,
	                     SdesHsmFault *fault);
} WrapMechanism;

/* The parameters of AES-GCM, PKCS#11 v2.40 errata 01, section 2.12.4. */
static CK_GCM_PARAMS
gcm_params(uint8_t iv[SDES_NONCE_SIZE], SdesBytes aad)
{
	CK_GCM_PARAMS params;

	memset(&params, 0, sizeof(params));
	params.pIv = iv;
	params.ulIvLen = SDES_NONCE_SIZE;
	params.ulIvBits = 8 * SDES_NONCE_SIZE;
	params.pAAD = (CK_BYTE_PTR) (uintptr_t) aad.data;
	params.ulAADLen = aad.size;
	params.ulTagBits = GCM_TAG_BITS;
	return params;
}

static SdesStatus
gcm_wrap(const WrapContext *context, SdesBytes dek, SdesWriter *out, SdesHsmFault *fault)
{
	uint8_t iv[SDES_NONCE_SIZE];
	uint8_t sealed[GCM_SEALED_SIZE];
	CK_ULONG size = sizeof(sealed);
	CK_GCM_PARAMS params = gcm_params(iv, context->aad);
	CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof(params)};
	SdesStatus status = sdes_random(iv, sizeof(iv));
	CK_RV rv;

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no random bytes");
	rv = context->p11->C_EncryptInit(context->handle, &mechanism, context->key);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_EncryptInit", rv);
	rv = context->p11->C_Encrypt(context->handle, (CK_BYTE_PTR) (uintptr_t) dek.data,
	                             dek.size, sealed, &size);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_Encrypt", rv);
	if (size != sizeof(sealed))
		return sdes_hsm_fault(fault, SDES_ERR_HSM,
		                      "C_Encrypt wrote %lu bytes where %zu were due", size,
		                      sizeof(sealed));
	/* Taken after the call: some tokens put an IV of their own there. */
	sdes_write_bytes(out, SDES_BYTES_OF(iv));
	sdes_write_bytes(out, SDES_BYTES_OF(sealed));
	return SDES_OK;
}

/* Codes that say the ciphertext is bad, and nothing else. */
static bool
says_tampered(CK_RV rv)
{
	return rv == CKR_ENCRYPTED_DATA_INVALID || rv == CKR_ENCRYPTED_DATA_LEN_RANGE ||
	       rv == CKR_AEAD_DECRYPT_FAILED;
}

/* Codes that tokens give for a bad tag (SoftHSM2: 0x05) and for other trouble. */
static bool
may_say_tampered(CK_RV rv)
{
	return rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED || rv == CKR_DATA_INVALID ||
	       rv == CKR_DATA_LEN_RANGE || rv == CKR_SIGNATURE_INVALID;
}

static SdesStatus
gcm_unwrap_into(const WrapContext *context, CK_MECHANISM *mechanism, SdesBytes sealed,
                SdesSecret *plain, SdesHsmFault *fault)
{
	CK_ULONG size = plain->size;
	CK_RV rv = context->p11->C_DecryptInit(context->handle, mechanism, context->key);

	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_DecryptInit", rv);
	rv = context->p11->C_Decrypt(context->handle, (CK_BYTE_PTR) (uintptr_t) sealed.data,
	                             sealed.size, plain->data, &size);
	if (says_tampered(rv))
		return sdes_pkcs11_failed_as(fault, SDES_ERR_TAG, "C_Decrypt", rv);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_Decrypt", rv);
	if (size != SDES_HSM_DEK_SIZE)
		return sdes_hsm_fault(fault, SDES_ERR_HSM,
		                      "C_Decrypt wrote %lu bytes where %d were due", size,
		                      SDES_HSM_DEK_SIZE);
	return SDES_OK;
}

static SdesStatus
gcm_unwrap(const WrapContext *context, SdesReader *in, SdesSecret *dek, SdesHsmFault *fault)
{
	uint8_t iv[SDES_NONCE_SIZE];
	CK_GCM_PARAMS params = gcm_params(iv, context->aad);
	CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof(params)};
	SdesSecret plain;
	SdesBytes sealed;
	SdesStatus status;

	sdes_read_into(in, iv, sizeof(iv));
	sealed = sdes_read_bytes(in, GCM_SEALED_SIZE);
	if (!sdes_read_complete(in))
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "the wrapped key's length is wrong");

	/* As long as the ciphertext: SoftHSM2 asks for that, though less is written. */
	status = sdes_secret_new(&plain, GCM_SEALED_SIZE);
	if (status == SDES_OK)
		status = sdes_secret_new(dek, SDES_HSM_DEK_SIZE);
	if (status != SDES_OK)
		sdes_hsm_fault(fault, status, "no locked memory");
	else
		status = gcm_unwrap_into(context, &mechanism, sealed, &plain, fault);
	if (status == SDES_OK)
		memcpy(dek->data, plain.data, SDES_HSM_DEK_SIZE);
	else
		sdes_secret_free(dek);
	sdes_secret_free(&plain);
	return status;
}

static const WrapMechanism mechanisms[] = {
    {1, "AES-GCM", CKM_AES_GCM, CKF_ENCRYPT | CKF_DECRYPT, gcm_wrap, gcm_unwrap},
};
#define MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

_Static_assert(MECHANISMS <= SDES_PKCS11_MECHANISMS_MAX, "SdesHsm.offered is too small");

void
sdes_pkcs11_probe_mechanisms(SdesHsm *hsm)
{
	for (size_t i = 0; i < MECHANISMS; i++)
	{
		CK_MECHANISM_INFO info;

		hsm->offered[i] =
		    hsm->p11->C_GetMechanismInfo(hsm->slot, mechanisms[i].type, &info) == CKR_OK &&
		    (info.flags & mechanisms[i].flags) == mechanisms[i].flags;
	}
}

/* Says which mechanisms would have done. */
static SdesStatus
none_offered(SdesHsmFault *fault)
{
	size_t used;

	sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM, "the token offers none of:");
	used = strlen(fault->detail);
	for (size_t i = 0; i < MECHANISMS; i++)
	{
		if (used + strlen(mechanisms[i].name) + 1 >= sizeof(fault->detail))
			break;
		fault->detail[used++] = ' ';
		strcpy(fault->detail + used, mechanisms[i].name);
		used += strlen(mechanisms[i].name);
	}
	return SDES_ERR_HSM_MECHANISM;
}

static SdesStatus
wrap_by(const WrapMechanism *mechanism, const WrapContext *context, SdesBytes dek,
        SdesHsmBlob *out, SdesHsmFault *fault)
{
	SdesWriter w = sdes_writer(out->data, sizeof(out->data));
	SdesStatus status;

	out->size = 0;
	sdes_write_u8(&w, SDES_BLOB_FORMAT);
	sdes_write_u8(&w, mechanism->number);
	status = mechanism->wrap(context, dek, &w, fault);
	if (status != SDES_OK)
		return status;
	if (w.failed)
		return sdes_hsm_fault(fault, SDES_ERR_TOO_LONG, "the wrapped key is too long");
	out->size = sizeof(out->data) - w.left;
	return SDES_OK;
}

static SdesStatus
unwrap_any(const WrapContext *context, SdesBytes blob, SdesSecret *out, SdesHsmFault *fault)
{
	SdesReader r = sdes_reader(blob);
	uint8_t format = sdes_read_u8(&r);
	uint8_t number = sdes_read_u8(&r);

	*out = (SdesSecret){NULL, 0};
	if (r.failed)
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "the wrapped key is too short");
	if (format != SDES_BLOB_FORMAT)
		return sdes_hsm_fault(fault, SDES_ERR_SUITE,
		                      "the wrapped key has an unknown format");
	for (size_t i = 0; i < MECHANISMS; i++)
	{
		if (mechanisms[i].number == number)
			return mechanisms[i].unwrap(context, &r, out, fault);
	}
	return sdes_hsm_fault(fault, SDES_ERR_SUITE,
	                      "the key was wrapped by a mechanism this version does not know");
}

/*
 * A round trip of random bytes under aad, in a session of its own. With spoil,
 * the aad is another one at the unwrap, which must then fail.
 */
static SdesStatus
round_trip(SdesHsm *hsm, CK_OBJECT_HANDLE key, const WrapMechanism *mechanism, bool spoil,
           SdesHsmFault *fault)
{
	uint8_t aad[] = "round trip", plain[SDES_HSM_DEK_SIZE];
	WrapContext context = {hsm->p11, CK_INVALID_HANDLE, key, SDES_BYTES_OF(aad)};
	SdesSecret back = {NULL, 0};
	SdesHsmBlob blob;
	SdesStatus status = sdes_random(plain, sizeof(plain)); /* no secret: never used */

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no random bytes");
	status = sdes_pkcs11_session(hsm, false, &context.handle, fault);
	if (status != SDES_OK)
		return status;
	status = wrap_by(mechanism, &context, SDES_BYTES_OF(plain), &blob, fault);
	if (status == SDES_OK)
	{
		aad[0] ^= spoil;
		status = unwrap_any(&context, sdes_bytes(blob.data, blob.size), &back, fault);
		if (status == SDES_OK && !sdes_equal(back.data, plain, sizeof(plain)))
			status = sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
			                        "%s: what came back is not what was wrapped",
			                        mechanism->name);
	}
	sdes_secret_free(&back);
	hsm->p11->C_CloseSession(context.handle);
	return status;
}

/* Gets its own back, and refuses it under another aad. */
static SdesStatus
prove_mechanism(SdesHsm *hsm, CK_OBJECT_HANDLE key, const WrapMechanism *mechanism,
                SdesHsmFault *fault)
{
	SdesHsmFault expected;
	SdesStatus status = round_trip(hsm, key, mechanism, false, fault);

	if (status == SDES_OK && round_trip(hsm, key, mechanism, true, &expected) == SDES_OK)
		status = sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                        "%s of the token does not authenticate its AAD",
		                        mechanism->name);
	return status;
}

SdesStatus
sdes_pkcs11_prove(SdesHsm *hsm, CK_OBJECT_HANDLE key, const char **mechanism,
                  SdesHsmFault *fault)
{
	SdesStatus status = none_offered(fault);

	for (size_t i = 0; i < MECHANISMS; i++)
	{
		if (!hsm->offered[i])
			continue;
		status = prove_mechanism(hsm, key, &mechanisms[i], fault);
		if (status != SDES_OK)
			continue;
		*mechanism = mechanisms[i].name;
		return SDES_OK;
	}
	return status;
}

static SdesStatus
make_context(SdesHsmSession *session, const SdesHsmWrap *wrap, WrapContext *out,
             SdesHsmFault *fault)
{
	*out = (WrapContext){session->hsm->p11, session->handle, CK_INVALID_HANDLE, wrap->aad};
	return sdes_pkcs11_kek_find(session->hsm, session->handle, wrap->kek_id, &out->key,
	                            fault);
}

SdesStatus
sdes_pkcs11_dek_wrap(SdesHsmSession *session, const SdesHsmWrap *wrap, SdesBytes dek,
                     SdesHsmBlob *out, SdesHsmFault *fault)
{
	WrapContext context;
	SdesStatus status = make_context(session, wrap, &context, fault);

	if (status != SDES_OK)
		return status;
	if (dek.size != SDES_HSM_DEK_SIZE)
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "a DEK has 32 bytes");
	status = none_offered(fault);
	for (size_t i = 0; i < MECHANISMS; i++)
	{
		if (!session->hsm->offered[i])
			continue;
		status = wrap_by(&mechanisms[i], &context, dek, out, fault);
		if (status == SDES_OK || fault->lost)
			break;
	}
	return status;
}

/*
 * Who is to blame when the code could mean either: if the key still does a
 * round trip with this mechanism, the token is well and the blob is not.
 */
static SdesStatus
settle_blame(SdesHsm *hsm, CK_OBJECT_HANDLE key, SdesStatus status, SdesHsmFault *fault)
{
	SdesHsmFault unused;
	const char *mechanism;

	if (status != SDES_ERR_HSM || !may_say_tampered(fault->code))
		return status;
	return sdes_pkcs11_prove(hsm, key, &mechanism, &unused) == SDES_OK ? SDES_ERR_TAG
	                                                                   : status;
}

SdesStatus
sdes_pkcs11_dek_unwrap(SdesHsmSession *session, const SdesHsmWrap *wrap, SdesBytes blob,
                       SdesSecret *out, SdesHsmFault *fault)
{
	WrapContext context;
	SdesStatus status = make_context(session, wrap, &context, fault);

	*out = (SdesSecret){NULL, 0};
	if (status != SDES_OK)
		return status;
	status = unwrap_any(&context, blob, out, fault);
	return status == SDES_OK ? SDES_OK
	                         : settle_blame(session->hsm, context.key, status, fault);
}
