/*
 * selftest.c
 *		The test that a provider passes before it is used.
 */
#include "provider/selftest.h"

#include "crypto/secret.h"

#include <string.h>

/* More than five times what the widest loop takes at once (768 bytes), and odd. */
#define LONGEST 4099

/* McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test case 16. */
static const uint8_t known_key[SDES_AEAD_KEY_SIZE] = {
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f,
    0x94, 0x67, 0x30, 0x83, 0x08, 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65,
    0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
static const uint8_t known_nonce[SDES_NONCE_SIZE] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce,
                                                     0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
static const uint8_t known_aad[] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe,
                                    0xef, 0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad,
                                    0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
static const uint8_t known_text[] = {
    0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5,
    0xaf, 0xf5, 0x26, 0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda,
    0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95,
    0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
    0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39};
static const uint8_t known_ciphertext[sizeof(known_text)] = {
    0x52, 0x2d, 0xc1, 0xf0, 0x99, 0x56, 0x7d, 0x07, 0xf4, 0x7f, 0x37, 0xa3,
    0x2a, 0x84, 0x42, 0x7d, 0x64, 0x3a, 0x8c, 0xdc, 0xbf, 0xe5, 0xc0, 0xc9,
    0x75, 0x98, 0xa2, 0xbd, 0x25, 0x55, 0xd1, 0xaa, 0x8c, 0xb0, 0x8e, 0x48,
    0x59, 0x0d, 0xbb, 0x3d, 0xa7, 0xb0, 0x8b, 0x10, 0x56, 0x82, 0x88, 0x38,
    0xc5, 0xf6, 0x1e, 0x63, 0x93, 0xba, 0x7a, 0x0a, 0xbc, 0xc9, 0xf6, 0x62};
static const uint8_t known_tag[SDES_AEAD_TAG_SIZE] = {0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e,
                                                      0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53,
                                                      0xbb, 0x2d, 0x55, 0x1b};

/* RFC 4231, test cases 2 and 6: a key shorter and one longer than a block. */
static const uint8_t short_mac[SDES_MAC_SIZE] = {
    0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24,
    0x26, 0x08, 0x95, 0x75, 0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27,
    0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
static const uint8_t long_mac[SDES_MAC_SIZE] = {
    0x60, 0xe4, 0x31, 0x59, 0x1e, 0xe0, 0xb6, 0x7f, 0x0d, 0x8a, 0x26,
    0xaa, 0xcb, 0xf5, 0xb7, 0x7f, 0x8e, 0x0b, 0xc6, 0x21, 0x37, 0x28,
    0xc5, 0x14, 0x05, 0x46, 0x04, 0x0f, 0x0e, 0xe3, 0x7f, 0x54};

/* Bytes without a pattern, the same every time. */
static void
fill(uint8_t *out, size_t size, uint32_t seed)
{
	for (size_t i = 0; i < size; i++)
	{
		seed = seed * 1664525 + 1013904223; /* Numerical Recipes, "quick and dirty" */
		out[i] = (uint8_t) (seed >> 24);
	}
}

static bool
all_zero(const uint8_t *bytes, size_t size)
{
	uint8_t any = 0;

	for (size_t i = 0; i < size; i++)
		any |= bytes[i];
	return any == 0;
}

static bool
known_answer(SdesAead *aead)
{
	SdesBytes aad = SDES_BYTES_OF(known_aad);
	SdesSealed sealed = {known_nonce, known_tag, SDES_BYTES_OF(known_ciphertext)};
	uint8_t out[sizeof(known_text)], tag[SDES_AEAD_TAG_SIZE];

	return sdes_aead_seal(aead, known_nonce, &aad, 1, SDES_BYTES_OF(known_text), out,
	                      tag) == SDES_OK &&
	       memcmp(out, known_ciphertext, sizeof(out)) == 0 &&
	       memcmp(tag, known_tag, sizeof(tag)) == 0 &&
	       sdes_aead_open(aead, &aad, 1, &sealed, out) == SDES_OK &&
	       memcmp(out, known_text, sizeof(out)) == 0;
}

/* With a bit of one part turned. */
static bool
refused(SdesAead *aead, uint8_t parts[4][sizeof(known_text)], size_t part, size_t bit)
{
	SdesBytes aad = sdes_bytes(parts[0], sizeof(known_aad));
	SdesSealed sealed = {parts[1], parts[2], sdes_bytes(parts[3], sizeof(known_text))};
	uint8_t out[sizeof(known_text)];
	bool good;

	memset(out, 0xa5, sizeof(out));
	parts[part][bit / 8] ^= (uint8_t) (1 << bit % 8);
	good = sdes_aead_open(aead, &aad, 1, &sealed, out) == SDES_ERR_TAG &&
	       all_zero(out, sizeof(out));
	parts[part][bit / 8] ^= (uint8_t) (1 << bit % 8);
	return good;
}

/* Every bit of AAD, nonce, tag and ciphertext counts. */
static bool
refusals(SdesAead *aead)
{
	static const size_t sizes[4] = {sizeof(known_aad), sizeof(known_nonce),
	                                sizeof(known_tag), sizeof(known_ciphertext)};
	uint8_t parts[4][sizeof(known_text)];

	memcpy(parts[0], known_aad, sizeof(known_aad));
	memcpy(parts[1], known_nonce, sizeof(known_nonce));
	memcpy(parts[2], known_tag, sizeof(known_tag));
	memcpy(parts[3], known_ciphertext, sizeof(known_ciphertext));
	for (size_t part = 0; part < 4; part++)
		for (size_t bit = 0; bit < 8 * sizes[part]; bit++)
			if (!refused(aead, parts, part, bit))
				return false;
	return true;
}

/* One message, by both: each opens what the other has sealed. */
static bool
agree(SdesAead *aead, SdesAead *openssl, SdesBytes text, SdesBytes aad)
{
	SdesAead *by[2] = {aead, openssl};
	uint8_t sealed[2][LONGEST], tags[2][SDES_AEAD_TAG_SIZE], out[LONGEST];

	for (int i = 0; i < 2; i++)
		if (sdes_aead_seal(by[i], known_nonce, &aad, 1, text, sealed[i], tags[i]) !=
		    SDES_OK)
			return false;
	for (int i = 0; i < 2; i++)
	{
		SdesSealed other = {known_nonce, tags[1 - i], sdes_bytes(sealed[1 - i], text.size)};

		if (sdes_aead_open(by[i], &aad, 1, &other, out) != SDES_OK ||
		    memcmp(out, text.data, text.size) != 0)
			return false;
	}
	return memcmp(sealed[0], sealed[1], text.size) == 0 &&
	       memcmp(tags[0], tags[1], sizeof(tags[0])) == 0;
}

/* Every size up to some blocks, and some long ones, with AAD of every size, too. */
static bool
same_as_openssl(SdesAead *aead, SdesAead *openssl)
{
	static const size_t longer[] = {255, 256, 511, 767, 768, 769, 1536, 2049, LONGEST};
	uint8_t text[LONGEST], aad[150];

	fill(text, sizeof(text), 1);
	fill(aad, sizeof(aad), 2);
	for (size_t n = 0; n <= sizeof(aad); n++)
		if (!agree(aead, openssl, sdes_bytes(text, n), sdes_bytes(aad, sizeof(aad) - n)))
			return false;
	for (size_t i = 0; i < sizeof(longer) / sizeof(longer[0]); i++)
		if (!agree(aead, openssl, sdes_bytes(text, longer[i]), SDES_BYTES_OF(aad)))
			return false;
	return true;
}

static const char *
test_aead(const SdesAeadFunctions *by)
{
	SdesAead *aead = NULL, *openssl = NULL;
	const char *why = NULL;

	if (by->create(&aead, known_key) != SDES_OK ||
	    sdes_aead_openssl.create(&openssl, known_key) != SDES_OK)
		why = "no AES-256-GCM key can be made";
	else if (!known_answer(aead))
		why = "AES-256-GCM gives another result than the published one";
	else if (!refusals(aead))
		why = "AES-256-GCM opens what was changed";
	else if (!same_as_openssl(aead, openssl))
		why = "AES-256-GCM gives another result than OpenSSL's";
	sdes_aead_free(aead);
	sdes_aead_free(openssl);
	return why;
}

/* Of a message in two pieces, twice. */
static bool
mac_is(SdesMac *mac, SdesBytes message, const uint8_t *want)
{
	size_t half = message.size / 2;
	SdesBytes pieces[2] = {sdes_bytes(message.data, half),
	                       sdes_bytes(message.data + half, message.size - half)};
	uint8_t out[SDES_MAC_SIZE];

	for (int i = 0; i < 2; i++)
	{
		memset(out, 0, sizeof(out));
		if (sdes_mac(mac, pieces, 2, out) != SDES_OK || memcmp(out, want, sizeof(out)) != 0)
			return false;
	}
	return true;
}

static bool
known_mac(const SdesMacFunctions *by, SdesBytes key, const char *message,
          const uint8_t *want)
{
	SdesMac *mac = NULL;
	bool good = by->create(&mac, key) == SDES_OK &&
	            mac_is(mac, sdes_bytes(message, strlen(message)), want);

	sdes_mac_free(mac);
	return good;
}

/* Messages of every size up to some blocks. */
static bool
same_mac_as_openssl(const SdesMacFunctions *by)
{
	uint8_t text[200], want[SDES_MAC_SIZE];
	SdesBytes key = SDES_BYTES_OF(known_key);
	SdesMac *mac = NULL;
	bool good = by->create(&mac, key) == SDES_OK;

	fill(text, sizeof(text), 3);
	for (size_t n = 0; good && n <= sizeof(text); n++)
	{
		SdesBytes message = sdes_bytes(text, n);

		good = sdes_hmac_sha256(key, &message, 1, want) == SDES_OK &&
		       mac_is(mac, message, want);
	}
	sdes_mac_free(mac);
	return good;
}

static const char *
test_mac(const SdesMacFunctions *by)
{
	uint8_t long_key[131];

	memset(long_key, 0xaa, sizeof(long_key));
	if (!known_mac(by, sdes_bytes("Jefe", 4), "what do ya want for nothing?", short_mac) ||
	    !known_mac(by, SDES_BYTES_OF(long_key),
	               "Test Using Larger Than Block-Size Key - Hash Key First", long_mac))
		return "HMAC-SHA-256 gives another result than the published one";
	if (!same_mac_as_openssl(by))
		return "HMAC-SHA-256 gives another result than OpenSSL's";
	return NULL;
}

const char *
sdes_provider_self_test(const SdesProvider *provider)
{
	const char *why = test_aead(provider->aead);

	return why != NULL ? why : test_mac(provider->mac);
}
