/*
 * pkcs11_sign.c
 *		RSA keys that sign: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2).
 *
 * Invariant: a signature leaves this file only after it was verified here, under the
 * public key that the private object in the token tells: what a sick token signs
 * would be found out at the other site, when it is too late.
 *
 * The token gets the DigestInfo (section 9.2) and pads by CKM_RSA_PKCS, which every
 * module has that signs with RSA at all; modules differ in the hashes they know.
 */
#include "hsm/pkcs11.h"

#include "crypto/kdf.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#define MECHANISM_NAME "RSA-PKCS1-SHA256"

/* RFC 8017, section 9.2, note 1. */
static const uint8_t digest_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                      0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                      0x01, 0x05, 0x00, 0x04, 0x20};

#define INFO_SIZE (sizeof(digest_info) + SDES_HSM_DIGEST_SIZE)

/* Finds an RSA key and checks its attributes. */
static SdesStatus
find_key(SdesHsm *hsm, CK_SESSION_HANDLE handle, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
         SdesPkcs11Key *key, SdesHsmFault *fault)
{
	SdesStatus status;

	memset(key, 0, sizeof(*key));
	memcpy(key->id, id, sizeof(key->id));
	status = sdes_pkcs11_key_open(hsm, handle, key, fault);
	if (status == SDES_OK && key->kind != SDES_HSM_RSA_4096)
		status = sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_UNSAFE, "the key is no RSA key");
	return status;
}

static bool
verifies(const uint8_t modulus[SDES_HSM_RSA_SIZE],
         const uint8_t digest[SDES_HSM_DIGEST_SIZE],
         const uint8_t signature[SDES_HSM_RSA_SIZE])
{
	EVP_PKEY *key = sdes_pkcs11_public_of(modulus);
	EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
	bool good = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
	            EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
	            EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
	            EVP_PKEY_verify(ctx, signature, SDES_HSM_RSA_SIZE, digest,
	                            SDES_HSM_DIGEST_SIZE) == 1;

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return good;
}

static SdesStatus
sign_with(SdesHsm *hsm, CK_SESSION_HANDLE handle, const SdesPkcs11Key *key,
          const uint8_t digest[SDES_HSM_DIGEST_SIZE], uint8_t signature[SDES_HSM_RSA_SIZE],
          SdesHsmFault *fault)
{
	CK_MECHANISM mechanism = {CKM_RSA_PKCS, NULL, 0};
	CK_ULONG size = SDES_HSM_RSA_SIZE;
	uint8_t info[INFO_SIZE], modulus[SDES_HSM_RSA_SIZE];
	SdesStatus status;
	CK_RV rv;

	if (key->usage != CKF_SIGN)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_UNSAFE, "the key is not for signing");
	status = sdes_pkcs11_read_modulus(hsm, handle, key->handle, modulus, fault);
	if (status != SDES_OK)
		return status;
	memcpy(info, digest_info, sizeof(digest_info));
	memcpy(info + sizeof(digest_info), digest, SDES_HSM_DIGEST_SIZE);
	rv = hsm->p11->C_SignInit(handle, &mechanism, key->handle);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_SignInit", rv);
	rv = hsm->p11->C_Sign(handle, info, sizeof(info), signature, &size);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_Sign", rv);
	if (size != SDES_HSM_RSA_SIZE || !verifies(modulus, digest, signature))
		return sdes_hsm_fault(fault, SDES_ERR_HSM, "the token made a wrong signature");
	return SDES_OK;
}

SdesStatus
sdes_pkcs11_sign(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                 const uint8_t digest[SDES_HSM_DIGEST_SIZE],
                 uint8_t signature[SDES_HSM_RSA_SIZE], SdesHsmFault *fault)
{
	SdesPkcs11Key key;
	SdesStatus status = find_key(session->hsm, session->handle, id, &key, fault);

	if (status == SDES_OK)
		status = sign_with(session->hsm, session->handle, &key, digest, signature, fault);
	return status;
}

SdesStatus
sdes_pkcs11_public_key(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                       uint8_t modulus[SDES_HSM_RSA_SIZE], SdesHsmFault *fault)
{
	SdesPkcs11Key key;
	SdesStatus status = find_key(session->hsm, session->handle, id, &key, fault);

	if (status == SDES_OK)
		status = sdes_pkcs11_read_modulus(session->hsm, session->handle, key.handle,
		                                  modulus, fault);
	return status;
}

static SdesStatus
generate_and_prove(SdesHsm *hsm, CK_SESSION_HANDLE handle, const char *label,
                   const uint8_t id[SDES_HSM_KEY_ID_SIZE], SdesHsmFault *fault)
{
	uint8_t digest[SDES_HSM_DIGEST_SIZE], signature[SDES_HSM_RSA_SIZE];
	SdesPkcs11Key key;
	SdesStatus status = sdes_pkcs11_generate_signer(hsm, handle, label, id, fault);

	if (status == SDES_OK)
		status = find_key(hsm, handle, id, &key, fault);
	if (status != SDES_OK)
		return status;
	status = sdes_random(digest, sizeof(digest));
	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no random bytes");
	return sign_with(hsm, handle, &key, digest, signature, fault);
}

SdesStatus
sdes_pkcs11_signer_create(SdesHsmSession *session, const char *label,
                          uint8_t id[SDES_HSM_KEY_ID_SIZE], const char **mechanism,
                          SdesHsmFault *fault)
{
	SdesHsm *hsm = session->hsm;
	CK_MECHANISM_INFO offered;
	CK_SESSION_HANDLE handle;
	SdesStatus status;

	if (hsm->p11->C_GetMechanismInfo(hsm->slot, CKM_RSA_PKCS, &offered) != CKR_OK ||
	    (offered.flags & CKF_SIGN) == 0)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                      "the token does not sign by RSA-PKCS");
	status = sdes_pkcs11_session(hsm, true, &handle, fault);
	if (status != SDES_OK)
		return status;
	status = generate_and_prove(hsm, handle, label, id, fault);
	hsm->p11->C_CloseSession(handle);
	if (status != SDES_OK)
		sdes_pkcs11_destroy_failed(hsm, id);
	else
		*mechanism = MECHANISM_NAME;
	return status;
}
