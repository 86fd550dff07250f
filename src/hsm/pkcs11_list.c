/*
 * pkcs11_list.c
 *		The ids of the KEKs whose label begins with a prefix, in order, a page
 *		at a time. Tokens return objects in any order, so each page looks at all.
 */
#include "hsm/pkcs11.h"

#include <string.h>

#define FIND_BATCH 32
#define LABEL_ROOM 256 /* longer labels are not ours, see SDES_LABEL_MAX */

/* Says of a key that it is not one of ours by its shape, or is gone meanwhile. */
static bool
is_another(CK_RV rv)
{
	return rv == CKR_BUFFER_TOO_SMALL || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
	       rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_OBJECT_HANDLE_INVALID;
}

/* Inserts id into the sorted list, dropping the greatest when it is full. */
static void
insert_id(SdesHsmKekList *list, const uint8_t id[SDES_HSM_KEY_ID_SIZE])
{
	size_t at = 0;

	while (at < list->count && memcmp(list->ids[at], id, SDES_HSM_KEY_ID_SIZE) < 0)
		at++;
	if (at == list->max ||
	    (at < list->count && memcmp(list->ids[at], id, SDES_HSM_KEY_ID_SIZE) == 0))
		return;
	if (list->count < list->max)
		list->count++;
	memmove(list->ids[at + 1], list->ids[at],
	        (list->count - 1 - at) * SDES_HSM_KEY_ID_SIZE);
	memcpy(list->ids[at], id, SDES_HSM_KEY_ID_SIZE);
}

/* Takes a key into the list if it belongs there. */
static CK_RV
consider(SdesHsmSession *session, CK_OBJECT_HANDLE key, const char *prefix,
         const uint8_t after[SDES_HSM_KEY_ID_SIZE], SdesHsmKekList *list)
{
	uint8_t id[SDES_HSM_KEY_ID_SIZE];
	char label[LABEL_ROOM];
	CK_ATTRIBUTE names[] = {
	    {CKA_ID, id, sizeof(id)},
	    {CKA_LABEL, label, sizeof(label)},
	};
	CK_RV rv = session->hsm->p11->C_GetAttributeValue(session->handle, key, names, 2);

	if (rv != CKR_OK)
		return is_another(rv) ? CKR_OK : rv;
	if (names[0].ulValueLen == sizeof(id) && names[1].ulValueLen >= strlen(prefix) &&
	    names[1].ulValueLen <= sizeof(label) &&
	    memcmp(label, prefix, strlen(prefix)) == 0 && memcmp(id, after, sizeof(id)) > 0)
		insert_id(list, id);
	return CKR_OK;
}

/* Reading attributes while the search is active is allowed (PKCS#11 v2.40, 5.7). */
static SdesStatus
list_class(SdesHsmSession *session, CK_OBJECT_CLASS class, CK_KEY_TYPE type,
           const char *prefix, const uint8_t after[SDES_HSM_KEY_ID_SIZE],
           SdesHsmKekList *list, SdesHsmFault *fault)
{
	CK_ATTRIBUTE template[] = {
	    SDES_PKCS11_ATTRIBUTE(CKA_CLASS, class),
	    SDES_PKCS11_ATTRIBUTE(CKA_KEY_TYPE, type),
	};
	CK_FUNCTION_LIST_PTR p11 = session->hsm->p11;
	CK_OBJECT_HANDLE found[FIND_BATCH];
	CK_ULONG count = 0;
	const char *call = "C_FindObjects";
	CK_RV rv = p11->C_FindObjectsInit(session->handle, template, 2);

	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_FindObjectsInit", rv);
	do
	{
		rv = p11->C_FindObjects(session->handle, found, FIND_BATCH, &count);
		for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++)
		{
			rv = consider(session, found[i], prefix, after, list);
			if (rv != CKR_OK)
				call = "C_GetAttributeValue";
		}
	} while (rv == CKR_OK && count > 0);
	p11->C_FindObjectsFinal(session->handle);
	return rv == CKR_OK ? SDES_OK : sdes_pkcs11_failed(fault, call, rv);
}

SdesStatus
sdes_pkcs11_kek_list(SdesHsmSession *session, const char *prefix,
                     const uint8_t after[SDES_HSM_KEY_ID_SIZE], SdesHsmKekList *list,
                     SdesHsmFault *fault)
{
	SdesStatus status;

	list->count = 0;
	status = list_class(session, CKO_SECRET_KEY, CKK_AES, prefix, after, list, fault);
	if (status == SDES_OK)
		status = list_class(session, CKO_PRIVATE_KEY, CKK_RSA, prefix, after, list, fault);
	if (status == SDES_OK)
		status = list_class(session, CKO_PRIVATE_KEY, CKK_EC, prefix, after, list, fault);
	return status;
}
