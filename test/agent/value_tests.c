/*
 * value_tests.c
 *		Values sealed in the token: sizes, tampering, remembered keys, and tokens
 *		that insist on an IV of their own.
 */
#include "crypto/kdf.h"
#include "tests.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 32768 /* SDES_VALUE_MAX of the protocol */

static uint8_t value[VALUE_MAX], sealed[VALUE_MAX + 28], opened[VALUE_MAX + 28];
static uint8_t aad_bytes[48];

static SdesStatus
create(Token *t, bool seals, SdesHsmWrap *under)
{
	SdesHsmNewKek spec = {"values", SDES_HSM_AES_256, seals};
	const char *name;

	under->aad = SDES_BYTES_OF(aad_bytes);
	return t->provider->kek_create(t->session, &spec, under->kek_id, &name, &t->fault);
}

static SdesStatus
seal(Token *t, const SdesHsmWrap *under, size_t size)
{
	return t->provider->seal(t->session, under, sdes_bytes(value, size), sealed, &t->fault);
}

static SdesStatus
open_sealed(Token *t, const SdesHsmWrap *under, size_t size)
{
	memset(opened, 0xa5, sizeof(opened));
	return t->provider->open_sealed(t->session, under, sdes_bytes(sealed, size + 28),
	                                opened, &t->fault);
}

static bool
round_trip(Token *t, const SdesHsmWrap *under, size_t size)
{
	bool good = seal(t, under, size) == SDES_OK && open_sealed(t, under, size) == SDES_OK &&
	            memcmp(opened, value, size) == 0;

	if (!good)
		printf("# %zu bytes: %s\n", size, t->fault.detail);
	return good;
}

static void
test_sizes(Token *t, const SdesHsmWrap *under)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 19, 255, 4096, VALUE_MAX};
	int failed = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		failed += !round_trip(t, under, sizes[i]);
	check(failed == 0, "values of 0 to %d bytes", VALUE_MAX);
}

