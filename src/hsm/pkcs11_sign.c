/*
 * pkcs11_sign.c
 *		Keys that sign: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2), and ECDSA
 *		on P-256 (FIPS 186-5, section 6.4).
 *
 * Invariant: a signature leaves this file only after it was verified here, and a public
 * key only if it is that of a signature or of the private object: what a sick token signs
 * would be found out elsewhere, when it is too late. The private object tells an RSA key;
 * of one on P-256 only the public object has the point, which anybody could have put
 * there, so it is believed after a signature.
 *
 * The token gets the digest; for RSA in a DigestInfo (section 9.2), padded by
 * CKM_RSA_PKCS, which every module has that signs with RSA at all: modules differ in the
 * hashes they know.
 */
#include "hsm/pkcs11.h"

#include "crypto/kdf.h"
#include "crypto/public_key.h"

#include <string.h>

/* RFC 8017, section 9.2, note 1. */
static const uint8_t digest_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                      0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                      0x01, 0x05, 0x00, 0x04, 0x20};

#define INFO_SIZE (sizeof(digest_info) + SDES_HSM_DIGEST_SIZE)

_Static_assert(SDES_P256_POINT_SIZE <= sizeof(((SdesHsmPublic *) 0)->data) &&
                   SDES_P256_SIGNATURE_SIZE <= sizeof(((SdesHsmPublic *) 0)->data),
               "SdesHsmPublic is too small");

/* Finds a pair and checks its attributes. */
static SdesStatus
find_key(SdesHsm *hsm, CK_SESSION_HANDLE handle, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
         SdesPkcs11Key *key, SdesHsmFault *fault)
{
	SdesStatus status;

	memset(key, 0, sizeof(*key));
	memcpy(key->id, id, sizeof(key->id));
	status = sdes_pkcs11_key_open(hsm, handle, key, fault);
	if (status == SDES_OK && key->kind == SDES_HSM_AES_256)
		status =
		    sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_UNSAFE, "the key has no public half");
	return status;
}

/* Of a key on P-256 it is what the token says, see above. */
static SdesStatus
read_public_key(SdesHsm *hsm, CK_SESSION_HANDLE handle, const SdesPkcs11Key *key,
                SdesHsmPublic *out, SdesHsmFault *fault)
{
	CK_OBJECT_HANDLE object;
	SdesStatus status;

	if (key->kind != SDES_HSM_P256_SIGN)
	{
		out->size = SDES_HSM_RSA_SIZE;
		return sdes_pkcs11_read_modulus(hsm, handle, key->handle, out->data, fault);
	}
	status = sdes_pkcs11_find_point(hsm, handle, key->id, &object, fault);
	return status == SDES_OK ? sdes_pkcs11_read_point(hsm, handle, object, out, fault)
	                         : status;
}

static bool
verifies(const SdesPkcs11Key *key, const SdesHsmPublic *public,
         const uint8_t digest[SDES_HSM_DIGEST_SIZE], const SdesHsmPublic *signature)
{
	SdesBytes bytes = sdes_bytes(public->data, public->size);
	SdesPublicKey *verifier;
	SdesStatus status = key->kind == SDES_HSM_P256_SIGN
	                        ? sdes_public_key_of_point(bytes, &verifier)
	                        : sdes_public_key_new(bytes, &verifier);
	bool good =
	    status == SDES_OK &&
	    sdes_public_key_verify(verifier, digest,
	                           sdes_bytes(signature->data, signature->size)) == SDES_OK;

	sdes_public_key_free(verifier);
	return good;
}

/* What the token is given to sign, and how; its size. */
static CK_ULONG
make_input(const SdesPkcs11Key *key, const uint8_t digest[SDES_HSM_DIGEST_SIZE],
           CK_MECHANISM *mechanism, uint8_t input[INFO_SIZE])
{
	CK_ULONG size = 0;

	*mechanism = (CK_MECHANISM){CKM_ECDSA, NULL, 0};
	if (key->kind != SDES_HSM_P256_SIGN)
	{
		mechanism->mechanism = CKM_RSA_PKCS;
		size = sizeof(digest_info);
		memcpy(input, digest_info, size);
	}
	memcpy(input + size, digest, SDES_HSM_DIGEST_SIZE);
	return size + SDES_HSM_DIGEST_SIZE;
}

