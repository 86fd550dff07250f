/*
 * pkcs11_attributes.c
 *		What a token says of a KEK, read back: modules are known to ignore what a
 *		template asks.
 *
 * Invariant: a KEK is an AES-256 key or the private half of an RSA-4096 pair
 * that was born in the token, cannot leave it, and serves one purpose only:
 * either it encrypts and decrypts, or it wraps and unwraps. A key that did both
 * could wrap another key and decrypt it into the open. An RSA key decrypts or
 * signs: one that did both would sign by decrypting. A key on P-256 signs, and agrees on
 * nothing.
 */
#include "hsm/pkcs11.h"

#include "crypto/public_key.h"

#include <string.h>

#define AES_BYTES 32
/* The public exponent 65537, big-endian. */
static const uint8_t exponent[3] = {1, 0, 1};
static const uint8_t p256[] = SDES_PKCS11_P256;

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

typedef struct Reader
{
	SdesHsm *hsm;
	CK_SESSION_HANDLE handle;
	CK_OBJECT_HANDLE key;
	SdesHsmFault *fault;
} Reader;

static SdesStatus
unsafe(SdesHsmFault *fault, const char *name)
{
	return sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_UNSAFE,
	                      "%s of the key is not what it must be", name);
}

/* Reads one attribute into at most its size; a module without it does not qualify. */
static SdesStatus
read_attribute(const Reader *r, CK_ATTRIBUTE *attribute, const char *name)
{
	CK_RV rv = r->hsm->p11->C_GetAttributeValue(r->handle, r->key, attribute, 1);

	if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
	    rv == CKR_BUFFER_TOO_SMALL)
		return unsafe(r->fault, name);
	return rv == CKR_OK ? SDES_OK : sdes_pkcs11_failed(r->fault, "C_GetAttributeValue", rv);
}

static SdesStatus
read_number(const Reader *r, CK_ATTRIBUTE_TYPE type, CK_ULONG want, const char *name)
{
	CK_ULONG number = 0;
	CK_ATTRIBUTE attribute = SDES_PKCS11_ATTRIBUTE(type, number);
	SdesStatus status = read_attribute(r, &attribute, name);

	if (status == SDES_OK && (attribute.ulValueLen != sizeof(number) || number != want))
		status = unsafe(r->fault, name);
	return status;
}

static SdesStatus
read_boolean(const Reader *r, CK_ATTRIBUTE_TYPE type, bool *out, const char *name)
{
	/* Neither true nor false, so that a module that writes nothing is caught. */
	CK_BBOOL value = 0xff;
	CK_ATTRIBUTE attribute = SDES_PKCS11_ATTRIBUTE(type, value);
	SdesStatus status = read_attribute(r, &attribute, name);

	if (status == SDES_OK && (attribute.ulValueLen != sizeof(value) || value == 0xff))
		status = unsafe(r->fault, name);
	/* CK_TRUE is 1, yet modules are seen to answer with other true values. */
	*out = value != 0;
	return status;
}

static SdesStatus
check_demands(const Reader *r)
{
	SdesStatus status = SDES_OK;

	for (size_t i = 0; status == SDES_OK && i < DEMANDS; i++)
	{
		bool value;

		status = read_boolean(r, demands[i].type, &value, demands[i].name);
		if (status == SDES_OK && value != demands[i].value)
			status = unsafe(r->fault, demands[i].name);
	}
	return status;
}

/* Both of a pair of usages, or none: true in *used. */
static SdesStatus
read_usage(const Reader *r, CK_ATTRIBUTE_TYPE there, CK_ATTRIBUTE_TYPE back, bool *used,
           const char *name)
{
	bool and_back;
	SdesStatus status = read_boolean(r, there, used, name);

	if (status == SDES_OK)
		status = read_boolean(r, back, &and_back, name);
	if (status == SDES_OK && *used != and_back)
		status = unsafe(r->fault, name);
	return status;
}

