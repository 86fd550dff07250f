/*
 * test_kdf.c
 *		HKDF-SHA-256 at its edges, and random bytes. RFC 5869's own cases are in
 *		test_vectors; the one for empty inputs here was made with another library.
 */
#include "crypto/kdf.h"
#include "hex.h"
#include "tap.h"

#include <openssl/rand.h>

#define MAX_INFO 1024
#define MAX_SIZE (255 * 32)

static const SdesBytes nothing = {NULL, 0};
static uint8_t out[MAX_SIZE + 1], other[MAX_SIZE + 1];

static void
test_empty(void)
{
	uint8_t want[42];

	is_status(sdes_hkdf_sha256(nothing, nothing, NULL, 0, out, sizeof(want)), SDES_OK,
	          "no key, no salt, no info");
	ok(hex_into("eb70f01dede9afafa449eee1b1286504e1f62388b3f7dd4f956697b0e828fe18"
	            "1e59c2ec0fe6e7e7ac26",
	            want, sizeof(want)) &&
	       memcmp(out, want, sizeof(want)) == 0,
	   "the right bytes");
	is_status(sdes_hkdf_sha256(nothing, nothing, NULL, 0, NULL, 0), SDES_OK, "no output");
}

static void
test_sizes(void)
{
	SdesBytes ikm = {(const uint8_t *) "input", 5};
	long failed = 0;

	is_status(sdes_hkdf_sha256(ikm, nothing, NULL, 0, out, MAX_SIZE), SDES_OK,
	          "255 blocks");
	is_status(sdes_hkdf_sha256(ikm, nothing, NULL, 0, other, MAX_SIZE + 1),
	          SDES_ERR_TOO_LONG, "one byte more");
	for (size_t size = 0; size < 200; size++)
	{
		memset(other, 0xa5, sizeof(other));
		failed += sdes_hkdf_sha256(ikm, nothing, NULL, 0, other, size) != SDES_OK ||
		          memcmp(out, other, size) != 0 || other[size] != 0xa5;
	}
	none_failed(failed, 200,
	            "a shorter output is a prefix, and nothing is written past it");
}

static void
test_info(void)
{
	static uint8_t info[MAX_INFO + 1];
	SdesBytes ikm = {(const uint8_t *) "input", 5};
	SdesBytes whole = {info, MAX_INFO};
	SdesBytes pieces[3] = {{info, 1000}, {NULL, 0}, {info + 1000, 24}};
	SdesBytes excess[2] = {{info, 1000}, {info + 1000, 25}};

	for (size_t i = 0; i < sizeof(info); i++)
		info[i] = (uint8_t) i;
	is_status(sdes_hkdf_sha256(ikm, nothing, &whole, 1, out, 64), SDES_OK,
	          "1024 bytes of info");
	is_status(sdes_hkdf_sha256(ikm, nothing, pieces, 3, other, 64), SDES_OK, "in pieces");
	ok(memcmp(out, other, 64) == 0, "boundaries do not matter");
	is_status(sdes_hkdf_sha256(ikm, nothing, excess, 2, other, 64), SDES_ERR_TOO_LONG,
	          "one byte more");
	whole.size--;
	is_status(sdes_hkdf_sha256(ikm, nothing, &whole, 1, other, 64), SDES_OK,
	          "one byte less");
	ok(memcmp(out, other, 64) != 0, "is another output");
}

static int
no_random(unsigned char *bytes, int size)
{
	memset(bytes, 0xa5, (size_t) size);
	return 0;
}

static void
test_random(void)
{
	static RAND_METHOD broken = {.bytes = no_random, .pseudorand = no_random};

	memset(out, 0, 64);
	memset(other, 0, 64);
	is_status(sdes_random(out, 32), SDES_OK, "random bytes");
	is_status(sdes_random(other, 32), SDES_OK, "more");
	ok(memcmp(out, other, 32) != 0 && !all_bytes(out, 32, 0), "not the same");
	ok(all_bytes(out + 32, 32, 0), "nothing past the size");
	is_status(sdes_random(NULL, 0), SDES_OK, "none");
	is_status(sdes_random(NULL, (size_t) INT32_MAX + 1), SDES_ERR_TOO_LONG, "too many");
	RAND_set_rand_method(&broken);
	is_status(sdes_random(out, 32), SDES_ERR_RANDOM, "a generator that fails");
	ok(all_bytes(out, 32, 0), "leaves nothing that looks random");
	RAND_set_rand_method(NULL);
}

int
main(void)
{
	test_empty();
	test_sizes();
	test_info();
	test_random();
	return done_testing();
}
