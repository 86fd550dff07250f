/*
 * pkcs11_keywrap.c
 *		AES key wrap (NIST SP 800-38F, section 6), with padding (KWP) and without.
 *
 * Tokens wrap objects, not bytes: the payload becomes a secret key of the
 * session, readable for us, and is destroyed on every path.
 */
#include "hsm/pkcs11.h"

#include <string.h>

#define WRAPPED_MAX SDES_HSM_BLOB_MAX

/* With the integrity check value, and for KWP with zeros to whole semiblocks. */
static size_t
wrapped_size(size_t size)
{
	return 8 + (size + 7) / 8 * 8;
}

static SdesStatus
import_payload(const SdesPkcs11Context *c, SdesBytes payload, CK_OBJECT_HANDLE *object,
               SdesHsmFault *fault)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {
	    SDES_PKCS11_ATTRIBUTE(CKA_CLASS, class),
	    SDES_PKCS11_ATTRIBUTE(CKA_KEY_TYPE, type),
	    {CKA_VALUE, (void *) (uintptr_t) payload.data, payload.size},
	    SDES_PKCS11_ATTRIBUTE(CKA_TOKEN, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_PRIVATE, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_SENSITIVE, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_EXTRACTABLE, yes),
	};
	CK_RV rv = c->hsm->p11->C_CreateObject(c->handle, template,
	                                       sizeof(template) / sizeof(template[0]), object);

	return rv == CKR_OK ? SDES_OK : sdes_pkcs11_failed(fault, "C_CreateObject", rv);
}

SdesStatus
sdes_pkcs11_kw_wrap(const SdesPkcs11Context *context, SdesBytes payload, SdesWriter *out,
                    SdesHsmFault *fault)
{
	CK_MECHANISM mechanism = {context->mechanism->type, NULL, 0};
	CK_OBJECT_HANDLE object;
	uint8_t wrapped[WRAPPED_MAX];
	CK_ULONG size = sizeof(wrapped);
	SdesStatus status = import_payload(context, payload, &object, fault);
	CK_RV rv;

	if (status != SDES_OK)
		return status;
	rv = context->hsm->p11->C_WrapKey(context->handle, &mechanism, context->key->handle,
	                                  object, wrapped, &size);
	context->hsm->p11->C_DestroyObject(context->handle, object);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_WrapKey", rv);
	/* Of another length it could never be unwrapped. */
	if (size != wrapped_size(payload.size))
		return sdes_hsm_fault(fault, SDES_ERR_HSM,
		                      "C_WrapKey wrote %lu bytes where %zu were due", size,
		                      wrapped_size(payload.size));
	sdes_write_bytes(out, sdes_bytes(wrapped, size));
	return SDES_OK;
}

static bool
template_refused(CK_RV rv)
{
	return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
	       rv == CKR_ATTRIBUTE_READ_ONLY || rv == CKR_TEMPLATE_INCONSISTENT ||
	       rv == CKR_TEMPLATE_INCOMPLETE;
}

/*
 * SoftHSM2 lets nobody read a key unless CKA_EXTRACTABLE is asked for, and takes
 * no CKA_VALUE_LEN; opencryptoki refuses CKA_EXTRACTABLE true; KWP on others
 * needs the length. So the template grows, shrinks, and grows.
 */
static SdesStatus
unwrap_object(const SdesPkcs11Context *c, SdesBytes wrapped, CK_ULONG size,
              CK_OBJECT_HANDLE *object, SdesHsmFault *fault)
{
	static const CK_ULONG counts[] = {6, 5, 7};
	CK_MECHANISM mechanism = {c->mechanism->type, NULL, 0};
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE key_type = CKK_GENERIC_SECRET;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {
	    SDES_PKCS11_ATTRIBUTE(CKA_CLASS, class),
	    SDES_PKCS11_ATTRIBUTE(CKA_KEY_TYPE, key_type),
	    SDES_PKCS11_ATTRIBUTE(CKA_TOKEN, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_PRIVATE, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_SENSITIVE, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_EXTRACTABLE, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_VALUE_LEN, size),
	};
	CK_RV rv = CKR_OK;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
	{
		rv = c->hsm->p11->C_UnwrapKey(c->handle, &mechanism, c->key->handle,
		                              (CK_BYTE_PTR) (uintptr_t) wrapped.data, wrapped.size,
		                              template, counts[i], object);
		if (!template_refused(rv))
			break;
	}
	return rv == CKR_OK ? SDES_OK : sdes_pkcs11_open_failed(fault, "C_UnwrapKey", rv);
}

SdesStatus
sdes_pkcs11_kw_unwrap(const SdesPkcs11Context *context, SdesReader *in, SdesSecret *payload,
                      SdesHsmFault *fault)
{
	CK_FUNCTION_LIST_PTR p11 = context->hsm->p11;
	CK_ATTRIBUTE value = {CKA_VALUE, payload->data, payload->size};
	SdesBytes wrapped = sdes_read_bytes(in, wrapped_size(payload->size));
	CK_OBJECT_HANDLE object;
	SdesStatus status;
	CK_RV rv;

	if (!sdes_read_complete(in))
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "the wrapped key's length is wrong");
	status = unwrap_object(context, wrapped, payload->size, &object, fault);
	if (status != SDES_OK)
		return status;
	rv = p11->C_GetAttributeValue(context->handle, object, &value, 1);
	p11->C_DestroyObject(context->handle, object);
	/* What was wrapped under this key has another length, so it was not ours. */
	if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && value.ulValueLen != payload->size))
		return sdes_hsm_fault(fault, SDES_ERR_TAG, "the wrapped key's length is wrong");
	return rv == CKR_OK ? SDES_OK : sdes_pkcs11_failed(fault, "C_GetAttributeValue", rv);
}