static SdesStatus
sign_with(SdesHsm *hsm, CK_SESSION_HANDLE handle, const SdesPkcs11Key *key,
          const uint8_t digest[SDES_HSM_DIGEST_SIZE], SdesHsmPublic *public,
          SdesHsmPublic *signature, SdesHsmFault *fault)
{
	CK_MECHANISM mechanism;
	uint8_t input[INFO_SIZE];
	CK_ULONG input_size = make_input(key, digest, &mechanism, input);
	CK_ULONG size = sizeof(signature->data);
	SdesStatus status;
	CK_RV rv;

	if (key->usage != CKF_SIGN)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_UNSAFE, "the key is not for signing");
	status = read_public_key(hsm, handle, key, public, fault);
	if (status != SDES_OK)
		return status;
	rv = hsm->p11->C_SignInit(handle, &mechanism, key->handle);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_SignInit", rv);
	rv = hsm->p11->C_Sign(handle, input, input_size, signature->data, &size);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_Sign", rv);
	signature->size = size;
	if (size > sizeof(signature->data) || !verifies(key, public, digest, signature))
		return sdes_hsm_fault(fault, SDES_ERR_HSM, "the token made a wrong signature");
	return SDES_OK;
}

/* Signs what nobody has asked for: the key signs, and public is its public half. */
static SdesStatus
prove(SdesHsm *hsm, CK_SESSION_HANDLE handle, const SdesPkcs11Key *key,
      SdesHsmPublic *public, SdesHsmFault *fault)
{
	uint8_t digest[SDES_HSM_DIGEST_SIZE];
	SdesHsmPublic signature;
	SdesStatus status = sdes_random(digest, sizeof(digest));

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no random bytes");
	return sign_with(hsm, handle, key, digest, public, &signature, fault);
}

SdesStatus
sdes_pkcs11_sign(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                 const uint8_t digest[SDES_HSM_DIGEST_SIZE], SdesHsmPublic *signature,
                 SdesHsmFault *fault)
{
	SdesPkcs11Key key;
	SdesHsmPublic public;
	SdesStatus status = find_key(session->hsm, session->handle, id, &key, fault);

	if (status == SDES_OK)
		status = sign_with(session->hsm, session->handle, &key, digest, &public, signature,
		                   fault);
	return status;
}

SdesStatus
sdes_pkcs11_public_key(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                       SdesHsmPublic *out, SdesHsmFault *fault)
{
	SdesPkcs11Key key;
	SdesStatus status = find_key(session->hsm, session->handle, id, &key, fault);

	if (status != SDES_OK)
		return status;
	return key.kind == SDES_HSM_P256_SIGN
	           ? prove(session->hsm, session->handle, &key, out, fault)
	           : read_public_key(session->hsm, session->handle, &key, out, fault);
}

static SdesStatus
generate_and_prove(SdesHsm *hsm, CK_SESSION_HANDLE handle, const SdesHsmNewKek *spec,
                   const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault)
{
	SdesHsmPublic public;
	SdesPkcs11Key key;
	SdesStatus status = sdes_pkcs11_generate_signer(hsm, handle, spec, id, fault);

	if (status == SDES_OK)
		status = find_key(hsm, handle, id, &key, fault);
	return status == SDES_OK ? prove(hsm, handle, &key, &public, fault) : status;
}

static bool
offers(const SdesHsm *hsm, CK_MECHANISM_TYPE mechanism, CK_FLAGS flag)
{
	CK_MECHANISM_INFO info;

	return hsm->p11->C_GetMechanismInfo(hsm->slot, mechanism, &info) == CKR_OK &&
	       (info.flags & flag) != 0;
}

SdesStatus
sdes_pkcs11_signer_create(SdesHsmSession *session, const SdesHsmNewKek *spec,
                          uint8_t id[SDES_HSM_KEY_ID_SIZE], const char **mechanism,
                          SdesHsmFault *fault)
{
	SdesHsm *hsm = session->hsm;
	bool rsa = spec->kind == SDES_HSM_RSA_4096_SIGN;
	CK_SESSION_HANDLE handle;
	SdesStatus status;

	if (rsa ? !offers(hsm, CKM_RSA_PKCS, CKF_SIGN)
	        : !offers(hsm, CKM_ECDSA, CKF_SIGN) ||
	              !offers(hsm, CKM_EC_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR))
		return sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                      "the token does not sign by %s", rsa ? "RSA-PKCS" : "ECDSA");
	status = sdes_pkcs11_session(hsm, true, &handle, fault);
	if (status != SDES_OK)
		return status;
	status = generate_and_prove(hsm, handle, spec, id, fault);
	hsm->p11->C_CloseSession(handle);
	if (status != SDES_OK)
		sdes_pkcs11_destroy_failed(hsm, id);
	else
		*mechanism = rsa ? "RSA-PKCS1-SHA256" : "ECDSA-P256-SHA256";
	return status;
}
