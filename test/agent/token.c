/*
 * token.c
 *		See token.h. What goes wrong here ends the program, as in fixture.c.
 */
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

static void
must(Token *t, SdesStatus status, const char *what)
{
	if (status == SDES_OK)
		return;
	printf("Bail out! %s: %s, %s\n", what, sdes_status_name(status), t->fault.detail);
	exit(1);
}

static Token *
token_open(Fixture *f, const char *module)
{
	Token *t = calloc(1, sizeof(*t));
	SdesHsmTarget target = {module, f->config.init_args, f->config.token};

	t->fixture = f;
	t->provider = sdes_hsm_pkcs11();
	must(t, t->provider->open(&target, &t->hsm, &t->fault), "open");
	must(t, t->provider->login(t->hsm, sdes_bytes(TEST_PIN, strlen(TEST_PIN)), &t->fault),
	     "login");
	must(t, t->provider->session_open(t->hsm, &t->session, &t->fault), "session");
	return t;
}

Token *
token_new(void)
{
	return token_open(fixture_new(), getenv("SDES_TEST_OWN_IV"));
}

Token *
token_of(Fixture *f)
{
	return token_open(f, getenv("SDES_TEST_MODULE"));
}

void
token_free(Token *t)
{
	t->provider->session_close(t->session);
	t->provider->close(t->hsm);
	fixture_free(t->fixture);
	free(t);
}

void
token_renew(Token *t)
{
	t->provider->session_close(t->session);
	must(t, t->provider->session_open(t->hsm, &t->session, &t->fault), "session");
}

bool
token_only(Token *t, const char *name)
{
	static const SdesHsmNewKek specs[] = {{"", SDES_HSM_AES_256, false},
	                                      {"", SDES_HSM_RSA_4096, false}};
	const SdesPkcs11Mechanism *found = NULL;

	sdes_pkcs11_probe_mechanisms(t->hsm);
	for (int i = 0; name != NULL && i < 2; i++)
	{
		const SdesPkcs11Mechanism *next = NULL;

		while ((next = sdes_pkcs11_next_mechanism(t->hsm, &specs[i], next)) != NULL)
		{
			if (strcmp(next->name, name) == 0)
				found = next;
		}
	}
	if (name == NULL)
		return true;
	memset(t->hsm->offered, 0, sizeof(t->hsm->offered));
	if (found != NULL)
		t->hsm->offered[found->number - 1] = true; /* numbers are the order so far */
	return found != NULL;
}

static bool
create(Token *t, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
	CK_SESSION_HANDLE handle;
	CK_RV rv;

	must(t, sdes_pkcs11_session(t->hsm, true, &handle, &t->fault), "session");
	rv = t->hsm->p11->C_CreateObject(handle, attributes, count, out);
	t->hsm->p11->C_CloseSession(handle);
	sdes_pkcs11_failed(&t->fault, "C_CreateObject", rv);
	return rv == CKR_OK;
}

static CK_ATTRIBUTE
bytes_attribute(CK_ATTRIBUTE_TYPE type, SdesBytes bytes)
{
	return (CK_ATTRIBUTE){type, (void *) (uintptr_t) bytes.data, bytes.size};
}

static CK_ATTRIBUTE
boolean(CK_ATTRIBUTE_TYPE type, bool value)
{
	return (CK_ATTRIBUTE){type, value ? &yes : &no, sizeof(yes)};
}

