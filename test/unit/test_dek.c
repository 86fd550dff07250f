/*
 * test_dek.c
 *		The DEK's derived keys: the frozen known answers, and a commitment that
 *		every field of the binding changes.
 *
 * dek.kat was written once by an implementation of its own, from the
 * definition, in another language. It is never made anew, only added to.
 */
#include "envelope/dek.h"
#include "child.h"
#include "hex.h"
#include "kat.h"
#include "tap.h"

static uint8_t dek[SDES_DEK_SIZE] = {1, 2, 3};
static const SdesDekBinding sample = {.key_id = {1},
                                      .bucket = {2},
                                      .version = 3,
                                      .purpose = SDES_PURPOSE_DATA,
                                      .mode = SDES_MODE_CACHED,
                                      .kek_id = {4}};

typedef struct DekCase
{
	uint8_t dek[SDES_DEK_SIZE];
	SdesDekBinding fields;
	uint8_t binding[SDES_DEK_BINDING_SIZE];
	uint8_t commitment[SDES_COMMITMENT_SIZE];
	uint8_t sealing_key[SDES_AEAD_KEY_SIZE];
	bool searches; /* what follows is there */
	uint8_t search_key[SDES_DEK_SIZE];
	uint8_t tag[4];
	uint8_t token[SDES_TOKEN_SIZE];
	uint8_t *text;
	size_t text_size;
} DekCase;

static bool
read_search(const Kat *kat, DekCase *c)
{
	c->searches = strcmp(kat_optional(kat, "search_key"), "-") != 0;
	return !c->searches ||
	       (hex_into(kat_field(kat, "search_key"), c->search_key, sizeof(c->search_key)) &&
	        hex_into(kat_field(kat, "tag"), c->tag, sizeof(c->tag)) &&
	        hex_into(kat_field(kat, "token"), c->token, sizeof(c->token)) &&
	        hex_decode(kat_field(kat, "text"), &c->text, &c->text_size));
}

static bool
read_case(const Kat *kat, DekCase *c)
{
	*c = (DekCase){.text = NULL};
	if (!hex_into(kat_field(kat, "dek"), c->dek, sizeof(c->dek)) ||
	    !hex_into(kat_field(kat, "key_id"), c->fields.key_id, SDES_KEY_ID_SIZE) ||
	    !hex_into(kat_field(kat, "bucket"), c->fields.bucket, SDES_UUID_SIZE) ||
	    !hex_into(kat_field(kat, "kek_id"), c->fields.kek_id, SDES_KEK_ID_SIZE))
		return false;
	c->fields.version = (uint32_t) strtoul(kat_field(kat, "version"), NULL, 10);
	c->fields.purpose = (uint8_t) atoi(kat_field(kat, "purpose"));
	c->fields.mode = (uint8_t) atoi(kat_field(kat, "mode"));
	return hex_into(kat_field(kat, "binding"), c->binding, sizeof(c->binding)) &&
	       hex_into(kat_field(kat, "commitment"), c->commitment, sizeof(c->commitment)) &&
	       hex_into(kat_field(kat, "sealing_key"), c->sealing_key,
	                sizeof(c->sealing_key)) &&
	       read_search(kat, c);
}

/* The key that sdes_dek_open() expands is the sealing key and no other. */
static bool
opens_with_key(const DekCase *c)
{
	static const uint8_t nonce[SDES_NONCE_SIZE];
	uint8_t sealed[2][4], tags[2][SDES_AEAD_TAG_SIZE];
	SdesAead *aeads[2] = {NULL, NULL};
	bool same = sdes_dek_open(SDES_BYTES_OF(c->dek), &c->fields, c->commitment,
	                          &aeads[0]) == SDES_OK &&
	            sdes_aead_new(&aeads[1], SDES_BYTES_OF(c->sealing_key)) == SDES_OK;

	for (int i = 0; same && i < 2; i++)
		same = sdes_aead_seal(aeads[i], nonce, NULL, 0, sdes_bytes("text", 4), sealed[i],
		                      tags[i]) == SDES_OK;
	same = same && memcmp(sealed[0], sealed[1], 4) == 0 &&
	       memcmp(tags[0], tags[1], SDES_AEAD_TAG_SIZE) == 0;
	sdes_aead_free(aeads[0]);
	sdes_aead_free(aeads[1]);
	return same;
}

