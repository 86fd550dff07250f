/*
 * share.c
 *		Shamir's secret sharing over GF(256).
 *
 * Invariant: no branch and no address depends on a secret byte. Field elements are
 * multiplied bit by bit, not by tables of logarithms, which is why this is not
 * libgfshare.
 */
#include "parcel/share.h"

#include "crypto/kdf.h"

/* Without branches: masks of the bits of b. */
static uint8_t
multiply(uint8_t a, uint8_t b)
{
	uint8_t product = 0;

	for (int i = 0; i < 8; i++)
	{
		product ^= (uint8_t) (-(b & 1) & a);
		b >>= 1;
		a = (uint8_t) ((a << 1) ^ (-(a >> 7) & 0x1b));
	}
	return product;
}

/* a^254, which is 1/a: 254 = 2 + 4 + ... + 128. */
static uint8_t
inverse(uint8_t a)
{
	uint8_t power = a, result = 1;

	for (int i = 0; i < 7; i++)
	{
		power = multiply(power, power);
		result = multiply(result, power);
	}
	return result;
}

/* The polynomial with these coefficients at x, by Horner's rule. */
static uint8_t
evaluate(const uint8_t *coefficients, int count, uint8_t x)
{
	uint8_t value = 0;

	for (int i = count - 1; i >= 0; i--)
		value = (uint8_t) (multiply(value, x) ^ coefficients[i]);
	return value;
}

SdesStatus
sdes_share_split(SdesBytes secret, int threshold, int count, uint8_t *shares)
{
	SdesSecret coefficients;
	SdesStatus status = SDES_OK;

	if (threshold < 1 || threshold > count || count > SDES_SHARES_MAX)
		return SDES_ERR_FORMAT;
	status = sdes_secret_new(&coefficients, (size_t) threshold);
	for (size_t at = 0; status == SDES_OK && at < secret.size; at++)
	{
		status = sdes_random(coefficients.data, coefficients.size);
		coefficients.data[0] = secret.data[at];
		for (int i = 0; status == SDES_OK && i < count; i++)
			shares[(size_t) i * secret.size + at] =
			    evaluate(coefficients.data, threshold, (uint8_t) (i + 1));
	}
	sdes_secret_free(&coefficients);
	return status;
}

/* Lagrange's basis polynomial of share i, at 0. */
static uint8_t
weight(const uint8_t *numbers, int count, int i)
{
	uint8_t above = 1, below = 1;

	for (int j = 0; j < count; j++)
	{
		if (j == i)
			continue;
		above = multiply(above, numbers[j]);
		below = multiply(below, (uint8_t) (numbers[i] ^ numbers[j]));
	}
	return multiply(above, inverse(below));
}

static bool
are_distinct(const uint8_t *numbers, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (numbers[i] == 0)
			return false;
		for (int j = 0; j < i; j++)
		{
			if (numbers[i] == numbers[j])
				return false;
		}
	}
	return true;
}

SdesStatus
sdes_share_combine(const uint8_t *numbers, const uint8_t *shares, int count,
                   uint8_t *secret, size_t size)
{
	if (count < 1 || count > SDES_SHARES_MAX || !are_distinct(numbers, count))
		return SDES_ERR_FORMAT;
	sdes_wipe(secret, size);
	for (int i = 0; i < count; i++)
	{
		uint8_t factor = weight(numbers, count, i);

		for (size_t at = 0; at < size; at++)
			secret[at] ^= multiply(factor, shares[(size_t) i * size + at]);
	}
	return SDES_OK;
}
