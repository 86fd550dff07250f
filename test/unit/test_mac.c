/*
 * test_mac.c
 *		HMAC-SHA-256, SHA-256 and the constant-time comparison: pieces, empty
 *		inputs, independence of calls. The standard's vectors are in test_vectors.
 */
#include "crypto/mac.h"
#include "hex.h"
#include "provider/provider.h"
#include "tap.h"

static const uint8_t message[] = "the quick brown fox jumps over the lazy dog, twice over";

static bool
matches(const uint8_t *got, const char *want)
{
	uint8_t bytes[32];

	return hex_into(want, bytes, sizeof(bytes)) && memcmp(got, bytes, sizeof(bytes)) == 0;
}

static void
test_empty(void)
{
	SdesBytes nothing = {NULL, 0};
	uint8_t out[SDES_MAC_SIZE];

	is_status(sdes_hmac_sha256(nothing, NULL, 0, out), SDES_OK, "hmac, no key, no pieces");
	ok(matches(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
	   "hmac of nothing");
	is_status(sdes_hmac_sha256(nothing, &nothing, 1, out), SDES_OK, "hmac, an empty piece");
	ok(matches(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
	   "the same");
	is_status(sdes_sha256(NULL, 0, out), SDES_OK, "digest, no pieces");
	ok(matches(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
	   "digest of nothing");
}

static void
test_pieces(void)
{
	SdesBytes key = {(const uint8_t *) "key", 3};
	SdesBytes whole = SDES_BYTES_OF(message);
	uint8_t mac[SDES_MAC_SIZE], digest[SDES_DIGEST_SIZE], out[SDES_MAC_SIZE];
	long failed = 0;

	if (sdes_hmac_sha256(key, &whole, 1, mac) != SDES_OK ||
	    sdes_sha256(&whole, 1, digest) != SDES_OK)
		failed++;
	for (size_t cut = 0; cut <= sizeof(message); cut++)
	{
		SdesBytes pieces[3] = {
		    {message, cut}, {NULL, 0}, {message + cut, sizeof(message) - cut}};

		failed += sdes_hmac_sha256(key, pieces, 3, out) != SDES_OK ||
		          memcmp(out, mac, sizeof(mac)) != 0;
		failed += sdes_sha256(pieces, 3, out) != SDES_OK ||
		          memcmp(out, digest, sizeof(digest)) != 0;
	}
	none_failed(failed, sizeof(message) + 1, "piece boundaries do not matter");
}

/* A key of an earlier call, or its length, must not show in a later one. */
static void
test_no_memory_of_keys(void)
{
	static uint8_t keys[200];
	SdesBytes whole = SDES_BYTES_OF(message);
	SdesBytes nothing = {NULL, 0};
	uint8_t first[SDES_MAC_SIZE], out[SDES_MAC_SIZE];
	long failed = sdes_hmac_sha256(nothing, &whole, 1, first) != SDES_OK;
	long same = 0;

	for (size_t size = 1; size <= sizeof(keys); size++)
	{
		keys[size - 1] = (uint8_t) size;
		failed += sdes_hmac_sha256(sdes_bytes(keys, size), &whole, 1, out) != SDES_OK;
		same += memcmp(out, first, sizeof(out)) == 0;
		failed += sdes_hmac_sha256(nothing, &whole, 1, out) != SDES_OK ||
		          memcmp(out, first, sizeof(out)) != 0;
	}
	none_failed(failed, sizeof(keys),
	            "an empty key after any other is still the empty key");
	none_failed(same, sizeof(keys), "and another key gives another result");
}

/* A kept key of every length gives what a key of the moment gives, again and again. */
static void
test_kept_keys(void)
{
	static uint8_t keys[200];
	SdesBytes whole = SDES_BYTES_OF(message);
	uint8_t out[SDES_MAC_SIZE], want[SDES_MAC_SIZE];
	long failed = 0;

	for (size_t size = 0; size <= sizeof(keys); size++)
	{
		SdesBytes key = {size > 0 ? keys : NULL, size};
		SdesMac *mac = NULL;

		failed += sdes_mac_new(&mac, key) != SDES_OK || mac == NULL;
		if (size > 0)
			memset(keys, 0xa5, size); /* it has a copy */
		for (size_t n = 0; mac != NULL && n <= sizeof(message); n += 7)
		{
			for (size_t i = 0; i < size; i++)
				keys[i] = (uint8_t) (i + 1);
			whole.size = n;
			failed += sdes_hmac_sha256(key, &whole, 1, want) != SDES_OK;
			if (size > 0)
				memset(keys, 0xa5, size);
			memset(out, 0, sizeof(out));
			failed += sdes_mac(mac, &whole, 1, out) != SDES_OK ||
			          memcmp(out, want, sizeof(out)) != 0;
		}
		sdes_mac_free(mac);
		for (size_t i = 0; i < size + 1 && i < sizeof(keys); i++)
			keys[i] = (uint8_t) (i + 1);
	}
	none_failed(failed, sizeof(keys) + 1, "kept keys of every length, many messages");
}

/* Pieces that are empty, or none, and two keys that are used in turn. */
static void
test_kept_pieces(void)
{
	static const uint8_t other_key[5] = {1};
	SdesBytes whole = SDES_BYTES_OF(message), nothing = {NULL, 0};
	uint8_t want[2][SDES_MAC_SIZE], empty[SDES_MAC_SIZE], out[SDES_MAC_SIZE];
	SdesMac *macs[2] = {NULL, NULL};
	SdesBytes keys[2] = {{(const uint8_t *) "key", 3}, SDES_BYTES_OF(other_key)};
	long failed = 0;

	for (int i = 0; i < 2; i++)
		failed += sdes_mac_new(&macs[i], keys[i]) != SDES_OK ||
		          sdes_hmac_sha256(keys[i], &whole, 1, want[i]) != SDES_OK;
	failed += sdes_hmac_sha256(keys[0], NULL, 0, empty) != SDES_OK;
	for (size_t cut = 0; failed == 0 && cut <= sizeof(message); cut++)
	{
		SdesBytes pieces[3] = {
		    {message, cut}, {NULL, 0}, {message + cut, sizeof(message) - cut}};

		for (int i = 0; i < 2; i++)
			failed += sdes_mac(macs[i], pieces, 3, out) != SDES_OK ||
			          memcmp(out, want[i], sizeof(out)) != 0;
		failed += sdes_mac(macs[0], NULL, 0, out) != SDES_OK ||
		          memcmp(out, empty, sizeof(out)) != 0;
		failed += sdes_mac(macs[0], &nothing, 1, out) != SDES_OK ||
		          memcmp(out, empty, sizeof(out)) != 0;
	}
	none_failed(failed, sizeof(message) + 1, "pieces of a kept key's messages");
	for (int i = 0; i < 2; i++)
		sdes_mac_free(macs[i]);
	sdes_mac_free(NULL);
}

static void
test_equal(void)
{
	uint8_t a[40] = {0}, b[40] = {0};
	long failed = 0;

	ok(sdes_equal(a, b, sizeof(a)), "equal");
	ok(sdes_equal(NULL, NULL, 0), "no bytes are equal");
	for (size_t bit = 0; bit < sizeof(a) * 8; bit++)
	{
		b[bit / 8] ^= (uint8_t) (1 << bit % 8);
		failed += sdes_equal(a, b, sizeof(a));
		failed += sdes_equal(a, b, bit / 8 + 1);
		failed += !sdes_equal(a, b, bit / 8);
		b[bit / 8] = 0;
	}
	none_failed(failed, sizeof(a) * 8, "every bit counts, up to the size");
}

int
main(void)
{
	test_empty();
	test_pieces();
	test_no_memory_of_keys();
	for (const SdesProvider *const *at = sdes_providers(); *at != NULL; at++)
	{
		diag("kept keys by %s", (*at)->mac_by);
		sdes_provider_use(*at);
		test_kept_keys();
		test_kept_pieces();
	}
	test_equal();
	return done_testing();
}
