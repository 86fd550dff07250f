/*
 * p11_proxy.c
 *		A PKCS#11 module that passes calls on to another one, writes down each
 *		with its result, and misbehaves when told to.
 *
 *		SDES_PROXY_MODULE	the module behind
 *		SDES_PROXY_INIT_ARGS	if it is set, that module gets pReserved, too
 *		SDES_PROXY_LOG		file that gets a line "C_Login 0xa0" per call
 *		SDES_PROXY_CONTROL	file of rules, read at each call; none without it:
 *			C_Decrypt hang			until the rule is gone
 *			C_Decrypt segv
 *			C_Decrypt delay 500		milliseconds, then pass on
 *			C_Decrypt 0x30			return this CKR, do not pass on
 *			C_Decrypt short			say CKR_BUFFER_TOO_SMALL, whatever the size
 *			C_Decrypt less			one byte less than there was to return
 *			C_Decrypt torn			the last byte is not written
 *			C_Decrypt wrong			the first byte is not what it should be
 *			C_FindObjects stale		nothing, until C_Initialize is called again
 *			C_GetTokenInfo set 0x10000		these flags are on
 *			C_GetAttributeValue flip 0x162	this boolean attribute is inverted
 *			C_GetMechanismInfo deny 0x1087	no function knows this mechanism
 *			C_EncryptInit deny 0x1087		this one does not
 *		After hang, delay, a CKR, short, less, torn and wrong:
 *			3				the next three calls only, counted from when the
 *							file was written last
 *			every 3			each third call
 *
 * The first rule for a function that applies counts. Only the functions that the
 * agent uses, or may come to use, are wrapped.
 */
#include "p11_rules.h"

#include <dlfcn.h>

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST list;

#define WRAP(name, parameters, arguments)                                                  \
	static CK_RV proxy_##name parameters                                                   \
	{                                                                                      \
		Rule rule;                                                                         \
		CK_RV rv;                                                                          \
                                                                                           \
		if (!intervene(#name, &rule, &rv))                                                 \
			rv = real->name arguments;                                                     \
		record(#name, rv, "");                                                             \
		return rv;                                                                         \
	}

/* A function with a mechanism m, which may be denied. */
#define WRAP_MECHANISM(name, parameters, arguments)                                        \
	static CK_RV proxy_##name parameters                                                   \
	{                                                                                      \
		Rule rule;                                                                         \
		CK_RV rv = CKR_MECHANISM_INVALID;                                                  \
                                                                                           \
		if (!intervene(#name, &rule, &rv) && !denied(#name, m->mechanism))                 \
			rv = real->name arguments;                                                     \
		record(#name, rv, "");                                                             \
		return rv;                                                                         \
	}

/* A function that writes to out as many bytes as *n says. */
#define WRAP_OUTPUT(name, parameters, arguments)                                           \
	static CK_RV proxy_##name parameters                                                   \
	{                                                                                      \
		Rule rule;                                                                         \
		CK_RV rv;                                                                          \
                                                                                           \
		if (!intervene(#name, &rule, &rv))                                                 \
		{                                                                                  \
			rv = real->name arguments;                                                     \
			if (rv == CKR_OK)                                                              \
				spoil(&rule, out, n);                                                      \
		}                                                                                  \
		record(#name, rv, "");                                                             \
		return rv;                                                                         \
	}

WRAP(C_Finalize, (void *reserved), (reserved))
WRAP(C_GetInfo, (CK_INFO_PTR info), (info))
WRAP(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR n),
     (present, slots, n))
WRAP(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO_PTR info), (slot, info))
WRAP(C_GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR types, CK_ULONG_PTR n),
     (slot, types, n))
WRAP(C_OpenSession,
     (CK_SLOT_ID slot, CK_FLAGS flags, void *data, CK_NOTIFY notify,
      CK_SESSION_HANDLE_PTR s),
     (slot, flags, data, notify, s))
WRAP(C_CloseSession, (CK_SESSION_HANDLE s), (s))
WRAP(C_CloseAllSessions, (CK_SLOT_ID slot), (slot))
WRAP(C_GetSessionInfo, (CK_SESSION_HANDLE s, CK_SESSION_INFO_PTR info), (s, info))
WRAP(C_Login, (CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG size),
     (s, user, pin, size))
WRAP(C_Logout, (CK_SESSION_HANDLE s), (s))
WRAP(C_CreateObject,
     (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR o),
     (s, t, n, o))
WRAP(C_DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o), (s, o))
WRAP(C_SetAttributeValue,
     (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n),
     (s, o, t, n))
WRAP(C_FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, t, n))
WRAP(C_FindObjectsFinal, (CK_SESSION_HANDLE s), (s))

WRAP_MECHANISM(C_GenerateKey,
               (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR t, CK_ULONG n,
                CK_OBJECT_HANDLE_PTR key),
               (s, m, t, n, key))
WRAP_MECHANISM(C_GenerateKeyPair,
               (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR public,
                CK_ULONG npublic, CK_ATTRIBUTE_PTR private, CK_ULONG nprivate,
                CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key),
               (s, m, public, npublic, private, nprivate, public_key, private_key))
WRAP_MECHANISM(C_UnwrapKey,
               (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k, CK_BYTE_PTR in,
                CK_ULONG size, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR key),
               (s, m, k, in, size, t, n, key))
WRAP_MECHANISM(C_EncryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k),
               (s, m, k))
WRAP_MECHANISM(C_DecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k),
               (s, m, k))
WRAP_MECHANISM(C_SignInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k),
               (s, m, k))

WRAP_OUTPUT(C_Encrypt,
            (CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG size, CK_BYTE_PTR out,
             CK_ULONG_PTR n),
            (s, in, size, out, n))
WRAP_OUTPUT(C_Decrypt,
            (CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG size, CK_BYTE_PTR out,
             CK_ULONG_PTR n),
            (s, in, size, out, n))
WRAP_OUTPUT(C_Sign,
            (CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG size, CK_BYTE_PTR out,
             CK_ULONG_PTR n),
            (s, in, size, out, n))

static CK_RV
proxy_C_WrapKey(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE wrapping,
                CK_OBJECT_HANDLE key, CK_BYTE_PTR out, CK_ULONG_PTR n)
{
	CK_RV rv = CKR_MECHANISM_INVALID;
	Rule rule;

	if (!intervene("C_WrapKey", &rule, &rv) && !denied("C_WrapKey", m->mechanism))
	{
		rv = real->C_WrapKey(s, m, wrapping, key, out, n);
		if (rv == CKR_OK)
			spoil(&rule, out, n);
	}
	record("C_WrapKey", rv, "");
	return rv;
}

static CK_RV
proxy_C_GenerateRandom(CK_SESSION_HANDLE s, CK_BYTE_PTR out, CK_ULONG size)
{
	CK_RV rv;
	Rule rule;

	if (!intervene("C_GenerateRandom", &rule, &rv))
	{
		rv = real->C_GenerateRandom(s, out, size);
		if (rv == CKR_OK)
			spoil(&rule, out, &size);
	}
	record("C_GenerateRandom", rv, "");
	return rv;
}

static CK_RV
proxy_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type,
                         CK_MECHANISM_INFO_PTR info)
{
	CK_RV rv = CKR_MECHANISM_INVALID;
	Rule rule;

	if (!intervene("C_GetMechanismInfo", &rule, &rv) && !denied("C_GetMechanismInfo", type))
		rv = real->C_GetMechanismInfo(slot, type, info);
	record("C_GetMechanismInfo", rv, "");
	return rv;
}