/* In mode hsm the DEK proves its row, and is no key. */
static bool
proves_only(const DekCase *c)
{
	SdesAead *aead = NULL;

	return sdes_dek_open(SDES_BYTES_OF(c->dek), &c->fields, c->commitment, &aead) ==
	           SDES_ERR_FORMAT &&
	       aead == NULL;
}

/* The key that sdes_dek_open_search() expands is the search key, and makes the token. */
static bool
makes_token(const DekCase *c)
{
	SdesBytes pieces[2] = {SDES_BYTES_OF(c->tag), {c->text, c->text_size}};
	uint8_t macs[2][SDES_MAC_SIZE];
	SdesMac *mac = NULL;
	bool same =
	    sdes_dek_open_search(SDES_BYTES_OF(c->dek), &c->fields, c->commitment, &mac) ==
	        SDES_OK &&
	    sdes_mac(mac, pieces, 2, macs[0]) == SDES_OK &&
	    sdes_hmac_sha256(SDES_BYTES_OF(c->search_key), pieces, 2, macs[1]) == SDES_OK &&
	    memcmp(macs[0], macs[1], SDES_MAC_SIZE) == 0 &&
	    memcmp(macs[0], c->token, SDES_TOKEN_SIZE) == 0;

	sdes_mac_free(mac);
	return same;
}

/* Another purpose, or a key that stays in the HSM, searches nothing. */
static bool
searches_nothing(const DekCase *c)
{
	SdesMac *mac = (SdesMac *) (uintptr_t) c;

	return sdes_dek_open_search(SDES_BYTES_OF(c->dek), &c->fields, c->commitment, &mac) ==
	           SDES_ERR_FORMAT &&
	       mac == NULL;
}

static void
check_case(const DekCase *c, const char *name)
{
	uint8_t binding[SDES_DEK_BINDING_SIZE], commitment[SDES_COMMITMENT_SIZE];
	uint8_t again[SDES_DEK_BINDING_SIZE];
	SdesDekBinding decoded;
	SdesSecret key;

	sdes_dek_binding_encode(&c->fields, binding);
	ok(memcmp(binding, c->binding, sizeof(binding)) == 0, "%s: binding", name);
	if (ok(sdes_dek_binding_decode(SDES_BYTES_OF(c->binding), &decoded), "%s: decodes",
	       name))
	{
		sdes_dek_binding_encode(&decoded, again);
		ok(memcmp(again, binding, sizeof(again)) == 0, "%s: to the same fields", name);
	}
	ok(sdes_dek_commitment(SDES_BYTES_OF(c->dek), &c->fields, commitment) == SDES_OK &&
	       memcmp(commitment, c->commitment, sizeof(commitment)) == 0,
	   "%s: commitment", name);
	ok(sdes_dek_sealing_key(SDES_BYTES_OF(c->dek), &key) == SDES_OK &&
	       same_bytes(sdes_secret_bytes(&key), SDES_BYTES_OF(c->sealing_key)),
	   "%s: sealing key", name);
	sdes_secret_free(&key);
	is_status(sdes_dek_check(SDES_BYTES_OF(c->dek), &c->fields, c->commitment), SDES_OK,
	          name);
	if (c->fields.mode == SDES_MODE_HSM)
		ok(proves_only(c), "%s: is no key", name);
	else
		ok(opens_with_key(c), "%s: opens to that key", name);
	if (c->searches)
		ok(makes_token(c), "%s: is the known one", name);
	if (c->fields.purpose != SDES_PURPOSE_SEARCH || c->fields.mode != SDES_MODE_CACHED)
		ok(searches_nothing(c), "%s: makes no tokens", name);
}

static void
test_known_answers(void)
{
	KatFile file;
	Kat kat;
	DekCase c;
	int cases = 0, searching = 0;

	if (!ok(kat_open(&file, "dek.kat"), "dek.kat is there"))
		return;
	while (kat_next(&file, &kat))
	{
		cases++;
		if (ok(read_case(&kat, &c), "%s: is well-formed", kat_field(&kat, "name")))
			check_case(&c, kat_field(&kat, "name"));
		searching += c.searches;
		free(c.text);
	}
	kat_close(&file);
	ok(cases == 16 && searching == 8, "16 known answers, 8 with a token: %d, %d", cases,
	   searching);
}

