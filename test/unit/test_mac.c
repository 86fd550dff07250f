/*
 * test_mac.c
 *		HMAC-SHA-256, SHA-256 and the constant-time comparison: pieces, empty
 *		inputs, independence of calls. The standard's vectors are in test_vectors.
 */
#include "crypto/mac.h"
#include "hex.h"
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
	test_equal();
	return done_testing();
}
