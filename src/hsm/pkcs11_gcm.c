/*
 * pkcs11_gcm.c
 *		AES-GCM in the token: values that are sealed there, and wrapped DEKs.
 *
 *		sealed:	12	IV
 *				...	ciphertext
 *				16	tag
 *
 * Invariant: one key never sees an IV twice. It is random, and drawn by us
 * unless the token insists on its own, which is documented in three forms:
 *
 *	FILLED		The caller passes zeros, the token writes its IV over them: AWS
 *				CloudHSM, Thales ProtectServer 3 (ProtectToolkit from 7.1) in FIPS
 *				mode.
 *	APPENDED	The caller passes none, the token puts its IV after the tag: Thales
 *				Luna in FIPS mode, which from firmware 7.9.3 makes 12 bytes where
 *				ulIvBits asks for 96. (Older ones make 16, for which there is no
 *				room in the format.)
 *
 * and tokens that take ours and put another one after the tag or into its place
 * (ProtectToolkit 7.0, CloudHSM's first clients). What is stored is what the
 * token says it used. The form is chosen when a token refuses the parameters.
 */
#include "hsm/pkcs11.h"

#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/mac.h"

#include <string.h>

#define IV_SIZE  SDES_NONCE_SIZE
#define TAG_SIZE SDES_AEAD_TAG_SIZE

_Static_assert(IV_SIZE + TAG_SIZE == SDES_HSM_SEALED_OVERHEAD, "the overhead of a value");

/* The parameters of AES-GCM, PKCS#11 v2.40 errata 01, section 2.12.4. */
static CK_GCM_PARAMS
gcm_params(uint8_t iv[IV_SIZE], SdesBytes aad)
{
	CK_GCM_PARAMS params;

	memset(&params, 0, sizeof(params));
	params.pIv = iv;
	params.ulIvLen = iv != NULL ? IV_SIZE : 0;
	params.ulIvBits = 8 * IV_SIZE;
	params.pAAD = (CK_BYTE_PTR) (uintptr_t) aad.data;
	params.ulAADLen = aad.size;
	params.ulTagBits = 8 * TAG_SIZE;
	return params;
}

/* Brings the IV before the size bytes that the token wrote to out. */
static SdesStatus
place_iv(SdesPkcs11Iv form, uint8_t iv[IV_SIZE], CK_ULONG size, size_t plain_size,
         uint8_t *out, SdesHsmFault *fault)
{
	static const uint8_t zeros[IV_SIZE];
	size_t bare = plain_size + TAG_SIZE;

	if (size == bare + IV_SIZE)
		memcpy(iv, out + bare, IV_SIZE);
	else if (size != bare || form == SDES_PKCS11_IV_APPENDED)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                      "C_Encrypt wrote %lu bytes where %zu were due", size,
		                      form == SDES_PKCS11_IV_APPENDED ? bare + IV_SIZE : bare);
	/* Zeros that were taken at their word: the next ones would meet the same. */
	if (memcmp(iv, zeros, IV_SIZE) == 0)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                      "AES-GCM of the token made no IV");
	memmove(out + IV_SIZE, out, bare);
	memcpy(out, iv, IV_SIZE);
	return SDES_OK;
}

static SdesStatus
seal_with(const SdesPkcs11Context *c, SdesPkcs11Iv form, SdesBytes plaintext, uint8_t *out,
          SdesHsmFault *fault)
{
	static const uint8_t empty;
	uint8_t iv[IV_SIZE] = {0};
	CK_GCM_PARAMS params = gcm_params(form == SDES_PKCS11_IV_APPENDED ? NULL : iv, c->aad);
	CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof(params)};
	const uint8_t *in = plaintext.size > 0 ? plaintext.data : &empty;
	CK_ULONG size = plaintext.size + SDES_HSM_SEALED_OVERHEAD;
	CK_RV rv;

	if (form == SDES_PKCS11_IV_OURS && sdes_random(iv, sizeof(iv)) != SDES_OK)
		return sdes_hsm_fault(fault, SDES_ERR_RANDOM, "no random bytes");
	rv = c->hsm->p11->C_EncryptInit(c->handle, &mechanism, c->key->handle);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_EncryptInit", rv);
	rv = c->hsm->p11->C_Encrypt(c->handle, (CK_BYTE_PTR) (uintptr_t) in, plaintext.size,
	                            out, &size);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_Encrypt", rv);
	return place_iv(form, iv, size, plaintext.size, out, fault);
}

/* Codes for an IV that the token does not want. */
static bool
refuses_iv(SdesStatus status, const SdesHsmFault *fault)
{
	return status != SDES_OK &&
	       (fault->code == CKR_MECHANISM_PARAM_INVALID || fault->code == CKR_ARGUMENTS_BAD);
}