/* Every bit of the binding, of the key and of the commitment itself. */
static void
test_commitment_covers_all(void)
{
	uint8_t commitment[SDES_COMMITMENT_SIZE], encoded[SDES_DEK_BINDING_SIZE];
	SdesAead *aead = NULL;
	long opened = 0, decoded = 0;

	is_status(sdes_dek_commitment(SDES_BYTES_OF(dek), &sample, commitment), SDES_OK,
	          "commitment");
	sdes_dek_binding_encode(&sample, encoded);
	for (size_t bit = 0; bit < sizeof(encoded) * 8; bit++)
	{
		SdesDekBinding other;

		encoded[bit / 8] ^= (uint8_t) (1 << bit % 8);
		/* What is no known purpose or mode still must not open. */
		decoded += sdes_dek_binding_decode(SDES_BYTES_OF(encoded), &other);
		opened +=
		    sdes_dek_open(SDES_BYTES_OF(dek), &other, commitment, &aead) !=
		        SDES_ERR_COMMITMENT ||
		    aead != NULL ||
		    sdes_dek_check(SDES_BYTES_OF(dek), &other, commitment) != SDES_ERR_COMMITMENT;
		encoded[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	none_failed(opened, sizeof(encoded) * 8, "every bit of the binding counts");
	ok(decoded == 46 * 8 - 14,
	   "of 16 bits of purpose and mode, 2 lead to another known one: %ld", decoded);

	opened = 0;
	for (size_t bit = 0; bit < SDES_DEK_SIZE * 8; bit++)
	{
		dek[bit / 8] ^= (uint8_t) (1 << bit % 8);
		opened += sdes_dek_open(SDES_BYTES_OF(dek), &sample, commitment, &aead) !=
		              SDES_ERR_COMMITMENT ||
		          aead != NULL;
		dek[bit / 8] ^= (uint8_t) (1 << bit % 8);
		commitment[bit / 8] ^= (uint8_t) (1 << bit % 8);
		opened += sdes_dek_open(SDES_BYTES_OF(dek), &sample, commitment, &aead) !=
		              SDES_ERR_COMMITMENT ||
		          aead != NULL;
		commitment[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	none_failed(opened, SDES_DEK_SIZE * 8 * 2, "every bit of key and commitment counts");
	is_status(sdes_dek_open(SDES_BYTES_OF(dek), &sample, commitment, &aead), SDES_OK,
	          "the right ones");
	sdes_aead_free(aead);
}

/* Of every purpose and mode, one opens to a search key; and only under its commitment. */
static void
test_search_keys(void)
{
	uint8_t commitment[SDES_COMMITMENT_SIZE];
	SdesDekBinding binding = sample;
	SdesMac *mac = NULL;
	long failed = 0;

	for (int purpose = 0; purpose <= 255; purpose++)
	{
		for (int mode = 0; mode <= 3; mode++)
		{
			bool right = purpose == SDES_PURPOSE_SEARCH && mode == SDES_MODE_CACHED;

			binding.purpose = (uint8_t) purpose;
			binding.mode = (uint8_t) mode;
			failed +=
			    sdes_dek_commitment(SDES_BYTES_OF(dek), &binding, commitment) != SDES_OK;
			failed += sdes_dek_open_search(SDES_BYTES_OF(dek), &binding, commitment,
			                               &mac) != (right ? SDES_OK : SDES_ERR_FORMAT) ||
			          (mac != NULL) != right;
			sdes_mac_free(mac);
		}
	}
	none_failed(failed, 1024, "a search key is one by purpose and mode");

	binding.purpose = SDES_PURPOSE_SEARCH;
	binding.mode = SDES_MODE_CACHED;
	failed = sdes_dek_commitment(SDES_BYTES_OF(dek), &binding, commitment) != SDES_OK;
	for (size_t bit = 0; bit < sizeof(commitment) * 8; bit++)
	{
		commitment[bit / 8] ^= (uint8_t) (1 << bit % 8);
		failed += sdes_dek_open_search(SDES_BYTES_OF(dek), &binding, commitment, &mac) !=
		              SDES_ERR_COMMITMENT ||
		          mac != NULL;
		commitment[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	for (size_t size = 0; size < SDES_DEK_SIZE; size++)
		failed += sdes_dek_open_search(sdes_bytes(dek, size), &binding, commitment, &mac) !=
		              SDES_ERR_COMMITMENT ||
		          mac != NULL;
	none_failed(failed, sizeof(commitment) * 8 + SDES_DEK_SIZE,
	            "and whole, and as its row commits to");
}

static void
test_binding_decode(void)
{
	uint8_t bytes[SDES_DEK_BINDING_SIZE + 1] = {0};
	SdesDekBinding binding;
	long failed = 0;

	for (int value = 0; value < 256; value++)
	{
		bytes[28] = (uint8_t) value;
		bytes[29] = SDES_MODE_HSM;
		failed += sdes_dek_binding_decode(sdes_bytes(bytes, 46), &binding) !=
		          (value >= 1 && value <= SDES_PURPOSE_PARCEL);
		bytes[28] = SDES_PURPOSE_AUDIT;
		bytes[29] = (uint8_t) value;
		failed += sdes_dek_binding_decode(sdes_bytes(bytes, 46), &binding) !=
		          (value == 1 || value == 2);
	}
	none_failed(failed, 512, "known purposes and modes only");
	bytes[29] = SDES_MODE_CACHED;
	failed = 0;
	for (size_t size = 0; size <= sizeof(bytes); size++)
		failed +=
		    sdes_dek_binding_decode(sdes_bytes(bytes, size), &binding) != (size == 46);
	none_failed(failed, sizeof(bytes) + 1, "exactly 46 bytes");
}

static void
test_wrong_sizes(void)
{
	uint8_t commitment[SDES_COMMITMENT_SIZE] = {0}, wide[SDES_DEK_SIZE + 1] = {0};
	long failed = 0;

	for (size_t size = 0; size <= sizeof(wide); size++)
	{
		SdesAead *aead = (SdesAead *) wide;
		SdesSecret key;
		SdesBytes bytes = {wide, size};

		if (size == SDES_DEK_SIZE)
			continue;
		failed += sdes_dek_commitment(bytes, &sample, commitment) != SDES_ERR_FORMAT;
		failed += sdes_dek_sealing_key(bytes, &key) != SDES_ERR_FORMAT || key.data != NULL;
		failed += sdes_dek_open(bytes, &sample, commitment, &aead) != SDES_ERR_COMMITMENT ||
		          aead != NULL;
	}
	none_failed(failed, (long) sizeof(wide), "a key of another size");
}

static SdesSecret held[SDES_SECRET_HEAP_SIZE / 32];

/* Without locked memory: an error, no object, and nothing kept. */
static bool
no_locked_memory(void)
{
	uint8_t commitment[SDES_COMMITMENT_SIZE];
	SdesDekBinding search = sample;
	uint8_t search_commitment[SDES_COMMITMENT_SIZE];
	SdesAead *aead = NULL;
	SdesMac *mac = NULL;
	int n = 0;
	bool good = sdes_dek_commitment(SDES_BYTES_OF(dek), &sample, commitment) == SDES_OK;

	search.purpose = SDES_PURPOSE_SEARCH;
	good = good &&
	       sdes_dek_commitment(SDES_BYTES_OF(dek), &search, search_commitment) == SDES_OK;
	while (n < (int) (sizeof(held) / sizeof(held[0])) &&
	       sdes_secret_new(&held[n], 32) == SDES_OK)
		n++;
	good = good && sdes_dek_open(SDES_BYTES_OF(dek), &sample, commitment, &aead) ==
	                   SDES_ERR_LOCKED_MEMORY;
	good = good && aead == NULL;
	good = good && sdes_dek_open_search(SDES_BYTES_OF(dek), &search, search_commitment,
	                                    &mac) == SDES_ERR_LOCKED_MEMORY;
	good = good && mac == NULL;
	while (n > 0)
		sdes_secret_free(&held[--n]);
	good = good && sdes_dek_open(SDES_BYTES_OF(dek), &sample, commitment, &aead) == SDES_OK;
	sdes_aead_free(aead);
	good = good && sdes_dek_open_search(SDES_BYTES_OF(dek), &search, search_commitment,
	                                    &mac) == SDES_OK;
	sdes_mac_free(mac);
	return good;
}

int
main(void)
{
	ok(child_passes(no_locked_memory), "no locked memory, and then some again");
	test_known_answers();
	test_commitment_covers_all();
	test_search_keys();
	test_binding_decode();
	test_wrong_sizes();
	return done_testing();
}
