/*
 * pkcs11_kek.c
 *		Key encryption keys in the token: make, check, destroy.
 *
 * Invariant: a KEK that this file hands out has the attributes it must have and
 * did a round trip with a mechanism that refuses another AAD. One that has not
 * is destroyed.
 */
#include "hsm/pkcs11.h"

#include "crypto/kdf.h"
#include "crypto/mac.h"

#include <string.h>

/* Finds and proves by that mechanism, NULL: by any; name becomes the mechanism's. */
static SdesStatus
open_and_prove(SdesHsm *hsm, CK_SESSION_HANDLE handle,
               const uint8_t id[SDES_HSM_KEY_ID_SIZE], const SdesPkcs11Mechanism *mechanism,
               const char **name, SdesHsmFault *fault)
{
	SdesPkcs11Key key = {.handle = CK_INVALID_HANDLE};
	SdesStatus status;

	memcpy(key.id, id, sizeof(key.id));
	status = sdes_pkcs11_key_open(hsm, handle, &key, fault);
	if (status == SDES_OK)
		status = sdes_pkcs11_prove(hsm, &key, mechanism, fault);
	if (status == SDES_OK)
		*name = key.proven->name;
	sdes_pkcs11_key_close(&key);
	return status;
}

void
sdes_pkcs11_destroy_failed(SdesHsm *hsm, const uint8_t id[SDES_HSM_KEY_ID_SIZE])
{
	CK_SESSION_HANDLE handle;
	SdesHsmFault unused;

	if (sdes_pkcs11_session(hsm, true, &handle, &unused) != SDES_OK)
		return;
	sdes_pkcs11_key_destroy(hsm, handle, id, &unused);
	hsm->p11->C_CloseSession(handle);
}

static SdesStatus
create_with(SdesHsm *hsm, const SdesPkcs11Mechanism *mechanism, const char *label,
            const uint8_t id[SDES_HSM_KEY_ID_SIZE], const char **name, SdesHsmFault *fault)
{
	CK_SESSION_HANDLE handle;
	SdesStatus status = sdes_pkcs11_session(hsm, true, &handle, fault);

	if (status != SDES_OK)
		return status;
	status = sdes_pkcs11_generate(hsm, handle, mechanism, label, id, fault);
	if (status == SDES_OK)
		status = open_and_prove(hsm, handle, id, mechanism, name, fault);
	hsm->p11->C_CloseSession(handle);
	if (status != SDES_OK)
		sdes_pkcs11_destroy_failed(hsm, id);
	return status;
}

/* What a key may be used for follows from the mechanism, so that comes first. */
SdesStatus
sdes_pkcs11_kek_create(SdesHsmSession *session, const SdesHsmNewKek *spec,
                       uint8_t id[SDES_HSM_KEY_ID_SIZE], const char **mechanism,
                       SdesHsmFault *fault)
{
	SdesHsm *hsm = session->hsm;
	const SdesPkcs11Mechanism *next = NULL;
	SdesStatus status = sdes_random(id, SDES_HSM_KEY_ID_SIZE);

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no random bytes");
	if (spec->kind == SDES_HSM_RSA_4096_SIGN || spec->kind == SDES_HSM_P256_SIGN)
		return sdes_pkcs11_signer_create(session, spec, id, mechanism, fault);
	status = sdes_pkcs11_none_offered(spec, fault);
	while ((next = sdes_pkcs11_next_mechanism(hsm, spec, next)) != NULL)
	{
		status = create_with(hsm, next, spec->label, id, mechanism, fault);
		if (status == SDES_OK || fault->lost)
			break;
	}
	return status;
}

SdesStatus
sdes_pkcs11_kek_check(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                      const char **mechanism, SdesHsmFault *fault)
{
	return open_and_prove(session->hsm, session->handle, id, NULL, mechanism, fault);
}

SdesStatus
sdes_pkcs11_kek_destroy(SdesHsmSession *session, const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                        SdesHsmFault *fault)
{
	SdesHsm *hsm = session->hsm;
	SdesPkcs11Key key = {.handle = CK_INVALID_HANDLE};
	CK_SESSION_HANDLE handle;
	SdesStatus status = sdes_pkcs11_session(hsm, true, &handle, fault);

	if (status != SDES_OK)
		return status;
	memcpy(key.id, id, sizeof(key.id));
	status = sdes_pkcs11_key_find(hsm, handle, &key, fault);
	if (status == SDES_OK)
		status = sdes_pkcs11_key_destroy(hsm, handle, id, fault);
	hsm->p11->C_CloseSession(handle);
	return status;
}