/* Tries the other forms, and remembers the one that worked. */
static SdesStatus
seal_otherwise(const SdesPkcs11Context *context, SdesBytes plaintext, uint8_t *out,
               SdesHsmFault *fault)
{
	int *known = &context->hsm->gcm_iv;
	int refused = __atomic_load_n(known, __ATOMIC_RELAXED);
	SdesStatus result = SDES_ERR_HSM_MECHANISM;

	for (int form = 0; form < SDES_PKCS11_IV_COUNT; form++)
	{
		SdesHsmFault reason;
		SdesStatus status;

		if (form == refused)
			continue;
		status = seal_with(context, (SdesPkcs11Iv) form, plaintext, out, &reason);
		if (status == SDES_OK)
		{
			__atomic_store_n(known, form, __ATOMIC_RELAXED);
			return SDES_OK;
		}
		/* More telling than that the first one was refused. */
		if (!refuses_iv(status, &reason))
		{
			*fault = reason;
			result = status;
		}
	}
	return result;
}

SdesStatus
sdes_pkcs11_gcm_seal(const SdesPkcs11Context *context, SdesBytes plaintext, uint8_t *out,
                     SdesHsmFault *fault)
{
	int form = __atomic_load_n(&context->hsm->gcm_iv, __ATOMIC_RELAXED);
	SdesStatus status = seal_with(context, (SdesPkcs11Iv) form, plaintext, out, fault);

	return refuses_iv(status, fault) ? seal_otherwise(context, plaintext, out, fault)
	                                 : status;
}

static SdesStatus
open_into(const SdesPkcs11Context *c, SdesBytes sealed, uint8_t *out, SdesHsmFault *fault)
{
	uint8_t iv[IV_SIZE];
	CK_GCM_PARAMS params = gcm_params(iv, c->aad);
	CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof(params)};
	CK_ULONG size = sealed.size;
	CK_RV rv;

	if (sealed.size < SDES_HSM_SEALED_OVERHEAD)
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "the sealed value is too short");
	memcpy(iv, sealed.data, IV_SIZE);
	rv = c->hsm->p11->C_DecryptInit(c->handle, &mechanism, c->key->handle);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_DecryptInit", rv);
	/* SoftHSM2 wants room for as much as it reads, though it writes less. */
	rv = c->hsm->p11->C_Decrypt(c->handle, (CK_BYTE_PTR) (uintptr_t) sealed.data + IV_SIZE,
	                            sealed.size - IV_SIZE, out, &size);
	if (rv != CKR_OK)
		return sdes_pkcs11_open_failed(fault, "C_Decrypt", rv);
	if (size != sealed.size - SDES_HSM_SEALED_OVERHEAD)
		return sdes_hsm_fault(fault, SDES_ERR_HSM,
		                      "C_Decrypt wrote %lu bytes where %zu were due", size,
		                      sealed.size - SDES_HSM_SEALED_OVERHEAD);
	return SDES_OK;
}

SdesStatus
sdes_pkcs11_gcm_open(const SdesPkcs11Context *context, SdesBytes sealed, uint8_t *out,
                     SdesHsmFault *fault)
{
	SdesStatus status = open_into(context, sealed, out, fault);

	if (status != SDES_OK)
		sdes_wipe(out, sealed.size);
	return status;
}

SdesStatus
sdes_pkcs11_gcm_wrap(const SdesPkcs11Context *context, SdesBytes payload, SdesWriter *out,
                     SdesHsmFault *fault)
{
	uint8_t sealed[SDES_HSM_DEK_SIZE + SDES_HSM_SEALED_OVERHEAD];
	SdesStatus status = sdes_pkcs11_gcm_seal(context, payload, sealed, fault);

	if (status == SDES_OK)
		sdes_write_bytes(out, SDES_BYTES_OF(sealed));
	return status;
}

SdesStatus
sdes_pkcs11_gcm_unwrap(const SdesPkcs11Context *context, SdesReader *in,
                       SdesSecret *payload, SdesHsmFault *fault)
{
	SdesBytes sealed = sdes_read_bytes(in, payload->size + SDES_HSM_SEALED_OVERHEAD);
	SdesSecret plain;
	SdesStatus status;

	if (!sdes_read_complete(in))
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "the wrapped key's length is wrong");
	status = sdes_secret_new(&plain, sealed.size);
	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no locked memory");
	status = sdes_pkcs11_gcm_open(context, sealed, plain.data, fault);
	if (status == SDES_OK)
		memcpy(payload->data, plain.data, payload->size);
	sdes_secret_free(&plain);
	return status;
}
