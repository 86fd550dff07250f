/*
 * pkcs11_kek.c
 *		Key encryption keys in the token: make, check, find, destroy.
 *
 * Invariant: a KEK that this file hands out is an AES-256 key that was born in
 * the token and cannot leave it, by the token's own word, read back; modules
 * are known to ignore what a template asks. Keys are found by their random id
 * alone, and two with one id are an error.
 */
#include "hsm/pkcs11.h"

#include "crypto/kdf.h"

#include <string.h>

#define KEK_BYTES 32 /* AES-256 */

#define ATTRIBUTE(type, object)                                                            \
	{                                                                                      \
		type, &(object), sizeof(object)                                                    \
	}

static CK_OBJECT_CLASS class_secret = CKO_SECRET_KEY;
static CK_KEY_TYPE type_aes = CKK_AES;
static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

SdesStatus
sdes_pkcs11_kek_find(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                     const uint8_t id[SDES_HSM_KEY_ID_SIZE], CK_OBJECT_HANDLE *out,
                     SdesHsmFault *fault)
{
	CK_ATTRIBUTE template[] = {
	    ATTRIBUTE(CKA_CLASS, class_secret),
	    ATTRIBUTE(CKA_KEY_TYPE, type_aes),
	    {CKA_ID, (void *) (uintptr_t) id, SDES_HSM_KEY_ID_SIZE},
	};
	CK_OBJECT_HANDLE found[2];
	CK_ULONG count = 0;
	CK_RV rv = hsm->p11->C_FindObjectsInit(handle, template, 3);

	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_FindObjectsInit", rv);
	rv = hsm->p11->C_FindObjects(handle, found, 2, &count);
	hsm->p11->C_FindObjectsFinal(handle);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_FindObjects", rv);
	if (count == 0)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_MISSING,
		                      "no AES key with this id is in the token");
	if (count > 1)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_AMBIGUOUS,
		                      "two AES keys with this id are in the token");
	*out = found[0];
	return SDES_OK;
}

/* A boolean that a KEK must have. */
typedef struct Demand
{
	CK_ATTRIBUTE_TYPE type;
	CK_BBOOL value;
	const char *name;
} Demand;

/*
 * A key that was imported, by C_CreateObject or C_UnwrapKey, never has
 * CKA_ALWAYS_SENSITIVE and CKA_NEVER_EXTRACTABLE (PKCS#11 v2.40, sections 5.7
 * and 5.14), so the two together say that this one was born in the token and
 * has not left it. CKA_LOCAL would add nothing: NSS reports it false for the
 * keys it generated, and true for imported ones whose template says so.
 */
static const Demand demands[] = {
    {CKA_TOKEN, CK_TRUE, "CKA_TOKEN"},
    {CKA_PRIVATE, CK_TRUE, "CKA_PRIVATE"},
    {CKA_SENSITIVE, CK_TRUE, "CKA_SENSITIVE"},
    {CKA_EXTRACTABLE, CK_FALSE, "CKA_EXTRACTABLE"},
    {CKA_ALWAYS_SENSITIVE, CK_TRUE, "CKA_ALWAYS_SENSITIVE"},
    {CKA_NEVER_EXTRACTABLE, CK_TRUE, "CKA_NEVER_EXTRACTABLE"},
};
#define DEMANDS (sizeof(demands) / sizeof(demands[0]))

static SdesStatus
unsafe(SdesHsmFault *fault, const char *name)
{
	return sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_UNSAFE,
	                      "%s of the key is not what it must be", name);
}

/* Reads one attribute of exactly size bytes; a module without it does not qualify. */
static SdesStatus
read_attribute(SdesHsm *hsm, CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key,
               CK_ATTRIBUTE *attribute, const char *name, SdesHsmFault *fault)
{
	CK_ULONG size = attribute->ulValueLen;
	CK_RV rv = hsm->p11->C_GetAttributeValue(handle, key, attribute, 1);

	if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE)
		return unsafe(fault, name);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_GetAttributeValue", rv);
	return attribute->ulValueLen == size ? SDES_OK : unsafe(fault, name);
}

static SdesStatus
check_type_and_length(SdesHsm *hsm, CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key,
                      SdesHsmFault *fault)
{
	CK_KEY_TYPE type = 0;
	CK_ULONG length = 0;
	CK_ATTRIBUTE type_attribute = ATTRIBUTE(CKA_KEY_TYPE, type);
	CK_ATTRIBUTE length_attribute = ATTRIBUTE(CKA_VALUE_LEN, length);
	SdesStatus status =
	    read_attribute(hsm, handle, key, &type_attribute, "CKA_KEY_TYPE", fault);

	if (status == SDES_OK && type != CKK_AES)
		status = unsafe(fault, "CKA_KEY_TYPE");
	if (status == SDES_OK)
		status =
		    read_attribute(hsm, handle, key, &length_attribute, "CKA_VALUE_LEN", fault);
	if (status == SDES_OK && length != KEK_BYTES)
		status = unsafe(fault, "CKA_VALUE_LEN");
	return status;
}

static SdesStatus
check_attributes(SdesHsm *hsm, CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key,
                 SdesHsmFault *fault)
{
	SdesStatus status = check_type_and_length(hsm, handle, key, fault);

	for (size_t i = 0; status == SDES_OK && i < DEMANDS; i++)
	{
		/* Neither true nor false, so that a module that writes nothing is caught. */
		CK_BBOOL value = 0xff;
		CK_ATTRIBUTE attribute = ATTRIBUTE(demands[i].type, value);

		status = read_attribute(hsm, handle, key, &attribute, demands[i].name, fault);
		/* CK_TRUE is 1, yet modules are seen to answer with other true values. */
		if (status == SDES_OK && (value == 0xff || (value != 0) != demands[i].value))
			status = unsafe(fault, demands[i].name);
	}
	return status;
}