static SdesStatus
check_secret_key(const Reader *r, SdesPkcs11Key *key)
{
	bool encrypts, wraps;
	SdesStatus status = read_number(r, CKA_KEY_TYPE, CKK_AES, "CKA_KEY_TYPE");

	if (status == SDES_OK)
		status = read_number(r, CKA_VALUE_LEN, AES_BYTES, "CKA_VALUE_LEN");
	if (status == SDES_OK)
		status = read_usage(r, CKA_ENCRYPT, CKA_DECRYPT, &encrypts, "CKA_DECRYPT");
	if (status == SDES_OK)
		status = read_usage(r, CKA_WRAP, CKA_UNWRAP, &wraps, "CKA_UNWRAP");
	if (status == SDES_OK && encrypts == wraps)
		status = unsafe(r->fault, "CKA_WRAP");
	if (status == SDES_OK)
		key->usage = encrypts ? CKF_ENCRYPT | CKF_DECRYPT : CKF_WRAP | CKF_UNWRAP;
	return status;
}

static SdesStatus
check_private_key(const Reader *r, SdesPkcs11Key *key)
{
	uint8_t modulus[SDES_PKCS11_RSA_SIZE];
	bool decrypts, unwraps, signs = false;
	SdesStatus status = read_number(r, CKA_KEY_TYPE, CKK_RSA, "CKA_KEY_TYPE");

	if (status == SDES_OK)
		status = sdes_pkcs11_read_modulus(r->hsm, r->handle, r->key, modulus, r->fault);
	if (status == SDES_OK)
		status = read_boolean(r, CKA_DECRYPT, &decrypts, "CKA_DECRYPT");
	if (status == SDES_OK)
		status = read_boolean(r, CKA_UNWRAP, &unwraps, "CKA_UNWRAP");
	if (status == SDES_OK && unwraps)
		status = unsafe(r->fault, "CKA_UNWRAP");
	if (status == SDES_OK)
		status = read_boolean(r, CKA_SIGN, &signs, "CKA_SIGN");
	if (status == SDES_OK && signs == decrypts)
		status = unsafe(r->fault, signs ? "CKA_SIGN" : "CKA_DECRYPT");
	key->usage = signs ? CKF_SIGN : CKF_DECRYPT;
	return status;
}

static SdesStatus
check_curve(const Reader *r)
{
	uint8_t curve[32];
	CK_ATTRIBUTE attribute = SDES_PKCS11_ATTRIBUTE(CKA_EC_PARAMS, curve);
	SdesStatus status = read_attribute(r, &attribute, "CKA_EC_PARAMS");

	if (status == SDES_OK &&
	    (attribute.ulValueLen != sizeof(p256) || memcmp(curve, p256, sizeof(p256)) != 0))
		status = unsafe(r->fault, "CKA_EC_PARAMS");
	return status;
}

static SdesStatus
check_ec_key(const Reader *r, SdesPkcs11Key *key)
{
	bool signs, derives;
	SdesStatus status = check_curve(r);

	if (status == SDES_OK)
		status = read_boolean(r, CKA_SIGN, &signs, "CKA_SIGN");
	if (status == SDES_OK && !signs)
		status = unsafe(r->fault, "CKA_SIGN");
	if (status == SDES_OK)
		status = read_boolean(r, CKA_DERIVE, &derives, "CKA_DERIVE");
	if (status == SDES_OK && derives)
		status = unsafe(r->fault, "CKA_DERIVE");
	key->usage = CKF_SIGN;
	return status;
}

SdesStatus
sdes_pkcs11_check_attributes(SdesHsm *hsm, CK_SESSION_HANDLE handle, SdesPkcs11Key *key,
                             SdesHsmFault *fault)
{
	Reader r = {hsm, handle, key->handle, fault};
	SdesStatus status = key->kind == SDES_HSM_AES_256     ? check_secret_key(&r, key)
	                    : key->kind == SDES_HSM_P256_SIGN ? check_ec_key(&r, key)
	                                                      : check_private_key(&r, key);

	return status == SDES_OK ? check_demands(&r) : status;
}

