/*
 * pkcs11.h
 *		Shared by the files of the PKCS#11 provider, and by nobody else.
 *
 * The PKCS#11 headers are p11-kit's, in their standard spelling (no CRYPTOKI_GNU).
 */
#ifndef SDES_HSM_PKCS11_H
#define SDES_HSM_PKCS11_H

#include "hsm/provider.h"

#include <p11-kit/pkcs11.h>

/* Wrapping mechanisms the provider knows: rows of the table in pkcs11_wrap.c. */
#define SDES_PKCS11_MECHANISMS_MAX 8

struct SdesHsm
{
	CK_FUNCTION_LIST_PTR p11;
	CK_SLOT_ID slot;
	/* Open from login to close: the login lasts as long as one session does. */
	CK_SESSION_HANDLE anchor;
	CK_INFO info;
	bool offered[SDES_PKCS11_MECHANISMS_MAX]; /* by the token, in table order */
};

struct SdesHsmSession
{
	SdesHsm *hsm;
	CK_SESSION_HANDLE handle; /* read-only */
};

/* pkcs11_fault.c: sets *fault from a CK_RV of the named call; returns the status. */
extern SdesStatus sdes_pkcs11_failed(SdesHsmFault *fault, const char *call, CK_RV rv);
/* The same with a status of the caller's choice. */
extern SdesStatus sdes_pkcs11_failed_as(SdesHsmFault *fault, SdesStatus status,
                                        const char *call, CK_RV rv);
/* pkcs11_module.c: the process has one module, loaded once and never unloaded. */
extern SdesStatus sdes_pkcs11_load(const char *path, CK_FUNCTION_LIST_PTR *out,
                                   SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_initialize(CK_FUNCTION_LIST_PTR p11, const char *init_args,
                                         SdesHsmFault *fault);

/* pkcs11_token.c */
extern SdesStatus sdes_pkcs11_find_token(SdesHsm *hsm, const char *uri,
                                         SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_token_info(SdesHsm *hsm, SdesHsmTokenInfo *out,
                                         SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_login(SdesHsm *hsm, SdesBytes pin, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_session(SdesHsm *hsm, bool writable, CK_SESSION_HANDLE *out,
                                      SdesHsmFault *fault);

/* pkcs11_kek.c */
extern SdesStatus sdes_pkcs11_kek_create(SdesHsmSession *session, const SdesHsmNewKek *spec,
                                         uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                         const char **mechanism, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_kek_check(SdesHsmSession *session,
                                        const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                        const char **mechanism, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_kek_destroy(SdesHsmSession *session,
                                          const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                          SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_kek_find(SdesHsm *hsm, CK_SESSION_HANDLE handle,
                                       const uint8_t id[SDES_HSM_KEY_ID_SIZE],
                                       CK_OBJECT_HANDLE *out, SdesHsmFault *fault);

/* pkcs11_list.c */
extern SdesStatus sdes_pkcs11_kek_list(SdesHsmSession *session, const char *prefix,
                                       const uint8_t after[SDES_HSM_KEY_ID_SIZE],
                                       SdesHsmKekList *list, SdesHsmFault *fault);

/* pkcs11_wrap.c */
extern void sdes_pkcs11_probe_mechanisms(SdesHsm *hsm);
/* Wraps and unwraps random bytes under the key; see SdesHsmProvider.kek_create. */
extern SdesStatus sdes_pkcs11_prove(SdesHsm *hsm, CK_OBJECT_HANDLE key,
                                    const char **mechanism, SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_dek_wrap(SdesHsmSession *session, const SdesHsmWrap *wrap,
                                       SdesBytes dek, SdesHsmBlob *out,
                                       SdesHsmFault *fault);
extern SdesStatus sdes_pkcs11_dek_unwrap(SdesHsmSession *session, const SdesHsmWrap *wrap,
                                         SdesBytes blob, SdesSecret *out,
                                         SdesHsmFault *fault);

#endif
