/*
 * failure_tests.c
 *		The provider while the module fails: each operation on a real token, with
 *		its first call to the module failing, then with its second, and so on.
 *
 * It must say so, in words, or do what was asked in another way; leave no key and
 * no plaintext behind; and work again over a new session. (libp11, through which
 * RSA keys are used, calls the module itself: those calls are not among them.)
 */
#include "tests.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX  400 /* of one operation: more would be an endless loop */
#define VALUE_SIZE 100
#define FILLER     0xa5

static CK_FUNCTION_LIST_PTR module;
static int countdown; /* the call to fail: 1 is the next one; 0 for none */
static CK_RV failure;
static bool failed;

static bool
fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	failed = true;
	return true;
}

/* One of the module's functions, failing when it is its turn. */
#define WRAP(name, parameters, arguments)                                                  \
	static CK_RV failing_##name parameters                                                 \
	{                                                                                      \
		return fails() ? failure : module->name arguments;                                 \
	}

typedef CK_SESSION_HANDLE Session;
typedef CK_OBJECT_HANDLE Object;

WRAP(C_GetInfo, (CK_INFO * info), (info))
WRAP(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *n), (present, list, n))
WRAP(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO *info), (slot, info))
WRAP(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (slot, info))
WRAP(C_GetMechanismInfo, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info),
     (slot, type, info))
WRAP(C_OpenSession,
     (CK_SLOT_ID slot, CK_FLAGS flags, void *data, CK_NOTIFY notify, Session *out),
     (slot, flags, data, notify, out))
WRAP(C_Login, (Session s, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG size),
     (s, user, pin, size))
WRAP(C_CreateObject, (Session s, CK_ATTRIBUTE *list, CK_ULONG n, Object *out),
     (s, list, n, out))
WRAP(C_DestroyObject, (Session s, Object object), (s, object))
WRAP(C_FindObjectsInit, (Session s, CK_ATTRIBUTE *list, CK_ULONG n), (s, list, n))
WRAP(C_FindObjects, (Session s, Object *out, CK_ULONG room, CK_ULONG *n), (s, out, room, n))
WRAP(C_FindObjectsFinal, (Session s), (s))

/* Boolean attributes that are read as what they are not: this one, from 1 on. */
static int lie;
static CK_ATTRIBUTE_TYPE lied_about;

static CK_RV
failing_C_GetAttributeValue(Session s, Object object, CK_ATTRIBUTE *list, CK_ULONG n)
{
	CK_RV rv = fails() ? failure : module->C_GetAttributeValue(s, object, list, n);

	for (CK_ULONG i = 0; rv == CKR_OK && lie > 0 && i < n; i++)
	{
		if (list[i].pValue == NULL || list[i].ulValueLen != sizeof(CK_BBOOL) || --lie > 0)
			continue;
		*(CK_BBOOL *) list[i].pValue ^= CK_TRUE;
		lied_about = list[i].type;
	}
	return rv;
}

WRAP(C_GenerateKey,
     (Session s, CK_MECHANISM *mechanism, CK_ATTRIBUTE *list, CK_ULONG n, Object *out),
     (s, mechanism, list, n, out))
WRAP(C_GenerateKeyPair,
     (Session s, CK_MECHANISM *mechanism, CK_ATTRIBUTE *list, CK_ULONG n,
      CK_ATTRIBUTE *private_list, CK_ULONG private_n, Object *out, Object *private_out),
     (s, mechanism, list, n, private_list, private_n, out, private_out))
WRAP(C_GenerateRandom, (Session s, CK_BYTE *out, CK_ULONG size), (s, out, size))
WRAP(C_EncryptInit, (Session s, CK_MECHANISM *mechanism, Object key), (s, mechanism, key))
WRAP(C_Encrypt, (Session s, CK_BYTE *in, CK_ULONG size, CK_BYTE *out, CK_ULONG *used),
     (s, in, size, out, used))
WRAP(C_DecryptInit, (Session s, CK_MECHANISM *mechanism, Object key), (s, mechanism, key))
WRAP(C_Decrypt, (Session s, CK_BYTE *in, CK_ULONG size, CK_BYTE *out, CK_ULONG *used),
     (s, in, size, out, used))
WRAP(C_WrapKey,
     (Session s, CK_MECHANISM *mechanism, Object key, Object wrapped, CK_BYTE *out,
      CK_ULONG *used),
     (s, mechanism, key, wrapped, out, used))
WRAP(C_UnwrapKey,
     (Session s, CK_MECHANISM *mechanism, Object key, CK_BYTE *in, CK_ULONG size,
      CK_ATTRIBUTE *list, CK_ULONG n, Object *out),
     (s, mechanism, key, in, size, list, n, out))

