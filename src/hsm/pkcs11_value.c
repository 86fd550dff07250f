/*
 * pkcs11_value.c
 *		Values that are sealed and opened in the token, under a key that never
 *		leaves it.
 *
 * Invariant: a session seals nothing under a key before the two have done a
 * round trip; what cannot be opened again is lost.
 */
#include "hsm/pkcs11.h"

static SdesStatus
seal(const SdesPkcs11Context *context, SdesBytes plaintext, uint8_t *out,
     SdesHsmFault *fault)
{
	SdesStatus status;

	if ((context->key->usage & CKF_ENCRYPT) == 0)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                      "values are sealed by AES-GCM, which this key does not do");
	status = sdes_pkcs11_prove(context->hsm, context->key, sdes_pkcs11_gcm, fault);
	if (status != SDES_OK)
		return status;
	if (context->key->proven != sdes_pkcs11_gcm)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_MECHANISM,
		                      "values are sealed by AES-GCM, this key does %s",
		                      context->key->proven->name);
	return sdes_pkcs11_gcm_seal(context, plaintext, out, fault);
}

SdesStatus
sdes_pkcs11_value_seal(SdesHsmSession *session, const SdesHsmWrap *under,
                       SdesBytes plaintext, uint8_t *out, SdesHsmFault *fault)
{
	SdesPkcs11Context context;
	SdesStatus status;
	int tries = 0;

	do
	{
		status = sdes_pkcs11_session_key(session, under, &context, fault);
		if (status == SDES_OK)
			status = seal(&context, plaintext, out, fault);
	} while (status != SDES_OK && sdes_pkcs11_key_stale(context.key, fault) &&
	         tries++ == 0);
	return status;
}

/* Under a key of another mechanism nothing was ever sealed: no fault of the token's. */
static SdesStatus
open_once(SdesPkcs11Context *context, SdesBytes sealed, uint8_t *out, SdesHsmFault *fault)
{
	SdesStatus status;

	if ((context->key->usage & CKF_ENCRYPT) == 0)
		return sdes_hsm_fault(fault, SDES_ERR_TAG, "this key seals no values");
	context->mechanism = sdes_pkcs11_gcm;
	status = sdes_pkcs11_gcm_open(context, sealed, out, fault);
	return status == SDES_OK ? SDES_OK : sdes_pkcs11_settle_blame(context, status, fault);
}

SdesStatus
sdes_pkcs11_value_open(SdesHsmSession *session, const SdesHsmWrap *under, SdesBytes sealed,
                       uint8_t *out, SdesHsmFault *fault)
{
	SdesPkcs11Context context;
	SdesStatus status;
	int tries = 0;

	do
	{
		status = sdes_pkcs11_session_key(session, under, &context, fault);
		if (status == SDES_OK)
			status = open_once(&context, sealed, out, fault);
	} while (status != SDES_OK && sdes_pkcs11_key_stale(context.key, fault) &&
	         tries++ == 0);
	if (status != SDES_OK)
		sdes_wipe(out, sealed.size);
	return status;
}
