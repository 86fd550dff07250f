/*
 * p11_own_iv.c
 *		A PKCS#11 module that passes calls on to another one, except that its
 *		AES-GCM has views of its own on IVs, as those of several HSMs do.
 *
 *		SDES_PROXY_MODULE	the module behind
 *		SDES_OWN_IV			what it does, read at each call:
 *			filled		wants 12 zeros and puts its IV there: AWS CloudHSM, Thales
 *						ProtectServer 3 in FIPS mode
 *			appended	wants none, puts its IV after the tag: Thales Luna in FIPS
 *						mode, firmware 7.9.3 and later
 *			appended16	the same with 16 bytes: Luna before that
 *			replaced	takes any, uses another, puts that after the tag: Thales
 *						ProtectToolkit 7.0 in FIPS mode
 *			zeros		wants 12 zeros and uses them: no HSM, one hopes
 *			none		wants no IV and uses none: the same
 */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define IV_SIZE 12

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST list;

/* Of the thread's last C_EncryptInit: bytes to put after the tag. */
static __thread CK_BYTE appended[16];
static __thread CK_ULONG nappended;

static bool
mode_is(const char *name)
{
	const char *mode = getenv("SDES_OWN_IV");

	return mode != NULL && strcmp(mode, name) == 0;
}

static CK_RV
init_with(CK_SESSION_HANDLE s, const CK_GCM_PARAMS *asked, CK_BYTE *iv, CK_ULONG size,
          CK_OBJECT_HANDLE key)
{
	CK_GCM_PARAMS params = *asked;
	CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof(params)};

	params.pIv = iv;
	params.ulIvLen = size;
	params.ulIvBits = 8 * size;
	return real->C_EncryptInit(s, &mechanism, key);
}

static bool
is_zeros(const CK_GCM_PARAMS *params)
{
	static const CK_BYTE zeros[IV_SIZE];

	return params->ulIvLen == IV_SIZE && memcmp(params->pIv, zeros, IV_SIZE) == 0;
}

static CK_RV
own_EncryptInit(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
	CK_GCM_PARAMS *params = m->pParameter;

	nappended = 0;
	if (m->mechanism != CKM_AES_GCM || getenv("SDES_OWN_IV") == NULL)
		return real->C_EncryptInit(s, m, key);
	if (mode_is("filled") || mode_is("zeros"))
	{
		if (!is_zeros(params))
			return mode_is("zeros") ? CKR_MECHANISM_PARAM_INVALID : CKR_ARGUMENTS_BAD;
		if (mode_is("filled"))
			real->C_GenerateRandom(s, params->pIv, IV_SIZE);
		return real->C_EncryptInit(s, m, key);
	}
	if (mode_is("replaced"))
		nappended = params->ulIvLen;
	else if (params->ulIvLen != 0 || (mode_is("appended") && params->ulIvBits != 96))
		return CKR_MECHANISM_PARAM_INVALID;
	else if (!mode_is("none"))
		nappended = mode_is("appended16") ? 16 : IV_SIZE;
	memset(appended, 0, sizeof(appended));
	real->C_GenerateRandom(s, appended, nappended);
	return init_with(s, params, appended, mode_is("none") ? IV_SIZE : nappended, key);
}

static CK_RV
own_Encrypt(CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG size, CK_BYTE_PTR out,
            CK_ULONG_PTR used)
{
	CK_ULONG room = *used;
	CK_RV rv;

	if (room < nappended)
		return CKR_BUFFER_TOO_SMALL;
	*used -= nappended;
	rv = real->C_Encrypt(s, in, size, out, used);
	if (rv != CKR_OK)
		return rv;
	memcpy(out + *used, appended, nappended);
	*used += nappended;
	return CKR_OK;
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
	if (rv != CKR_OK)
		return rv;
	list = *real;
	list.C_EncryptInit = own_EncryptInit;
	list.C_Encrypt = own_Encrypt;
	*out = &list;
	return CKR_OK;
}