/* The module's functions, of which ours take the place; C_CloseSession never fails. */
static CK_FUNCTION_LIST_PTR
failing_functions(CK_FUNCTION_LIST_PTR original)
{
	static CK_FUNCTION_LIST list;

	module = original;
	list = *original;
#define USE(name) list.name = failing_##name
	USE(C_GetInfo);
	USE(C_GetSlotList);
	USE(C_GetSlotInfo);
	USE(C_GetTokenInfo);
	USE(C_GetMechanismInfo);
	USE(C_OpenSession);
	USE(C_Login);
	USE(C_CreateObject);
	USE(C_DestroyObject);
	USE(C_FindObjectsInit);
	USE(C_FindObjects);
	USE(C_FindObjectsFinal);
	USE(C_GetAttributeValue);
	USE(C_GenerateKey);
	USE(C_GenerateKeyPair);
	USE(C_GenerateRandom);
	USE(C_EncryptInit);
	USE(C_Encrypt);
	USE(C_DecryptInit);
	USE(C_Decrypt);
	USE(C_WrapKey);
	USE(C_UnwrapKey);
#undef USE
	return &list;
}

/* What operations work on: a KEK, and what was wrapped and sealed under it. */
static SdesHsmWrap under;
static SdesHsmBlob blob;
static uint8_t dek[SDES_HSM_DEK_SIZE] = {1, 2, 3};
static uint8_t value[VALUE_SIZE] = {4, 5, 6};
static uint8_t sealed[VALUE_SIZE + SDES_HSM_SEALED_OVERHEAD];

/* Each returns SDES_OK for the right result only. */

static SdesStatus
create_and_destroy(Token *t, SdesHsmKekKind kind, bool seals)
{
	SdesHsmNewKek spec = {"sdes failure", kind, seals};
	uint8_t id[SDES_HSM_KEY_ID_SIZE];
	const char *mechanism = NULL;
	SdesStatus status =
	    t->provider->kek_create(t->session, &spec, id, &mechanism, &t->fault);

	if (status != SDES_OK)
		return status;
	if (mechanism == NULL || mechanism[0] == '\0')
		return SDES_ERR_FORMAT;
	countdown = 0; /* what follows only cleans up */
	return t->provider->kek_destroy(t->session, id, &t->fault);
}

static SdesStatus
create_aes(Token *t)
{
	return create_and_destroy(t, SDES_HSM_AES_256, false);
}

static SdesStatus
create_for_values(Token *t)
{
	return create_and_destroy(t, SDES_HSM_AES_256, true);
}

static SdesStatus
check_kek(Token *t)
{
	const char *mechanism = NULL;

	return t->provider->kek_check(t->session, under.kek_id, &mechanism, &t->fault);
}

static SdesStatus
list_keks(Token *t)
{
	static const uint8_t first[SDES_HSM_KEY_ID_SIZE];
	uint8_t ids[4][SDES_HSM_KEY_ID_SIZE];
	SdesHsmKekList list = {0, 4, ids};
	SdesStatus status = t->provider->kek_list(t->session, "sdes", first, &list, &t->fault);

	/* A key whose attributes cannot be read is left out. */
	if (status == SDES_OK && list.count != 1 && !failed)
		return SDES_ERR_FORMAT;
	return status;
}

static SdesStatus
wrap(Token *t)
{
	return t->provider->dek_wrap(t->session, &under, SDES_BYTES_OF(dek), &blob, &t->fault);
}

static SdesStatus
unwrap(Token *t)
{
	SdesSecret out = {NULL, 0};
	SdesStatus status = t->provider->dek_unwrap(
	    t->session, &under, sdes_bytes(blob.data, blob.size), &out, &t->fault);

	if (status == SDES_OK && (out.size != sizeof(dek) || memcmp(out.data, dek, out.size)))
		status = SDES_ERR_FORMAT;
	else if (status != SDES_OK && out.data != NULL)
		status = SDES_OK; /* which is wrong, since a call failed */
	sdes_secret_free(&out);
	return status;
}

static SdesStatus
seal(Token *t)
{
	return t->provider->seal(t->session, &under, SDES_BYTES_OF(value), sealed, &t->fault);
}

static SdesStatus
open_sealed(Token *t)
{
	uint8_t out[sizeof(sealed)];
	SdesStatus status;

	memset(out, FILLER, sizeof(out));
	status =
	    t->provider->open_sealed(t->session, &under, SDES_BYTES_OF(sealed), out, &t->fault);
	if (status == SDES_OK)
		return memcmp(out, value, sizeof(value)) == 0 ? SDES_OK : SDES_ERR_FORMAT;
	for (size_t i = 0; i < sizeof(out); i++)
	{
		if (out[i] != 0 && out[i] != FILLER)
			return SDES_OK; /* plaintext was left: wrong */
	}
	return status;
}

static SdesStatus
random_bytes(Token *t)
{
	uint8_t out[16];

	return t->provider->random(t->session, out, sizeof(out), &t->fault);
}

static SdesStatus
token_info(Token *t)
{
	SdesHsmTokenInfo info;

	return t->provider->token_info(t->hsm, &info, &t->fault);
}

static SdesStatus
another_session(Token *t)
{
	SdesHsmSession *session = NULL;
	SdesStatus status = t->provider->session_open(t->hsm, &session, &t->fault);

	if ((status == SDES_OK) != (session != NULL))
		return SDES_ERR_FORMAT;
	t->provider->session_close(session);
	return status;
}