bool
token_import_aes(Token *t, const uint8_t id[SDES_KEK_ID_SIZE], SdesBytes value,
                 CK_FLAGS usage, CK_OBJECT_HANDLE *out)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_ATTRIBUTE attributes[] = {
	    SDES_PKCS11_ATTRIBUTE(CKA_CLASS, class),
	    SDES_PKCS11_ATTRIBUTE(CKA_KEY_TYPE, type),
	    bytes_attribute(CKA_VALUE, value),
	    bytes_attribute(CKA_ID, sdes_bytes(id, SDES_KEK_ID_SIZE)),
	    boolean(CKA_TOKEN, true),
	    boolean(CKA_PRIVATE, true),
	    boolean(CKA_SENSITIVE, true),
	    boolean(CKA_EXTRACTABLE, false),
	    boolean(CKA_ENCRYPT, (usage & CKF_ENCRYPT) != 0),
	    boolean(CKA_DECRYPT, (usage & CKF_DECRYPT) != 0),
	    boolean(CKA_WRAP, (usage & CKF_WRAP) != 0),
	    boolean(CKA_UNWRAP, (usage & CKF_UNWRAP) != 0),
	};

	return create(t, attributes, sizeof(attributes) / sizeof(attributes[0]), out);
}

bool
token_import_rsa(Token *t, const uint8_t id[SDES_KEK_ID_SIZE], const RsaParts *parts,
                 CK_OBJECT_HANDLE *out)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_KEY_TYPE type = CKK_RSA;
	CK_ATTRIBUTE attributes[] = {
	    SDES_PKCS11_ATTRIBUTE(CKA_CLASS, class),
	    SDES_PKCS11_ATTRIBUTE(CKA_KEY_TYPE, type),
	    bytes_attribute(CKA_ID, sdes_bytes(id, SDES_KEK_ID_SIZE)),
	    boolean(CKA_TOKEN, true),
	    boolean(CKA_PRIVATE, true),
	    boolean(CKA_SENSITIVE, true),
	    boolean(CKA_EXTRACTABLE, false),
	    boolean(CKA_DECRYPT, true),
	    boolean(CKA_SIGN, false),
	    boolean(CKA_UNWRAP, false),
	    bytes_attribute(CKA_MODULUS, parts->n),
	    bytes_attribute(CKA_PUBLIC_EXPONENT, parts->e),
	    bytes_attribute(CKA_PRIVATE_EXPONENT, parts->d),
	    bytes_attribute(CKA_PRIME_1, parts->p),
	    bytes_attribute(CKA_PRIME_2, parts->q),
	    bytes_attribute(CKA_EXPONENT_1, parts->dp),
	    bytes_attribute(CKA_EXPONENT_2, parts->dq),
	    bytes_attribute(CKA_COEFFICIENT, parts->qi),
	};

	return create(t, attributes, sizeof(attributes) / sizeof(attributes[0]), out);
}

bool
token_plant_public(Token *t, const uint8_t id[SDES_KEK_ID_SIZE], SdesBytes modulus)
{
	static const uint8_t exponent[] = {1, 0, 1};
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	CK_KEY_TYPE type = CKK_RSA;
	CK_OBJECT_HANDLE object;
	CK_ATTRIBUTE attributes[] = {
	    SDES_PKCS11_ATTRIBUTE(CKA_CLASS, class),
	    SDES_PKCS11_ATTRIBUTE(CKA_KEY_TYPE, type),
	    bytes_attribute(CKA_ID, sdes_bytes(id, SDES_KEK_ID_SIZE)),
	    boolean(CKA_TOKEN, true),
	    boolean(CKA_ENCRYPT, true),
	    bytes_attribute(CKA_MODULUS, modulus),
	    bytes_attribute(CKA_PUBLIC_EXPONENT, SDES_BYTES_OF(exponent)),
	};

	return create(t, attributes, sizeof(attributes) / sizeof(attributes[0]), &object);
}

int
token_count(Token *t, const uint8_t id[SDES_KEK_ID_SIZE])
{
	CK_ATTRIBUTE attribute = bytes_attribute(CKA_ID, sdes_bytes(id, SDES_KEK_ID_SIZE));
	CK_OBJECT_HANDLE found[16];
	CK_ULONG count = 0;
	CK_FUNCTION_LIST_PTR p11 = t->hsm->p11;

	if (p11->C_FindObjectsInit(t->session->handle, &attribute, 1) != CKR_OK)
		return -1;
	p11->C_FindObjects(t->session->handle, found, 16, &count);
	p11->C_FindObjectsFinal(t->session->handle);
	return (int) count;
}