static CK_RV
proxy_C_FindObjects(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR o, CK_ULONG max,
                    CK_ULONG_PTR n)
{
	CK_RV rv;
	Rule rule;

	if (!intervene("C_FindObjects", &rule, &rv))
		rv = real->C_FindObjects(s, o, max, n);
	if (rv == CKR_OK && strcmp(rule.action, "stale") == 0 && !initialized_since())
		*n = 0;
	record("C_FindObjects", rv, "");
	return rv;
}

/*
 * The argument is written down, and passed on only to a module that wants one.
 * NSS's has a pointer more than the standard's, see sdes_pkcs11_initialize().
 */
static CK_RV
proxy_C_Initialize(void *arguments)
{
	struct
	{
		CK_C_INITIALIZE_ARGS standard;
		void *beyond;
	} args = {*(CK_C_INITIALIZE_ARGS *) arguments, NULL};
	const char *reserved = args.standard.pReserved;
	Rule rule;
	CK_RV rv;

	if (getenv("SDES_PROXY_INIT_ARGS") == NULL)
		args.standard.pReserved = NULL;
	note_initialize();
	if (!intervene("C_Initialize", &rule, &rv))
		rv = real->C_Initialize(&args);
	record("C_Initialize", rv, reserved != NULL ? reserved : "");
	return rv;
}

static CK_RV
proxy_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	Rule rule;
	CK_RV rv;

	if (!intervene("C_GetTokenInfo", &rule, &rv))
		rv = real->C_GetTokenInfo(slot, info);
	if (rv == CKR_OK && strcmp(rule.action, "set") == 0)
		info->flags |= rule.number;
	record("C_GetTokenInfo", rv, "");
	return rv;
}

static CK_RV
proxy_C_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t,
                          CK_ULONG n)
{
	Rule rule;
	CK_RV rv;

	if (!intervene("C_GetAttributeValue", &rule, &rv))
		rv = real->C_GetAttributeValue(s, o, t, n);
	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++)
	{
		if (strcmp(rule.action, "flip") == 0 && t[i].type == rule.number)
			*(CK_BBOOL *) t[i].pValue ^= 1;
	}
	record("C_GetAttributeValue", rv, "");
	return rv;
}

static void
wrap_all(void)
{
	list = *real;
#define USE(name) list.name = proxy_##name
	USE(C_Initialize);
	USE(C_Finalize);
	USE(C_GetInfo);
	USE(C_GetSlotList);
	USE(C_GetSlotInfo);
	USE(C_GetTokenInfo);
	USE(C_GetMechanismList);
	USE(C_GetMechanismInfo);
	USE(C_OpenSession);
	USE(C_CloseSession);
	USE(C_CloseAllSessions);
	USE(C_GetSessionInfo);
	USE(C_Login);
	USE(C_Logout);
	USE(C_CreateObject);
	USE(C_DestroyObject);
	USE(C_GetAttributeValue);
	USE(C_SetAttributeValue);
	USE(C_FindObjectsInit);
	USE(C_FindObjects);
	USE(C_FindObjectsFinal);
	USE(C_EncryptInit);
	USE(C_Encrypt);
	USE(C_DecryptInit);
	USE(C_Decrypt);
	USE(C_SignInit);
	USE(C_Sign);
	USE(C_GenerateKey);
	USE(C_GenerateKeyPair);
	USE(C_WrapKey);
	USE(C_UnwrapKey);
	USE(C_GenerateRandom);
#undef USE
}

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out)
{
	const char *path = getenv("SDES_PROXY_MODULE");
	void *library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get_list;
	CK_RV rv;

	if (library == NULL)
		return CKR_GENERAL_ERROR;
	*(void **) &get_list = dlsym(library, "C_GetFunctionList");
	rv = get_list == NULL ? CKR_GENERAL_ERROR : get_list(&real);
	if (rv == CKR_OK)
	{
		wrap_all();
		*out = &list;
	}
	return rv;
}