static SdesStatus
find_again(Token *t)
{
	return sdes_pkcs11_find_token(t->hsm, t->fixture->config.token, &t->fault);
}

static SdesStatus
login_again(Token *t)
{
	return t->provider->login(t->hsm, sdes_bytes(TEST_PIN, strlen(TEST_PIN)), &t->fault);
}

typedef struct Operation
{
	const char *name;
	SdesStatus (*run)(Token *t);
	bool other_way; /* may succeed in another way */
} Operation;

static const Operation operations[] = {
    {"create an AES KEK", create_aes, true},
    {"create one for values", create_for_values, true},
    {"check it", check_kek, true},
    {"list KEKs", list_keks, true},
    {"wrap", wrap, true},
    {"unwrap", unwrap, true},
    {"seal", seal, true},
    {"open", open_sealed, true},
    {"random bytes", random_bytes, false},
    {"token info", token_info, false},
    {"session", another_session, false},
    {"find the token", find_again, true}, /* without a slot that says nothing */
    {"log in", login_again, false},
};

/* All objects that the session can see. */
static int
objects(Token *t)
{
	CK_OBJECT_HANDLE found[64];
	CK_ULONG count = 0;

	module->C_FindObjectsInit(t->session->handle, NULL, 0);
	module->C_FindObjects(t->session->handle, found, 64, &count);
	module->C_FindObjectsFinal(t->session->handle);
	return (int) count;
}

/* Runs an operation with its nth call failing. */
static bool
survives(Token *t, const Operation *operation, int nth)
{
	int before = objects(t);
	SdesStatus status;
	bool good;

	memset(&t->fault, 0, sizeof(t->fault));
	failed = false;
	countdown = nth;
	status = operation->run(t);
	countdown = 0;
	if (!failed || (status == SDES_OK && operation->other_way))
		good = status == SDES_OK;
	else
		good = status != SDES_OK && status != SDES_ERR_FORMAT && t->fault.detail[0] != '\0';
	token_renew(t);
	if (!good || objects(t) != before)
	{
		printf("# %s, call %d: %s, %s, %d objects of %d\n", operation->name, nth,
		       sdes_status_name(status), t->fault.detail, objects(t), before);
		return false;
	}
	return true;
}

static void
test_operation(Token *t, const Operation *operation, CK_RV rv)
{
	int nth = 0, bad = 0;

	failure = rv;
	do
		bad += !survives(t, operation, ++nth);
	while (failed && nth < CALLS_MAX);
	check(bad == 0 && nth > 1 && operation->run(t) == SDES_OK,
	      "%s with each of %d calls failing by 0x%lx", operation->name, nth - 1, rv);
}

/* A key of which one attribute is not what it must be is not used. */
static void
test_attributes(Token *t, const SdesHsmNewKek *spec)
{
	uint8_t id[SDES_HSM_KEY_ID_SIZE];
	const char *mechanism;
	int nth = 0, bad = 0;

	check_status(t->provider->kek_create(t->session, spec, id, &mechanism, &t->fault),
	             SDES_OK, "a KEK to lie about");
	for (;;)
	{
		SdesStatus status;

		lie = ++nth;
		status = t->provider->kek_check(t->session, id, &mechanism, &t->fault);
		if (lie > 0)
			break;
		if (status == SDES_ERR_HSM_KEY_UNSAFE)
			continue;
		printf("# attribute 0x%lx is wrong: %s\n", lied_about, sdes_status_name(status));
		bad++;
	}
	lie = 0;
	check(bad == 0 && nth > 5, "each of %d attributes of %s key counts", nth - 1,
	      spec->kind == SDES_HSM_AES_256 ? "an AES" : "an RSA");
	check_status(t->provider->kek_destroy(t->session, id, &t->fault), SDES_OK,
	             "it is destroyed");
}

void
failure_tests(void)
{
	static const SdesHsmNewKek kinds[] = {{"aes", SDES_HSM_AES_256, false},
	                                      {"rsa", SDES_HSM_RSA_4096, false}};
	static const CK_RV failures[] = {CKR_GENERAL_ERROR, CKR_DEVICE_ERROR, CKR_HOST_MEMORY,
	                                 CKR_MECHANISM_INVALID};
	static const uint8_t aad[] = {7, 8, 9};
	SdesHsmNewKek spec = {"sdes kept", SDES_HSM_AES_256, true};
	Token *t = token_of(fixture_new());
	const char *mechanism;

	t->hsm->p11 = failing_functions(t->hsm->p11);
	under.aad = SDES_BYTES_OF(aad);
	check_status(
	    t->provider->kek_create(t->session, &spec, under.kek_id, &mechanism, &t->fault),
	    SDES_OK, "a KEK to work with");
	check_status(wrap(t), SDES_OK, "a DEK wrapped under it");
	check_status(seal(t), SDES_OK, "a value sealed under it");
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
	{
		for (size_t j = 0; j < sizeof(failures) / sizeof(failures[0]); j++)
			test_operation(t, &operations[i], failures[j]);
	}
	test_attributes(t, &kinds[0]);
	test_attributes(t, &kinds[1]);
	t->hsm->p11 = module;
	token_free(t);
}
