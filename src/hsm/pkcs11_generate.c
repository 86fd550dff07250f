/*
 * pkcs11_generate.c
 *		Templates of new KEKs.
 *
 * The last attributes of a template are wanted, not needed (what they protect is
 * checked again at each use), so they are given up one by one where a module
 * refuses them. What it made of a refused template is removed.
 */
#include "hsm/pkcs11.h"

#include <string.h>

#define AES_BYTES 32

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

static CK_BBOOL *
allowed(const SdesPkcs11Mechanism *mechanism, CK_FLAGS usage)
{
	return (mechanism->usage & usage) != 0 ? &yes : &no;
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

static SdesStatus
generate_aes(SdesHsm *hsm, CK_SESSION_HANDLE handle, const SdesPkcs11Mechanism *mechanism,
             const char *label, const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault)
{
	CK_MECHANISM generation = {CKM_AES_KEY_GEN, NULL, 0};
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_ULONG length = AES_BYTES;
	CK_ATTRIBUTE template[] = {
	    SDES_PKCS11_ATTRIBUTE(CKA_CLASS, class),
	    SDES_PKCS11_ATTRIBUTE(CKA_KEY_TYPE, type),
	    SDES_PKCS11_ATTRIBUTE(CKA_VALUE_LEN, length),
	    {CKA_ID, (void *) (uintptr_t) id, SDES_HSM_KEY_ID_SIZE},
	    {CKA_LABEL, (void *) (uintptr_t) label, strlen(label)},
	    SDES_PKCS11_ATTRIBUTE(CKA_TOKEN, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_PRIVATE, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_SENSITIVE, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_EXTRACTABLE, no),
	    {CKA_ENCRYPT, allowed(mechanism, CKF_ENCRYPT), sizeof(yes)},
	    {CKA_DECRYPT, allowed(mechanism, CKF_DECRYPT), sizeof(yes)},
	    {CKA_WRAP, allowed(mechanism, CKF_WRAP), sizeof(yes)},
	    {CKA_UNWRAP, allowed(mechanism, CKF_UNWRAP), sizeof(yes)},
	    SDES_PKCS11_ATTRIBUTE(CKA_SIGN, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_VERIFY, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_MODIFIABLE, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_COPYABLE, no),
	};
	CK_ULONG all = sizeof(template) / sizeof(template[0]);
	CK_OBJECT_HANDLE key;
	CK_RV rv = CKR_OK;

	for (CK_ULONG count = all; count >= all - 4; count--)
	{
		rv = hsm->p11->C_GenerateKey(handle, &generation, template, count, &key);
		if (rv == CKR_OK)
			return SDES_OK;
		if (!template_refused(rv))
			break;
		sdes_pkcs11_key_destroy(hsm, handle, id, fault);
	}
	return sdes_pkcs11_failed(fault, "C_GenerateKey", rv);
}

/* A pair of keys; the last two attributes of the private one may be given up. */
typedef struct Pair
{
	CK_MECHANISM generation;
	CK_ATTRIBUTE *public_template;
	CK_ULONG npublic;
	CK_ATTRIBUTE *private_template;
	CK_ULONG nprivate;
} Pair;

static SdesStatus
generate_pair(SdesHsm *hsm, CK_SESSION_HANDLE handle, Pair *pair,
              const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault)
{
	CK_OBJECT_HANDLE public, private;
	CK_RV rv = CKR_OK;

	for (CK_ULONG count = pair->nprivate; count >= pair->nprivate - 2; count--)
	{
		rv = hsm->p11->C_GenerateKeyPair(handle, &pair->generation, pair->public_template,
		                                 pair->npublic, pair->private_template, count,
		                                 &public, &private);
		if (rv == CKR_OK)
			return SDES_OK;
		if (!template_refused(rv))
			break;
		sdes_pkcs11_key_destroy(hsm, handle, id, fault);
	}
	return sdes_pkcs11_failed(fault, "C_GenerateKeyPair", rv);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Nobody here reads the public object: the public key is read from the private one. */
static SdesStatus
generate_rsa(SdesHsm *hsm, CK_SESSION_HANDLE handle, bool signs, const char *label,
             const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault)
{
	CK_ULONG bits = SDES_PKCS11_RSA_BITS;
	CK_BYTE exponent[] = {1, 0, 1};
	CK_BBOOL crypts = signs ? CK_FALSE : CK_TRUE;
	CK_BBOOL vouches = signs ? CK_TRUE : CK_FALSE;
	CK_ATTRIBUTE public_template[] = {
	    {CKA_ID, (void *) (uintptr_t) id, SDES_HSM_KEY_ID_SIZE},
	    {CKA_LABEL, (void *) (uintptr_t) label, strlen(label)},
	    SDES_PKCS11_ATTRIBUTE(CKA_TOKEN, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_MODULUS_BITS, bits),
	    SDES_PKCS11_ATTRIBUTE(CKA_PUBLIC_EXPONENT, exponent),
	    SDES_PKCS11_ATTRIBUTE(CKA_ENCRYPT, crypts),
	    SDES_PKCS11_ATTRIBUTE(CKA_WRAP, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_VERIFY, vouches),
	};
	CK_ATTRIBUTE private_template[] = {
	    {CKA_ID, (void *) (uintptr_t) id, SDES_HSM_KEY_ID_SIZE},
	    {CKA_LABEL, (void *) (uintptr_t) label, strlen(label)},
	    SDES_PKCS11_ATTRIBUTE(CKA_TOKEN, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_PRIVATE, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_SENSITIVE, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_EXTRACTABLE, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_DECRYPT, crypts),
	    SDES_PKCS11_ATTRIBUTE(CKA_UNWRAP, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_SIGN, vouches),
	    SDES_PKCS11_ATTRIBUTE(CKA_MODIFIABLE, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_COPYABLE, no),
	};
	Pair pair = {{CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0},
	             public_template,
	             COUNT(public_template),
	             private_template,
	             COUNT(private_template)};

	return generate_pair(hsm, handle, &pair, id, fault);
}

static SdesStatus
generate_p256(SdesHsm *hsm, CK_SESSION_HANDLE handle, const char *label,
              const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault)
{
	CK_BYTE curve[] = SDES_PKCS11_P256;
	CK_ATTRIBUTE public_template[] = {
	    {CKA_ID, (void *) (uintptr_t) id, SDES_HSM_KEY_ID_SIZE},
	    {CKA_LABEL, (void *) (uintptr_t) label, strlen(label)},
	    SDES_PKCS11_ATTRIBUTE(CKA_TOKEN, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_EC_PARAMS, curve),
	    SDES_PKCS11_ATTRIBUTE(CKA_VERIFY, yes),
	};
	CK_ATTRIBUTE private_template[] = {
	    {CKA_ID, (void *) (uintptr_t) id, SDES_HSM_KEY_ID_SIZE},
	    {CKA_LABEL, (void *) (uintptr_t) label, strlen(label)},
	    SDES_PKCS11_ATTRIBUTE(CKA_TOKEN, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_PRIVATE, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_SENSITIVE, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_EXTRACTABLE, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_SIGN, yes),
	    SDES_PKCS11_ATTRIBUTE(CKA_DERIVE, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_MODIFIABLE, no),
	    SDES_PKCS11_ATTRIBUTE(CKA_COPYABLE, no),
	};
	Pair pair = {{CKM_EC_KEY_PAIR_GEN, NULL, 0},
	             public_template,
	             COUNT(public_template),
	             private_template,
	             COUNT(private_template)};

	return generate_pair(hsm, handle, &pair, id, fault);
}

SdesStatus
sdes_pkcs11_generate(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                     const SdesPkcs11Mechanism *mechanism, const char *label,
                     const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault)
{
	return mechanism->kind == SDES_HSM_AES_256
	           ? generate_aes(hsm, handle, mechanism, label, id, fault)
	           : generate_rsa(hsm, handle, false, label, id, fault);
}

SdesStatus
sdes_pkcs11_generate_signer(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                            const SdesHsmNewKek *spec,
                            const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault)
{
	return spec->kind == SDES_HSM_P256_SIGN
	           ? generate_p256(hsm, handle, spec->label, id, fault)
	           : generate_rsa(hsm, handle, true, spec->label, id, fault);
}
