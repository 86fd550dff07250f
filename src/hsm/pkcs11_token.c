/*
 * pkcs11_token.c
 *		Finding the token by its PKCS#11 URI (RFC 7512), logging in, sessions.
 *
 * Invariant: a token is chosen by what it says of itself, never by a slot
 * number, and only when exactly one matches.
 */
#include "hsm/pkcs11.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The ids of the slots that hold a token; the caller frees *slots. */
static SdesStatus
token_slots(CK_FUNCTION_LIST_PTR p11, CK_SLOT_ID **slots, CK_ULONG *nslots,
            SdesHsmFault *fault)
{
	CK_ULONG room = 0;
	CK_RV rv = p11->C_GetSlotList(CK_TRUE, NULL, &room);

	*slots = NULL;
	*nslots = 0;
	if (rv == CKR_OK && room > 0)
	{
		*slots = calloc(room, sizeof(**slots));
		if (*slots == NULL)
			return sdes_hsm_fault(fault, SDES_ERR_MEMORY, "no memory");
		*nslots = room;
		rv = p11->C_GetSlotList(CK_TRUE, *slots, nslots);
	}
	if (rv == CKR_OK)
		return SDES_OK;
	/* CKR_BUFFER_TOO_SMALL: a token was put in just now. The agent tries again. */
	free(*slots);
	*slots = NULL;
	return sdes_pkcs11_failed_as(fault, SDES_ERR_HSM_TOKEN, "C_GetSlotList", rv);
}

static bool
slot_matches(SdesHsm *hsm, P11KitUri *uri, CK_SLOT_ID slot)
{
	CK_SLOT_INFO slot_info;
	CK_TOKEN_INFO token_info;

	/* A slot that cannot be asked holds no token we could use. */
	return hsm->p11->C_GetSlotInfo(slot, &slot_info) == CKR_OK &&
	       hsm->p11->C_GetTokenInfo(slot, &token_info) == CKR_OK &&
	       p11_kit_uri_match_module_info(uri, &hsm->info) &&
	       p11_kit_uri_match_slot_info(uri, &slot_info) &&
	       p11_kit_uri_match_token_info(uri, &token_info);
}

static SdesStatus
choose_slot(SdesHsm *hsm, P11KitUri *uri, SdesHsmFault *fault)
{
	CK_SLOT_ID *slots;
	CK_ULONG nslots, matches = 0;
	SdesStatus status = token_slots(hsm->p11, &slots, &nslots, fault);

	if (status != SDES_OK)
		return status;
	for (CK_ULONG i = 0; i < nslots; i++)
	{
		if (!slot_matches(hsm, uri, slots[i]))
			continue;
		hsm->slot = slots[i];
		matches++;
	}
	free(slots);
	if (matches == 0)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_TOKEN,
		                      "no token matches the URI (%lu looked at)", nslots);
	if (matches > 1)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_TOKEN,
		                      "%lu tokens match the URI: add the serial number", matches);
	return SDES_OK;
}

SdesStatus
sdes_pkcs11_find_token(SdesHsm *hsm, const char *uri, SdesHsmFault *fault)
{
	P11KitUri *parsed = p11_kit_uri_new();
	SdesStatus status;
	int result;

	if (parsed == NULL)
		return sdes_hsm_fault(fault, SDES_ERR_MEMORY, "no memory");
	result = p11_kit_uri_parse(uri, P11_KIT_URI_FOR_ANY, parsed);
	if (result != P11_KIT_URI_OK)
		status = sdes_hsm_fault(fault, SDES_ERR_HSM_TOKEN, "the URI is not valid: %s",
		                        p11_kit_uri_message(result));
	else
		status = choose_slot(hsm, parsed, fault);
	p11_kit_uri_free(parsed);
	return status;
}

