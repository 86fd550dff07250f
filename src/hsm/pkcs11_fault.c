/*
 * pkcs11_fault.c
 *		What a CK_RV means: a status, a sentence, and whether the session is lost.
 *
 * Invariant: a sentence is made of the function's name, p11-kit's text for the
 * code and the code. Nothing that was passed to the module is in it.
 */
#include "hsm/pkcs11.h"

#include <p11-kit/p11-kit.h>
#include <stdio.h>

static SdesStatus
status_of(CK_RV rv)
{
	switch (rv)
	{
		case CKR_HOST_MEMORY:
			return SDES_ERR_MEMORY;
		case CKR_PIN_INCORRECT:
		case CKR_PIN_INVALID:
		case CKR_PIN_LEN_RANGE:
		case CKR_PIN_EXPIRED:
			return SDES_ERR_HSM_PIN;
		case CKR_PIN_LOCKED:
			return SDES_ERR_HSM_PIN_LOCKED;
		case CKR_MECHANISM_INVALID:
		case CKR_MECHANISM_PARAM_INVALID:
			return SDES_ERR_HSM_MECHANISM;
		default:
			return SDES_ERR_HSM;
	}
}

/* Codes after which a new session, login or C_Initialize may help. */
static bool
is_lost(CK_RV rv)
{
	switch (rv)
	{
		case CKR_SESSION_HANDLE_INVALID:
		case CKR_SESSION_CLOSED:
		case CKR_DEVICE_ERROR:
		case CKR_DEVICE_REMOVED:
		case CKR_TOKEN_NOT_PRESENT:
		case CKR_TOKEN_NOT_RECOGNIZED:
		case CKR_SLOT_ID_INVALID:
		case CKR_USER_NOT_LOGGED_IN:
		case CKR_CRYPTOKI_NOT_INITIALIZED:
			return true;
		default:
			return false;
	}
}

SdesStatus
sdes_pkcs11_failed_as(SdesHsmFault *fault, SdesStatus status, const char *call, CK_RV rv)
{
	fault->code = (uint32_t) rv;
	fault->lost = is_lost(rv);
	snprintf(fault->detail, sizeof(fault->detail), "%s: %s (CKR 0x%lx)", call,
	         p11_kit_strerror(rv), rv);
	return status;
}

SdesStatus
sdes_pkcs11_failed(SdesHsmFault *fault, const char *call, CK_RV rv)
{
	return sdes_pkcs11_failed_as(fault, status_of(rv), call, rv);
}

/* PKCS#11 v3.0, section 3.3 "Return values"; p11-kit 0.24 has it not. */
#ifndef CKR_AEAD_DECRYPT_FAILED
#define CKR_AEAD_DECRYPT_FAILED (0x42UL)
#endif

/* Codes that say the ciphertext is bad, and nothing else. */
static bool
says_tampered(CK_RV rv)
{
	return rv == CKR_ENCRYPTED_DATA_INVALID || rv == CKR_ENCRYPTED_DATA_LEN_RANGE ||
	       rv == CKR_AEAD_DECRYPT_FAILED || rv == CKR_WRAPPED_KEY_INVALID ||
	       rv == CKR_WRAPPED_KEY_LEN_RANGE;
}

/* SoftHSM2: 0x05. */
bool
sdes_pkcs11_may_say_tampered(CK_RV rv)
{
	return rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED || rv == CKR_DATA_INVALID ||
	       rv == CKR_DATA_LEN_RANGE || rv == CKR_SIGNATURE_INVALID;
}

SdesStatus
sdes_pkcs11_open_failed(SdesHsmFault *fault, const char *call, CK_RV rv)
{
	return says_tampered(rv) ? sdes_pkcs11_failed_as(fault, SDES_ERR_TAG, call, rv)
	                         : sdes_pkcs11_failed(fault, call, rv);
}
