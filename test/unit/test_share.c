/*
 * test_share.c
 *		Shamir's secret sharing: the vector of draft-mcgrew-tss-03, section 9, and
 *		that enough shares give the secret back and fewer do not.
 */
#include "parcel/share.h"
#include "hex.h"
#include "tap.h"

#define SIZE 32

static void
test_vector(void)
{
	static const uint8_t numbers[2] = {1, 2};
	uint8_t shares[10], secret[5], want[5];

	ok(hex_into("b9fa07e185f5409b4511", shares, sizeof(shares)) &&
	       hex_into("7465737400", want, sizeof(want)) &&
	       sdes_share_combine(numbers, shares, 2, secret, sizeof(secret)) == SDES_OK &&
	       memcmp(secret, want, sizeof(want)) == 0,
	   "draft-mcgrew-tss-03");
}

/* Combines those shares whose bit is set; true when the secret comes out. */
static bool
combines(const uint8_t *secret, const uint8_t *shares, unsigned which, int *used)
{
	uint8_t numbers[SDES_SHARES_MAX], chosen[SDES_SHARES_MAX * SIZE], out[SIZE];

	*used = 0;
	for (int i = 0; i < SDES_SHARES_MAX; i++)
	{
		if ((which & (1u << i)) == 0)
			continue;
		numbers[*used] = (uint8_t) (i + 1);
		memcpy(chosen + *used * SIZE, shares + i * SIZE, SIZE);
		(*used)++;
	}
	return sdes_share_combine(numbers, chosen, *used, out, SIZE) == SDES_OK &&
	       memcmp(out, secret, SIZE) == 0;
}

static void
test_thresholds(void)
{
	uint8_t secret[SIZE], shares[SDES_SHARES_MAX * SIZE];
	long failed = 0, total = 0;

	for (int i = 0; i < SIZE; i++)
		secret[i] = (uint8_t) (i * 37 + 1);
	for (int threshold = 1; threshold <= 6; threshold++)
	{
		failed += sdes_share_split(SDES_BYTES_OF(secret), threshold, 6, shares) != SDES_OK;
		for (unsigned which = 1; which < 64; which++)
		{
			int used;
			bool right = combines(secret, shares, which, &used);

			failed += right != (used >= threshold);
			total++;
		}
	}
	none_failed(failed, total, "every set of shares, of up to six");
	is_status(sdes_share_split(SDES_BYTES_OF(secret), 16, SDES_SHARES_MAX, shares), SDES_OK,
	          "as many as there may be");
	ok(combines(secret, shares, 0xffff, &(int){0}), "and back");
}

static void
test_refusals(void)
{
	uint8_t secret[SIZE] = {1}, shares[SDES_SHARES_MAX * SIZE];
	uint8_t numbers[3] = {1, 2, 1}, none[2] = {1, 0};

	is_status(sdes_share_split(SDES_BYTES_OF(secret), 0, 2, shares), SDES_ERR_FORMAT,
	          "a threshold of 0");
	is_status(sdes_share_split(SDES_BYTES_OF(secret), 3, 2, shares), SDES_ERR_FORMAT,
	          "one that cannot be reached");
	is_status(sdes_share_split(SDES_BYTES_OF(secret), 1, 17, shares), SDES_ERR_FORMAT,
	          "too many shares");
	sdes_share_split(SDES_BYTES_OF(secret), 2, 3, shares);
	is_status(sdes_share_combine(numbers, shares, 3, secret, SIZE), SDES_ERR_FORMAT,
	          "one share twice");
	is_status(sdes_share_combine(none, shares, 2, secret, SIZE), SDES_ERR_FORMAT,
	          "a share without a number");
	is_status(sdes_share_combine(numbers, shares, 0, secret, SIZE), SDES_ERR_FORMAT,
	          "no share at all");
}

int
main(void)
{
	test_vector();
	test_thresholds();
	test_refusals();
	return done_testing();
}