/* Copies a blank-padded PKCS#11 field; out holds one byte more than the field. */
static void
copy_field(char *out, const unsigned char *field, size_t size)
{
	size_t length = p11_kit_space_strlen(field, size);

	memcpy(out, field, length);
	out[length] = '\0';
	/* A module may put anything there, and it goes into logs. */
	for (size_t i = 0; i < length; i++)
	{
		if ((unsigned char) out[i] < 0x20 || out[i] == 0x7f)
			out[i] = '?';
	}
}

SdesStatus
sdes_pkcs11_token_info(SdesHsm *hsm, SdesHsmTokenInfo *out, SdesHsmFault *fault)
{
	CK_TOKEN_INFO info;
	char library[sizeof(hsm->info.libraryDescription) + 1];
	CK_RV rv = hsm->p11->C_GetTokenInfo(hsm->slot, &info);

	memset(out, 0, sizeof(*out));
	if (rv != CKR_OK)
		return sdes_pkcs11_failed_as(fault, SDES_ERR_HSM_TOKEN, "C_GetTokenInfo", rv);
	copy_field(library, hsm->info.libraryDescription, sizeof(library) - 1);
	snprintf(out->module, sizeof(out->module), "%s %d.%d", library,
	         hsm->info.libraryVersion.major, hsm->info.libraryVersion.minor);
	copy_field(out->label, info.label, sizeof(info.label));
	copy_field(out->serial, info.serialNumber, sizeof(info.serialNumber));
	copy_field(out->model, info.model, sizeof(info.model));
	out->login_required = (info.flags & CKF_LOGIN_REQUIRED) != 0;
	out->pin_count_low = (info.flags & CKF_USER_PIN_COUNT_LOW) != 0;
	out->pin_final_try = (info.flags & CKF_USER_PIN_FINAL_TRY) != 0;
	out->pin_locked = (info.flags & CKF_USER_PIN_LOCKED) != 0;
	return SDES_OK;
}

SdesStatus
sdes_pkcs11_session(SdesHsm *hsm, bool writable, CK_SESSION_HANDLE *out,
                    SdesHsmFault *fault)
{
	CK_FLAGS flags = CKF_SERIAL_SESSION | (writable ? CKF_RW_SESSION : 0);
	CK_RV rv = hsm->p11->C_OpenSession(hsm->slot, flags, NULL, NULL, out);

	return rv == CKR_OK ? SDES_OK : sdes_pkcs11_failed(fault, "C_OpenSession", rv);
}

/*
 * What else is said of a PIN, or of the user it is for: trying again would not
 * help, and might count (PKCS#11 v2.40, 11.1.3 and 11.6).
 */
static bool
refuses_pin(CK_RV rv)
{
	return rv == CKR_ARGUMENTS_BAD || rv == CKR_USER_PIN_NOT_INITIALIZED ||
	       rv == CKR_USER_TYPE_INVALID || rv == CKR_USER_TOO_MANY_TYPES ||
	       rv == CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
}

SdesStatus
sdes_pkcs11_login(SdesHsm *hsm, SdesBytes pin, SdesHsmFault *fault)
{
	SdesStatus status;
	CK_RV rv;

	if (hsm->anchor == CK_INVALID_HANDLE)
	{
		status = sdes_pkcs11_session(hsm, false, &hsm->anchor, fault);
		if (status != SDES_OK)
		{
			hsm->anchor = CK_INVALID_HANDLE;
			return status;
		}
	}
	/* The interface is not const; no module writes to the PIN. */
	rv = hsm->p11->C_Login(hsm->anchor, CKU_USER, (CK_UTF8CHAR_PTR) (uintptr_t) pin.data,
	                       pin.size);
	sdes_wipe_dead_stack();
	if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
		return SDES_OK;
	if (refuses_pin(rv))
		return sdes_pkcs11_failed_as(fault, SDES_ERR_HSM_PIN, "C_Login", rv);
	return sdes_pkcs11_failed(fault, "C_Login", rv);
}
