/*
 * pkcs11_module.c
 *		Loading and initialising the vendor's module; the provider's table.
 *
 * A module stays loaded until the process ends: many crash when unloaded under
 * a thread of theirs, or leave handlers behind. A new file at the same path is
 * used by the next agent. One thread at a time opens and closes (the agent's
 * manager thread).
 */
#include "hsm/pkcs11.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* What is loaded; touched by the manager thread only. */
static char loaded_path[PATH_MAX];
static CK_FUNCTION_LIST_PTR loaded;

static SdesStatus
load_failed(SdesHsmFault *fault)
{
	const char *reason = dlerror();

	return sdes_hsm_fault(fault, SDES_ERR_HSM_MODULE, "%s",
	                      reason != NULL ? reason : "the module cannot be loaded");
}

SdesStatus
sdes_pkcs11_load(const char *path, CK_FUNCTION_LIST_PTR *out, SdesHsmFault *fault)
{
	CK_C_GetFunctionList get_list;
	void *library;
	CK_RV rv;

	if (loaded == NULL || strcmp(loaded_path, path) != 0)
	{
		if (strlen(path) >= sizeof(loaded_path))
			return sdes_hsm_fault(fault, SDES_ERR_HSM_MODULE, "the path is too long");
		library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (library == NULL)
			return load_failed(fault);
		*(void **) &get_list = dlsym(library, "C_GetFunctionList"); /* dlopen(3) */
		if (get_list == NULL)
			return load_failed(fault);
		rv = get_list(&loaded);
		if (rv != CKR_OK || loaded == NULL)
		{
			loaded = NULL;
			return sdes_pkcs11_failed_as(fault, SDES_ERR_HSM_MODULE, "C_GetFunctionList",
			                             rv);
		}
		strcpy(loaded_path, path);
	}
	*out = loaded;
	return SDES_OK;
}

SdesStatus
sdes_pkcs11_initialize(CK_FUNCTION_LIST_PTR p11, const char *init_args, SdesHsmFault *fault)
{
	/*
	 * NSS has a struct of its own, in which a string stands where pReserved is
	 * and the real pReserved, which must be NULL, one pointer further on.
	 */
	struct
	{
		CK_C_INITIALIZE_ARGS standard;
		void *beyond;
	} args;
	char *reserved = NULL;
	CK_RV rv;

	memset(&args, 0, sizeof(args));
	args.standard.flags = CKF_OS_LOCKING_OK;
	if (init_args[0] != '\0')
	{
		reserved = strdup(init_args); /* the interface is not const */
		if (reserved == NULL)
			return sdes_hsm_fault(fault, SDES_ERR_MEMORY, "no memory");
		args.standard.pReserved = reserved;
	}
	rv = p11->C_Initialize(&args);
	free(reserved);
	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
		return sdes_pkcs11_failed_as(fault, SDES_ERR_HSM_MODULE, "C_Initialize", rv);
	return SDES_OK;
}

static void
hsm_close(SdesHsm *hsm)
{
	if (hsm == NULL)
		return;
	if (hsm->anchor != CK_INVALID_HANDLE)
		hsm->p11->C_CloseSession(hsm->anchor);
	sdes_pkcs11_rsa_close(hsm);
	hsm->p11->C_Finalize(NULL);
	pthread_mutex_destroy(&hsm->rsa_lock);
	free(hsm);
}

static SdesStatus
open_token(SdesHsm *hsm, const SdesHsmTarget *target, SdesHsmFault *fault)
{
	CK_RV rv = hsm->p11->C_GetInfo(&hsm->info);
	SdesStatus status;

	if (rv != CKR_OK)
		return sdes_pkcs11_failed_as(fault, SDES_ERR_HSM_MODULE, "C_GetInfo", rv);
	status = sdes_pkcs11_find_token(hsm, target->token, fault);
	if (status == SDES_OK)
	{
		sdes_pkcs11_probe_mechanisms(hsm);
		sdes_pkcs11_rsa_prepare(hsm);
	}
	return status;
}

static SdesStatus
hsm_open(const SdesHsmTarget *target, SdesHsm **out, SdesHsmFault *fault)
{
	CK_FUNCTION_LIST_PTR p11;
	SdesStatus status;
	SdesHsm *hsm;

	*out = NULL;
	status = sdes_pkcs11_load(target->module, &p11, fault);
	if (status == SDES_OK)
		status = sdes_pkcs11_initialize(p11, target->init_args, fault);
	if (status != SDES_OK)
		return status;
	hsm = calloc(1, sizeof(*hsm));
	if (hsm == NULL)
	{
		p11->C_Finalize(NULL);
		return sdes_hsm_fault(fault, SDES_ERR_MEMORY, "no memory");
	}
	hsm->p11 = p11;
	hsm->module = loaded_path;
	pthread_mutex_init(&hsm->rsa_lock, NULL);
	hsm->anchor = CK_INVALID_HANDLE;
	status = open_token(hsm, target, fault);
	if (status != SDES_OK)
		hsm_close(hsm);
	else
		*out = hsm;
	return status;
}

static SdesStatus
session_open(SdesHsm *hsm, SdesHsmSession **out, SdesHsmFault *fault)
{
	SdesHsmSession *session = calloc(1, sizeof(*session));
	SdesStatus status;

	*out = NULL;
	if (session == NULL)
		return sdes_hsm_fault(fault, SDES_ERR_MEMORY, "no memory");
	session->hsm = hsm;
	for (size_t i = 0; i < SDES_PKCS11_KEYS; i++)
		session->keys[i].handle = CK_INVALID_HANDLE;
	status = sdes_pkcs11_session(hsm, false, &session->handle, fault);
	if (status != SDES_OK)
		free(session);
	else
		*out = session;
	return status;
}

static void
session_close(SdesHsmSession *session)
{
	if (session == NULL)
		return;
	for (size_t i = 0; i < SDES_PKCS11_KEYS; i++)
		sdes_pkcs11_key_close(&session->keys[i]);
	session->hsm->p11->C_CloseSession(session->handle);
	free(session);
}

static SdesStatus
session_random(SdesHsmSession *session, uint8_t *out, size_t size, SdesHsmFault *fault)
{
	CK_RV rv = session->hsm->p11->C_GenerateRandom(session->handle, out, size);

	return rv == CKR_OK ? SDES_OK : sdes_pkcs11_failed(fault, "C_GenerateRandom", rv);
}

static const SdesHsmProvider pkcs11_provider = {
    .name = "PKCS#11",
    .open = hsm_open,
    .close = hsm_close,
    .token_info = sdes_pkcs11_token_info,
    .login = sdes_pkcs11_login,
    .session_open = session_open,
    .session_close = session_close,
    .kek_create = sdes_pkcs11_kek_create,
    .kek_check = sdes_pkcs11_kek_check,
    .kek_destroy = sdes_pkcs11_kek_destroy,
    .kek_list = sdes_pkcs11_kek_list,
    .dek_wrap = sdes_pkcs11_dek_wrap,
    .dek_unwrap = sdes_pkcs11_dek_unwrap,
    .seal = sdes_pkcs11_value_seal,
    .open_sealed = sdes_pkcs11_value_open,
    .public_key = sdes_pkcs11_public_key,
    .sign = sdes_pkcs11_sign,
    .random = session_random,
};

const SdesHsmProvider *
sdes_hsm_pkcs11(void)
{
	return &pkcs11_provider;
}