/* A big integer without the zeros that some modules put before it. */
static SdesBytes
strip_zeros(const CK_ATTRIBUTE *attribute)
{
	SdesBytes bytes = sdes_bytes(attribute->pValue, attribute->ulValueLen);

	while (bytes.size > 0 && bytes.data[0] == 0)
		bytes = sdes_bytes(bytes.data + 1, bytes.size - 1);
	return bytes;
}

SdesStatus
sdes_pkcs11_read_modulus(SdesHsm *hsm, CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key,
                         uint8_t modulus[SDES_PKCS11_RSA_SIZE], SdesHsmFault *fault)
{
	Reader r = {hsm, handle, key, fault};
	uint8_t n[SDES_PKCS11_RSA_SIZE + 1], e[8];
	CK_ATTRIBUTE n_attribute = SDES_PKCS11_ATTRIBUTE(CKA_MODULUS, n);
	CK_ATTRIBUTE e_attribute = SDES_PKCS11_ATTRIBUTE(CKA_PUBLIC_EXPONENT, e);
	SdesStatus status = read_attribute(&r, &n_attribute, "CKA_MODULUS");
	SdesBytes bytes;

	if (status == SDES_OK)
		status = read_attribute(&r, &e_attribute, "CKA_PUBLIC_EXPONENT");
	if (status != SDES_OK)
		return status;
	if (n_attribute.ulValueLen > sizeof(n))
		return unsafe(fault, "CKA_MODULUS");
	if (e_attribute.ulValueLen > sizeof(e))
		return unsafe(fault, "CKA_PUBLIC_EXPONENT");
	bytes = strip_zeros(&n_attribute);
	if (bytes.size != SDES_PKCS11_RSA_SIZE || bytes.data[0] < 0x80)
		return unsafe(fault, "CKA_MODULUS");
	memcpy(modulus, bytes.data, bytes.size);
	bytes = strip_zeros(&e_attribute);
	if (bytes.size != sizeof(exponent) || memcmp(bytes.data, exponent, bytes.size) != 0)
		return unsafe(fault, "CKA_PUBLIC_EXPONENT");
	return SDES_OK;
}

SdesStatus
sdes_pkcs11_read_type(SdesHsm *hsm, CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key,
                      CK_KEY_TYPE *type, SdesHsmFault *fault)
{
	Reader r = {hsm, handle, key, fault};
	CK_ATTRIBUTE attribute = SDES_PKCS11_ATTRIBUTE(CKA_KEY_TYPE, *type);
	SdesStatus status = read_attribute(&r, &attribute, "CKA_KEY_TYPE");

	if (status == SDES_OK && attribute.ulValueLen != sizeof(*type))
		status = unsafe(fault, "CKA_KEY_TYPE");
	return status;
}

/* In an OCTET STRING by the standard (PKCS#11 v2.40, section 2.3.3); some leave it out. */
SdesStatus
sdes_pkcs11_read_point(SdesHsm *hsm, CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key,
                       SdesHsmPublic *out, SdesHsmFault *fault)
{
	Reader r = {hsm, handle, key, fault};
	uint8_t point[2 + SDES_P256_POINT_SIZE];
	CK_ATTRIBUTE attribute = SDES_PKCS11_ATTRIBUTE(CKA_EC_POINT, point);
	SdesStatus status = read_attribute(&r, &attribute, "CKA_EC_POINT");
	size_t size = attribute.ulValueLen;
	const uint8_t *at = point;

	if (status != SDES_OK)
		return status;
	if (size == sizeof(point) && point[0] == 0x04 && point[1] == SDES_P256_POINT_SIZE)
		at += 2;
	else if (size != SDES_P256_POINT_SIZE)
		return unsafe(fault, "CKA_EC_POINT");
	out->size = SDES_P256_POINT_SIZE;
	memcpy(out->data, at, out->size);
	return SDES_OK;
}