/*
 * A module refused a template for an attribute it does not take. NSS says
 * CKR_GENERAL_ERROR where its database has no column for one.
 */
static bool
template_refused(CK_RV rv)
{
	return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID ||
	       rv == CKR_ATTRIBUTE_READ_ONLY || rv == CKR_TEMPLATE_INCONSISTENT ||
	       rv == CKR_GENERAL_ERROR;
}

/*
 * Generates the key. The last two attributes are wanted, not needed (what they
 * protect is checked again at each use), so they are given up one by one.
 */
static SdesStatus
generate(SdesHsm *hsm, CK_SESSION_HANDLE handle, const char *label,
         const uint8_t id[SDES_HSM_KEY_ID_SIZE], CK_OBJECT_HANDLE *key, SdesHsmFault *fault)
{
	CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
	CK_ULONG length = KEK_BYTES;
	CK_ATTRIBUTE template[] = {
	    ATTRIBUTE(CKA_CLASS, class_secret),
	    ATTRIBUTE(CKA_KEY_TYPE, type_aes),
	    ATTRIBUTE(CKA_VALUE_LEN, length),
	    {CKA_ID, (void *) (uintptr_t) id, SDES_HSM_KEY_ID_SIZE},
	    {CKA_LABEL, (void *) (uintptr_t) label, strlen(label)},
	    ATTRIBUTE(CKA_TOKEN, yes),
	    ATTRIBUTE(CKA_PRIVATE, yes),
	    ATTRIBUTE(CKA_SENSITIVE, yes),
	    ATTRIBUTE(CKA_EXTRACTABLE, no),
	    ATTRIBUTE(CKA_ENCRYPT, yes),
	    ATTRIBUTE(CKA_DECRYPT, yes),
	    ATTRIBUTE(CKA_WRAP, no),
	    ATTRIBUTE(CKA_UNWRAP, no),
	    ATTRIBUTE(CKA_MODIFIABLE, no),
	    ATTRIBUTE(CKA_COPYABLE, no),
	};
	CK_ULONG all = sizeof(template) / sizeof(template[0]);
	CK_RV rv = CKR_OK;

	for (CK_ULONG count = all; count >= all - 2; count--)
	{
		rv = hsm->p11->C_GenerateKey(handle, &mechanism, template, count, key);
		if (rv == CKR_OK)
			return SDES_OK;
		if (!template_refused(rv))
			break;
	}
	return sdes_pkcs11_failed(fault, "C_GenerateKey", rv);
}

static SdesStatus
create_and_prove(SdesHsm *hsm, CK_SESSION_HANDLE handle, const char *label,
                 const uint8_t id[SDES_HSM_KEY_ID_SIZE], const char **mechanism,
                 SdesHsmFault *fault)
{
	CK_OBJECT_HANDLE key, found;
	SdesStatus status = generate(hsm, handle, label, id, &key, fault);

	if (status != SDES_OK)
		return status;
	/* A refused attempt may have left a key behind: then there are two. */
	status = sdes_pkcs11_kek_find(hsm, handle, id, &found, fault);
	if (status == SDES_OK)
		status = check_attributes(hsm, handle, key, fault);
	if (status == SDES_OK)
		status = sdes_pkcs11_prove(hsm, key, mechanism, fault);
	if (status != SDES_OK)
		hsm->p11->C_DestroyObject(handle, key);
	return status;
}

SdesStatus
sdes_pkcs11_kek_create(SdesHsmSession *session, const SdesHsmNewKek *spec,
                       uint8_t id[SDES_HSM_KEY_ID_SIZE], const char **mechanism,
                       SdesHsmFault *fault)
{
	SdesHsm *hsm = session->hsm;
	CK_SESSION_HANDLE handle;
	SdesStatus status = sdes_random(id, SDES_HSM_KEY_ID_SIZE);

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no random bytes");
	status = sdes_pkcs11_session(hsm, true, &handle, fault);
	if (status != SDES_OK)
		return status;
	status = create_and_prove(hsm, handle, spec->label, id, mechanism, fault);
	hsm->p11->C_CloseSession(handle);
	return status;
}

SdesStatus
sdes_pkcs11_kek_check(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                      const char **mechanism, SdesHsmFault *fault)
{
	CK_OBJECT_HANDLE key;
	SdesStatus status =
	    sdes_pkcs11_kek_find(session->hsm, session->handle, id, &key, fault);

	if (status == SDES_OK)
		status = check_attributes(session->hsm, session->handle, key, fault);
	if (status == SDES_OK)
		status = sdes_pkcs11_prove(session->hsm, key, mechanism, fault);
	return status;
}

SdesStatus
sdes_pkcs11_kek_destroy(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                        SdesHsmFault *fault)
{
	SdesHsm *hsm = session->hsm;
	CK_SESSION_HANDLE handle;
	CK_OBJECT_HANDLE key;
	SdesStatus status = sdes_pkcs11_session(hsm, true, &handle, fault);

	if (status != SDES_OK)
		return status;
	status = sdes_pkcs11_kek_find(hsm, handle, id, &key, fault);
	if (status == SDES_OK)
	{
		CK_RV rv = hsm->p11->C_DestroyObject(handle, key);

		if (rv != CKR_OK)
			status = sdes_pkcs11_failed(fault, "C_DestroyObject", rv);
	}
	hsm->p11->C_CloseSession(handle);
	return status;
}
