/*
 * test_aead.c
 *		AES-256-GCM: round trips, refusals, and no plaintext after a refusal; by
 *		every provider of this build.
 *
 * The standard's own vectors are in test_vectors.
 */
#include "crypto/aead.h"
#include "provider/provider.h"
#include "tap.h"

#include <openssl/err.h>
#include <stdlib.h>

static const uint8_t key[SDES_AEAD_KEY_SIZE] = {1, 2, 3};
static const uint8_t nonce[SDES_NONCE_SIZE] = {4, 5, 6};
static const uint8_t text[] = "attack at dawn, and bring the good umbrella";
static const uint8_t aad_bytes[] = "header|context";

#define TEXT_SIZE sizeof(text)
#define AAD_SIZE  sizeof(aad_bytes)

typedef struct Sample
{
	uint8_t ciphertext[TEXT_SIZE];
	uint8_t tag[SDES_AEAD_TAG_SIZE];
} Sample;

static SdesSealed
sealed_of(const Sample *sample)
{
	return (SdesSealed){nonce, sample->tag, SDES_BYTES_OF(sample->ciphertext)};
}

static Sample
seal_sample(SdesAead *aead, const SdesBytes *aad, int naad)
{
	Sample sample;

	is_status(sdes_aead_seal(aead, nonce, aad, naad, SDES_BYTES_OF(text), sample.ciphertext,
	                         sample.tag),
	          SDES_OK, "seal");
	return sample;
}

/* Refused, and the buffer wiped. */
static bool
refused(SdesAead *aead, const SdesBytes *aad, int naad, const SdesSealed *sealed)
{
	uint8_t out[TEXT_SIZE];

	memset(out, 0xa5, sizeof(out));
	return sdes_aead_open(aead, aad, naad, sealed, out) == SDES_ERR_TAG &&
	       all_bytes(out, sealed->ciphertext.size, 0);
}

static void
test_round_trip(SdesAead *aead)
{
	SdesBytes aad = SDES_BYTES_OF(aad_bytes);
	Sample sample = seal_sample(aead, &aad, 1);
	SdesSealed sealed = sealed_of(&sample);
	uint8_t out[TEXT_SIZE] = {0};
	long failed = 0;

	ok(memcmp(sample.ciphertext, text, TEXT_SIZE) != 0, "ciphertext is not the plaintext");
	is_status(sdes_aead_open(aead, &aad, 1, &sealed, out), SDES_OK, "open");
	ok(memcmp(out, text, TEXT_SIZE) == 0, "the plaintext comes back");

	/* Sealing and opening share a key but no state. */
	for (int i = 0; i < 100; i++)
	{
		Sample again;

		failed += sdes_aead_seal(aead, nonce, &aad, 1, SDES_BYTES_OF(text),
		                         again.ciphertext, again.tag) != SDES_OK ||
		          memcmp(&again, &sample, sizeof(sample)) != 0;
		failed += sdes_aead_open(aead, &aad, 1, &sealed, out) != SDES_OK;
		if (i % 2 == 0)
			failed += !refused(aead, NULL, 0, &sealed);
	}
	none_failed(failed, 100, "calls in turn do not disturb each other");
}

static void
test_refusals(SdesAead *aead)
{
	static const uint8_t other_key[SDES_AEAD_KEY_SIZE] = {1, 2, 4};
	static const uint8_t other_nonce[SDES_NONCE_SIZE] = {4, 5, 7};
	SdesBytes aad = SDES_BYTES_OF(aad_bytes);
	SdesBytes shorter = {aad_bytes, AAD_SIZE - 1};
	Sample sample = seal_sample(aead, &aad, 1);
	SdesSealed sealed = sealed_of(&sample);
	SdesAead *other = NULL;

	ok(sdes_aead_new(&other, SDES_BYTES_OF(other_key)) == SDES_OK &&
	       refused(other, &aad, 1, &sealed),
	   "another key");
	sdes_aead_free(other);
	ok(refused(aead, NULL, 0, &sealed), "no aad");
	ok(refused(aead, &shorter, 1, &sealed), "shorter aad");
	sealed.nonce = other_nonce;
	ok(refused(aead, &aad, 1, &sealed), "another nonce");
	sealed = sealed_of(&sample);
	sealed.ciphertext.size--;
	ok(refused(aead, &aad, 1, &sealed), "shorter ciphertext");
	ERR_raise(ERR_LIB_USER, 1);
	ok(refused(aead, NULL, 0, &sealed) && ERR_peek_error() == 0,
	   "no error is left in OpenSSL's queue");
}

static void
test_bit_flips(SdesAead *aead)
{
	SdesBytes aad = SDES_BYTES_OF(aad_bytes);
	Sample sample = seal_sample(aead, &aad, 1);
	long failed = 0;

	for (size_t bit = 0; bit < sizeof(Sample) * 8; bit++)
	{
		Sample bent = sample;
		SdesSealed sealed = sealed_of(&bent);

		((uint8_t *) &bent)[bit / 8] ^= (uint8_t) (1 << bit % 8);
		failed += !refused(aead, &aad, 1, &sealed);
	}
	none_failed(failed, sizeof(Sample) * 8,
	            "every bit of ciphertext and tag counts, output wiped");

	failed = 0;
	for (size_t bit = 0; bit < AAD_SIZE * 8; bit++)
	{
		uint8_t bent[AAD_SIZE];
		SdesBytes bent_aad = SDES_BYTES_OF(bent);
		SdesSealed sealed = sealed_of(&sample);

		memcpy(bent, aad_bytes, AAD_SIZE);
		bent[bit / 8] ^= (uint8_t) (1 << bit % 8);
		failed += !refused(aead, &bent_aad, 1, &sealed);
	}
	none_failed(failed, AAD_SIZE * 8, "every bit of the aad counts");
}

