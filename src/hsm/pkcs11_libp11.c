/*
 * pkcs11_libp11.c
 *		libp11's view of the token, for its RSA keys only: a private key of the
 *		token as an EVP_PKEY.
 *
 * libp11 uses the module that this process has initialised and the login it has
 * made, with sessions of a pool of its own (16 at most). What its source, 0.4.12
 * to 0.4.21, asks of us:
 *
 *	- Its lists are not for two threads: all but the use of a key is under
 *	  hsm->rsa_lock.
 *	- PKCS11_open_session() with another mode than the pool's closes all sessions
 *	  of the slot, which would log us out. It is never called.
 *	- So do the last references to a slot. They end in hsm_close only.
 *	- So does PKCS11_update_slots(), which asks for the token's info, where that
 *	  fails. It does fail on SoftHSM2 after a login that found its token.object
 *	  read-only, as docs/hsm.md has it. So the token is looked up before the login.
 *	- PKCS11_CTX_unload() finalises the module. It is never called either:
 *	  hsm_close does that, and the module stays loaded anyway.
 *	- Its list of keys fails beside one of a type it does not know, see
 *	  raw_in_session() in pkcs11_rsa.c.
 *	- Since 0.4.21 it refuses to decrypt without padding, see raw_by_libp11() there.
 *	- It never looks at a session again that failed, nor at the fault of
 *	  C_OpenSession, for which it waits: a lost session is reported as such, and
 *	  the agent starts the module again; a wait ends with the job's deadline.
 */
#include "hsm/pkcs11.h"

#include <libp11.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

typedef struct SdesPkcs11Rsa
{
	PKCS11_CTX *context;
	PKCS11_SLOT *slots;
	unsigned nslots;
	PKCS11_TOKEN *token; /* ours, in one of them */
} SdesPkcs11Rsa;

SdesStatus
sdes_pkcs11_openssl_failed(SdesHsmFault *fault, const char *call)
{
	CK_RV rv = CKR_OK;
	unsigned long error;

	while ((error = ERR_get_error()) != 0)
	{
		const char *library = ERR_lib_error_string(error);

		/* libp11's name for codes that the module returned. */
		if (library != NULL && strcmp(library, "PKCS#11 module") == 0)
			rv = (CK_RV) ERR_GET_REASON(error);
	}
	if (rv == CKR_OK)
		return sdes_hsm_fault(fault, SDES_ERR_HSM, "%s failed", call);
	sdes_pkcs11_failed(fault, call, rv);
	/* It stays so in libp11's pool until the module is started again. */
	fault->lost = fault->lost || rv == CKR_OPERATION_ACTIVE;
	return SDES_ERR_HSM;
}

static SdesStatus
load_module(SdesHsm *hsm, SdesPkcs11Rsa *rsa, SdesHsmFault *fault)
{
	SdesStatus status = SDES_OK;
	PKCS11_CTX *context = PKCS11_CTX_new();

	if (context == NULL)
		return sdes_hsm_fault(fault, SDES_ERR_MEMORY, "no memory");
	/* Initialises a second time, which the module says it already is. */
	if (PKCS11_CTX_load(context, hsm->module) != 0)
	{
		status = sdes_pkcs11_openssl_failed(fault, "PKCS11_CTX_load");
		PKCS11_CTX_free(context);
	}
	else
		rsa->context = context;
	return status;
}

static SdesStatus
find_slot(SdesHsm *hsm, SdesPkcs11Rsa *rsa, SdesHsmFault *fault)
{
	if (PKCS11_update_slots(rsa->context, &rsa->slots, &rsa->nslots) != 0)
		return sdes_pkcs11_openssl_failed(fault, "PKCS11_update_slots");
	for (unsigned i = 0; i < rsa->nslots; i++)
	{
		if (PKCS11_get_slotid_from_slot(&rsa->slots[i]) == hsm->slot &&
		    rsa->slots[i].token != NULL)
			rsa->token = rsa->slots[i].token;
	}
	return rsa->token != NULL
	           ? SDES_OK
	           : sdes_hsm_fault(fault, SDES_ERR_HSM_TOKEN, "libp11 does not see the token");
}

/* Under the lock. What failed is tried again the next time. */
static SdesStatus
rsa_open(SdesHsm *hsm, SdesHsmFault *fault)
{
	SdesStatus status = SDES_OK;

	if (hsm->rsa == NULL)
		hsm->rsa = calloc(1, sizeof(*hsm->rsa));
	if (hsm->rsa == NULL)
		return sdes_hsm_fault(fault, SDES_ERR_MEMORY, "no memory");
	if (hsm->rsa->context == NULL)
		status = load_module(hsm, hsm->rsa, fault);
	if (status == SDES_OK && hsm->rsa->token == NULL)
		status = find_slot(hsm, hsm->rsa, fault);
	return status;
}

void
sdes_pkcs11_rsa_prepare(SdesHsm *hsm)
{
	SdesHsmFault unused;

	pthread_mutex_lock(&hsm->rsa_lock);
	ERR_clear_error();
	rsa_open(hsm, &unused);
	pthread_mutex_unlock(&hsm->rsa_lock);
}

void
sdes_pkcs11_rsa_close(SdesHsm *hsm)
{
	SdesPkcs11Rsa *rsa = hsm->rsa;

	if (rsa == NULL)
		return;
	hsm->rsa = NULL;
	if (rsa->slots != NULL)
		PKCS11_release_all_slots(rsa->context, rsa->slots, rsa->nslots);
	if (rsa->context != NULL)
		PKCS11_CTX_free(rsa->context);
	free(rsa);
}

/* Under the lock. The list grows by what is new and keeps what is gone: the last counts. */
static SdesStatus
find_private_key(SdesPkcs11Rsa *rsa, SdesPkcs11Key *key, SdesHsmFault *fault)
{
	PKCS11_KEY *keys, *found = NULL;
	unsigned nkeys;

	if (PKCS11_enumerate_keys(rsa->token, &keys, &nkeys) != 0)
		return sdes_pkcs11_openssl_failed(fault, "PKCS11_enumerate_keys");
	for (unsigned i = 0; i < nkeys; i++)
	{
		if (keys[i].id_len == sizeof(key->id) &&
		    memcmp(keys[i].id, key->id, sizeof(key->id)) == 0)
			found = &keys[i];
	}
	if (found == NULL)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_KEY_MISSING,
		                      "libp11 does not see the private key");
	key->private_key = PKCS11_get_private_key(found);
	return key->private_key != NULL
	           ? SDES_OK
	           : sdes_pkcs11_openssl_failed(fault, "PKCS11_get_private_key");
}

SdesStatus
sdes_pkcs11_rsa_open_key(SdesHsm *hsm, SdesPkcs11Key *key, SdesHsmFault *fault)
{
	SdesStatus status;

	if (key->private_key != NULL)
		return SDES_OK;
	pthread_mutex_lock(&hsm->rsa_lock);
	ERR_clear_error();
	status = rsa_open(hsm, fault);
	if (status == SDES_OK)
		status = find_private_key(hsm->rsa, key, fault);
	pthread_mutex_unlock(&hsm->rsa_lock);
	return status;
}

void
sdes_pkcs11_rsa_free_key(struct evp_pkey_st *key)
{
	EVP_PKEY_free(key);
}
