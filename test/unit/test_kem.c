/*
 * test_kem.c
 *		ML-KEM-768, where OpenSSL has it: known answers, and a round trip. Where it has
 *		not, everything says so.
 */
#include "parcel/kem.h"
#include "hex.h"
#include "kat.h"
#include "tap.h"

static void
test_known_answers(void)
{
	static Kat kat;
	KatFile file;
	uint8_t seed[64], ciphertext[SDES_KEM_CIPHERTEXT_SIZE], want[SDES_KEM_SECRET_SIZE];
	uint8_t secret[SDES_KEM_SECRET_SIZE];

	if (!ok(kat_open(&file, "kem.kat"), "the known answers"))
		return;
	while (kat_next(&file, &kat))
	{
		ok(hex_into(kat_field(&kat, "seed"), seed, sizeof(seed)) &&
		       hex_into(kat_field(&kat, "ciphertext"), ciphertext, sizeof(ciphertext)) &&
		       hex_into(kat_field(&kat, "secret"), want, sizeof(want)) &&
		       sdes_kem_decapsulate_seed(SDES_BYTES_OF(seed), ciphertext, secret) ==
		           SDES_OK &&
		       memcmp(secret, want, sizeof(want)) == 0,
		   "%s", kat_field(&kat, "name"));
	}
	kat_close(&file);
}

static void
test_round_trip(void)
{
	uint8_t root[SDES_KEM_ROOT_SIZE] = {1, 2, 3}, public_key[SDES_KEM_PUBLIC_SIZE];
	uint8_t ciphertext[SDES_KEM_CIPHERTEXT_SIZE], there[SDES_KEM_SECRET_SIZE];
	uint8_t back[SDES_KEM_SECRET_SIZE];

	is_status(sdes_kem_public(SDES_BYTES_OF(root), public_key), SDES_OK, "a public key");
	is_status(sdes_kem_encapsulate(public_key, ciphertext, there), SDES_OK, "a secret");
	is_status(sdes_kem_decapsulate(SDES_BYTES_OF(root), ciphertext, back), SDES_OK,
	          "it comes back");
	ok(memcmp(there, back, sizeof(there)) == 0, "the same");
	ciphertext[100] ^= 1;
	is_status(sdes_kem_decapsulate(SDES_BYTES_OF(root), ciphertext, back), SDES_OK,
	          "of another ciphertext");
	ok(memcmp(there, back, sizeof(there)) != 0, "comes another one");
	memset(public_key, 0xff, sizeof(public_key));
	is_status(sdes_kem_encapsulate(public_key, ciphertext, there), SDES_ERR_FORMAT,
	          "what is no public key");
}

/* OpenSSL before 3.5. */
static void
test_absence(void)
{
	uint8_t root[SDES_KEM_ROOT_SIZE] = {1}, public_key[SDES_KEM_PUBLIC_SIZE] = {0};
	uint8_t ciphertext[SDES_KEM_CIPHERTEXT_SIZE] = {0}, secret[SDES_KEM_SECRET_SIZE];

	diag("this OpenSSL has no ML-KEM-768");
	is_status(sdes_kem_public(SDES_BYTES_OF(root), public_key), SDES_ERR_SUITE, "no key");
	is_status(sdes_kem_encapsulate(public_key, ciphertext, secret), SDES_ERR_SUITE,
	          "nothing is encapsulated");
	is_status(sdes_kem_decapsulate(SDES_BYTES_OF(root), ciphertext, secret), SDES_ERR_SUITE,
	          "nor the reverse");
	is_status(sdes_kem_decapsulate_seed(SDES_BYTES_OF(root), ciphertext, secret),
	          SDES_ERR_SUITE, "from a seed neither");
}

int
main(void)
{
	if (sdes_kem_available())
	{
		test_known_answers();
		test_round_trip();
	}
	else
		test_absence();
	return done_testing();
}