/* The aad is the concatenation; where one piece ends is not authenticated. */
static void
test_aad_pieces(SdesAead *aead)
{
	SdesBytes whole = SDES_BYTES_OF(aad_bytes);
	Sample sample = seal_sample(aead, &whole, 1);
	SdesSealed sealed = sealed_of(&sample);
	long failed = 0;

	for (size_t cut = 0; cut <= AAD_SIZE; cut++)
	{
		SdesBytes pieces[3] = {
		    {aad_bytes, cut}, {NULL, 0}, {aad_bytes + cut, AAD_SIZE - cut}};
		uint8_t out[TEXT_SIZE];

		failed += sdes_aead_open(aead, pieces, 3, &sealed, out) != SDES_OK ||
		          memcmp(out, text, TEXT_SIZE) != 0;
	}
	none_failed(failed, AAD_SIZE + 1, "piece boundaries do not matter, the bytes do");
}

static void
test_empty(SdesAead *aead)
{
	SdesBytes aad = SDES_BYTES_OF(aad_bytes);
	SdesBytes nothing = {NULL, 0};
	uint8_t tag[SDES_AEAD_TAG_SIZE], bare[SDES_AEAD_TAG_SIZE];
	SdesSealed sealed = {nonce, tag, nothing};

	is_status(sdes_aead_seal(aead, nonce, &aad, 1, nothing, NULL, tag), SDES_OK,
	          "seal no bytes into no buffer");
	is_status(sdes_aead_open(aead, &aad, 1, &sealed, NULL), SDES_OK, "open no bytes");
	is_status(sdes_aead_open(aead, NULL, 0, &sealed, NULL), SDES_ERR_TAG,
	          "no bytes under no aad");
	is_status(sdes_aead_seal(aead, nonce, NULL, 0, nothing, NULL, bare), SDES_OK,
	          "seal no bytes under no aad");
	sealed.tag = bare;
	is_status(sdes_aead_open(aead, NULL, 0, &sealed, NULL), SDES_OK, "open them");
	tag[0] = (uint8_t) (bare[0] ^ 1);
	memcpy(tag + 1, bare + 1, sizeof(tag) - 1);
	sealed.tag = tag;
	is_status(sdes_aead_open(aead, NULL, 0, &sealed, NULL), SDES_ERR_TAG, "bent tag");
}

static void
test_limits(SdesAead *aead)
{
	uint8_t tag[SDES_AEAD_TAG_SIZE] = {0};
	SdesBytes huge = {text, (size_t) SDES_AEAD_MAX_SIZE + 1};
	SdesBytes wrapping = {text, (size_t) UINT32_MAX + 2};
	SdesSealed sealed = {nonce, tag, huge};

	is_status(sdes_aead_seal(aead, nonce, NULL, 0, huge, NULL, tag), SDES_ERR_TOO_LONG,
	          "plaintext past the limit");
	is_status(sdes_aead_seal(aead, nonce, NULL, 0, wrapping, NULL, tag), SDES_ERR_TOO_LONG,
	          "plaintext that would wrap an int");
	is_status(sdes_aead_seal(aead, nonce, &huge, 1, SDES_BYTES_OF(text), NULL, tag),
	          SDES_ERR_TOO_LONG, "aad past the limit");
	is_status(sdes_aead_open(aead, NULL, 0, &sealed, NULL), SDES_ERR_TOO_LONG,
	          "ciphertext past the limit");
}

static void
test_keys(void)
{
	uint8_t long_key[SDES_AEAD_KEY_SIZE + 1] = {0};
	SdesAead *aead = (SdesAead *) long_key;

	is_status(sdes_aead_new(&aead, sdes_bytes(long_key, 16)), SDES_ERR_CRYPTO,
	          "a short key");
	ok(aead == NULL, "no object for it");
	is_status(sdes_aead_new(&aead, SDES_BYTES_OF(long_key)), SDES_ERR_CRYPTO, "a long key");
	sdes_aead_free(NULL);
	ok(true, "freeing none is fine");
}

static void
test_provider(const SdesProvider *provider)
{
	SdesAead *aead = NULL;

	diag("%s", provider->name);
	sdes_provider_use(provider);
	is_status(sdes_aead_new(&aead, SDES_BYTES_OF(key)), SDES_OK, "new");
	ok(aead->by == provider->aead, "of %s", provider->name);
	test_round_trip(aead);
	test_refusals(aead);
	test_bit_flips(aead);
	test_aad_pieces(aead);
	test_empty(aead);
	test_limits(aead);
	sdes_aead_free(aead);
	test_keys();
}

int
main(void)
{
	for (const SdesProvider *const *at = sdes_providers(); *at != NULL; at++)
		test_provider(*at);
	return done_testing();
}
