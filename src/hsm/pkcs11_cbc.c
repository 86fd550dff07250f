/*
 * pkcs11_cbc.c
 *		AES-CBC with PKCS#7 padding (PKCS#11 v2.40, section 2.11.5, CKM_AES_CBC_PAD),
 *		for tokens that have nothing better.
 *
 *		16	IV, then the ciphertext
 *
 * It authenticates nothing: that is up to the tag in the payload. Who could tell
 * a padding error from a wrong tag could decrypt by asking, so pkcs11_wrap.c
 * lets nobody tell.
 */
#include "hsm/pkcs11.h"

#include "crypto/kdf.h"

#include <string.h>

#define BLOCK_SIZE  16
#define PAYLOAD_MAX 64

SdesStatus
sdes_pkcs11_cbc_wrap(const SdesPkcs11Context *context, SdesBytes payload, SdesWriter *out,
                     SdesHsmFault *fault)
{
	CK_FUNCTION_LIST_PTR p11 = context->hsm->p11;
	uint8_t iv[BLOCK_SIZE], wrapped[PAYLOAD_MAX + BLOCK_SIZE];
	CK_MECHANISM mechanism = {context->mechanism->type, iv, sizeof(iv)};
	CK_ULONG size = sizeof(wrapped);
	CK_RV rv;

	if (sdes_random(iv, sizeof(iv)) != SDES_OK)
		return sdes_hsm_fault(fault, SDES_ERR_RANDOM, "no random bytes");
	sdes_write_bytes(out, SDES_BYTES_OF(iv));
	rv = p11->C_EncryptInit(context->handle, &mechanism, context->key->handle);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_EncryptInit", rv);
	rv = p11->C_Encrypt(context->handle, (CK_BYTE_PTR) (uintptr_t) payload.data,
	                    payload.size, wrapped, &size);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_Encrypt", rv);
	/* Of another length it could never be unwrapped. */
	if (size != payload.size + BLOCK_SIZE)
		return sdes_hsm_fault(fault, SDES_ERR_HSM,
		                      "C_Encrypt wrote %lu bytes where %zu were due", size,
		                      payload.size + BLOCK_SIZE);
	sdes_write_bytes(out, sdes_bytes(wrapped, size));
	return SDES_OK;
}

static SdesStatus
decrypt(const SdesPkcs11Context *c, CK_MECHANISM *mechanism, SdesBytes wrapped,
        SdesSecret *plain, CK_ULONG *size, SdesHsmFault *fault)
{
	CK_RV rv = c->hsm->p11->C_DecryptInit(c->handle, mechanism, c->key->handle);

	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_DecryptInit", rv);
	*size = plain->size;
	rv = c->hsm->p11->C_Decrypt(c->handle, (CK_BYTE_PTR) (uintptr_t) wrapped.data,
	                            wrapped.size, plain->data, size);
	return rv == CKR_OK ? SDES_OK : sdes_pkcs11_open_failed(fault, "C_Decrypt", rv);
}

SdesStatus
sdes_pkcs11_cbc_unwrap(const SdesPkcs11Context *context, SdesReader *in,
                       SdesSecret *payload, SdesHsmFault *fault)
{
	uint8_t iv[BLOCK_SIZE];
	CK_MECHANISM mechanism = {context->mechanism->type, iv, sizeof(iv)};
	SdesBytes wrapped;
	SdesSecret plain;
	CK_ULONG size;
	SdesStatus status;

	sdes_read_into(in, iv, sizeof(iv));
	wrapped = sdes_read_bytes(in, payload->size + BLOCK_SIZE);
	if (!sdes_read_complete(in))
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "the wrapped key's length is wrong");
	/* Room for all that is read: whatever the padding says, it fits. */
	status = sdes_secret_new(&plain, wrapped.size);
	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no locked memory");
	status = decrypt(context, &mechanism, wrapped, &plain, &size, fault);
	if (status == SDES_OK && size != payload->size)
		status = sdes_hsm_fault(fault, SDES_ERR_TAG, "the wrapped key is not authentic");
	if (status == SDES_OK)
		memcpy(payload->data, plain.data, payload->size);
	sdes_secret_free(&plain);
	return status;
}