static bool
all_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
	{
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

static void
test_tampering(Token *t, SdesHsmWrap *under)
{
	int bad = 0, ivs = 0;
	uint8_t first[12];

	seal(t, under, 19);
	for (size_t i = 0; i < 19 + 28 + sizeof(aad_bytes); i++)
	{
		uint8_t *byte = i < 19 + 28 ? &sealed[i] : &aad_bytes[i - 19 - 28];

		*byte ^= (uint8_t) (1 << i % 8);
		bad += open_sealed(t, under, 19) != SDES_ERR_TAG || !all_zero(opened, 19 + 28);
		*byte ^= (uint8_t) (1 << i % 8);
		token_renew(t);
	}
	check(bad == 0, "each byte of a sealed value and of its aad: refused, output wiped");
	check(open_sealed(t, under, 19) == SDES_OK, "the good one opens");
	check(t->provider->open_sealed(t->session, under, sdes_bytes(sealed, 27), opened,
	                               &t->fault) == SDES_ERR_FORMAT,
	      "a value too short to be one");
	memcpy(first, sealed, sizeof(first));
	for (int i = 0; i < 100; i++)
	{
		seal(t, under, 19);
		ivs += memcmp(first, sealed, sizeof(first)) == 0;
	}
	check(ivs == 0, "no IV comes twice");
}

/* More keys than a session remembers; handles that have gone stale. */
static void
test_keys(Token *t)
{
	SdesHsmWrap under[SDES_PKCS11_KEYS + 3];
	int failed = 0;

	for (int round = 0; round < 2; round++)
	{
		for (int i = 0; i < SDES_PKCS11_KEYS + 3; i++)
		{
			if (round == 0)
				failed += create(t, true, &under[i]) != SDES_OK;
			failed += !round_trip(t, &under[i], 19);
		}
	}
	check(failed == 0, "more keys than a session remembers");
	for (int i = 0; i < SDES_PKCS11_KEYS; i++)
		t->session->keys[i].handle += 1000000;
	for (int i = 0; i < SDES_PKCS11_KEYS + 3; i++)
		failed += !round_trip(t, &under[i], 19);
	check(failed == 0, "stale handles are looked up again");
	seal(t, &under[0], 19);
	t->provider->kek_destroy(t->session, under[0].kek_id, &t->fault);
	check_status(open_sealed(t, &under[0], 19), SDES_ERR_HSM_KEY_MISSING,
	             "a remembered key that was destroyed");
	token_renew(t);
	under[0].kek_id[0] ^= 1;
	check_status(seal(t, &under[0], 19), SDES_ERR_HSM_KEY_MISSING, "a key that never was");
	token_renew(t);
}

/* A key of another mechanism seals nothing. */
static void
test_other_keys(Token *t)
{
	SdesHsmNewKek rsa = {"values", SDES_HSM_RSA_4096, false};
	SdesHsmWrap under;
	const char *name;

	token_only(t, "AES-KEY-WRAP");
	check_status(create(t, false, &under), SDES_OK, "a KEK that only wraps");
	token_only(t, NULL);
	check(seal(t, &under, 19) == SDES_ERR_HSM_MECHANISM &&
	          strstr(t->fault.detail, "AES-GCM") != NULL,
	      "seals no value, and says why");
	token_renew(t);
	/* No fault of the token's: the breaker would count that. */
	check_status(open_sealed(t, &under, 19), SDES_ERR_TAG, "opens none either");
	token_renew(t);
	under.aad = SDES_BYTES_OF(aad_bytes);
	check_status(t->provider->kek_create(t->session, &rsa, under.kek_id, &name, &t->fault),
	             SDES_OK, "an RSA KEK");
	check_status(open_sealed(t, &under, 19), SDES_ERR_TAG, "opens no value");
	token_renew(t);
}

/* One of the IV habits of p11_own_iv.c. */
static void
test_own_iv(const char *habit, const char *trouble)
{
	bool works = trouble == NULL;
	Token *t;
	SdesHsmWrap under;
	SdesHsmBlob blob;
	SdesSecret dek = {NULL, 0};
	SdesStatus status;

	setenv("SDES_OWN_IV", habit, 1);
	t = token_new();
	status = create(t, true, &under);
	if (!works)
	{
		check(status != SDES_OK && strstr(t->fault.detail, trouble) != NULL,
		      "a token whose IVs are \"%s\" seals nothing: %s", habit, t->fault.detail);
		check(token_count(t, under.kek_id) == 0, "and no key is left behind");
		check_status(create(t, false, &under), SDES_OK, "but a KEK that wraps it can be");
	}
	else if (check_status(status, SDES_OK, habit))
	{
		test_sizes(t, &under);
		test_tampering(t, &under);
	}
	token_renew(t);
	check_status(
	    t->provider->dek_wrap(t->session, &under, sdes_bytes(value, 32), &blob, &t->fault),
	    SDES_OK, "a DEK is wrapped");
	check(t->provider->dek_unwrap(t->session, &under, sdes_bytes(blob.data, blob.size),
	                              &dek, &t->fault) == SDES_OK &&
	          memcmp(dek.data, value, 32) == 0 && (blob.data[1] == 1) == works,
	      "and unwrapped, by mechanism %d", blob.data[1]);
	sdes_secret_free(&dek);
	unsetenv("SDES_OWN_IV");
	token_free(t);
}

void
value_tests(void)
{
	Token *t = token_new();
	SdesHsmWrap under;

	sdes_random(value, sizeof(value));
	sdes_random(aad_bytes, sizeof(aad_bytes));
	check_status(create(t, true, &under), SDES_OK, "a KEK for values");
	test_sizes(t, &under);
	test_tampering(t, &under);
	test_keys(t);
	test_other_keys(t);
	token_free(t);
	test_own_iv("filled", NULL);
	test_own_iv("appended", NULL);
	test_own_iv("replaced", NULL);
	test_own_iv("appended16", "0x150");
	test_own_iv("zeros", "made no IV");
	test_own_iv("none", "wrote 48 bytes where 60 were due");
}
