/*
 * pan.c
 *		Parse, check, mask.
 *
 * Digits are copied into the caller's SdesPan alone, and wiped from it wherever
 * they do not make a PAN.
 */
#include "pan/pan.h"

#include "crypto/secret.h"
#include "pan/brands.h"

#define SHOWN_AT_END    4
#define HIDDEN_AT_LEAST 4
#define LONG_BIN        8
#define SHORT_BIN       6

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool
is_separator(uint8_t c)
{
	return c == ' ' || c == '-';
}

/* Separators stand between digits: not at the ends, not beside each other. */
static bool
is_misplaced(SdesBytes text, size_t at)
{
	return at == 0 || at + 1 == text.size || is_separator(text.data[at + 1]);
}

/* The grammar: fills digits and ndigits, or says what is wrong. */
static SdesPanFault
scan(SdesBytes text, SdesPan *pan)
{
	size_t ndigits = 0;
	bool misplaced = false;

	for (size_t i = 0; i < text.size; i++)
	{
		if (is_separator(text.data[i]))
			misplaced |= is_misplaced(text, i);
		else if (!is_digit(text.data[i]))
			return SDES_PAN_CHARACTER;
		else if (ndigits++ < SDES_PAN_MAX_DIGITS)
			pan->digits[ndigits - 1] = (char) text.data[i];
	}
	if (misplaced)
		return SDES_PAN_SEPARATOR;
	if (ndigits < SDES_PAN_MIN_DIGITS)
		return SDES_PAN_TOO_SHORT;
	if (ndigits > SDES_PAN_MAX_DIGITS)
		return SDES_PAN_TOO_LONG;
	pan->ndigits = (int) ndigits;
	return SDES_PAN_VALID;
}

/*
 * ISO/IEC 7812-1, annex B: from the right, every second digit is doubled, the
 * digits of all that are summed, and the sum with the check digit ends in 0.
 */
static bool
check_digit_matches(const SdesPan *pan)
{
	static const uint8_t doubled[] = {0, 2, 4, 6, 8, 1, 3, 5, 7, 9};
	int sum = 0;

	for (int i = 0; i < pan->ndigits; i++)
	{
		int digit = pan->digits[i] - '0';

		sum += (pan->ndigits - i) % 2 == 0 ? doubled[digit] : digit;
	}
	return sum % 10 == 0;
}

static SdesPanFault
check_brand(SdesPan *pan)
{
	const SdesPanRange *range = sdes_pan_range(pan->digits);

	pan->brand = range->brand;
	if (!(range->lengths & (1U << pan->ndigits)))
		return SDES_PAN_LENGTH;
	if (sdes_pan_has_check_digit(range->brand) && !check_digit_matches(pan))
		return SDES_PAN_CHECK_DIGIT;
	return SDES_PAN_VALID;
}

SdesPanFault
sdes_pan_parse(SdesBytes text, SdesPan *out)
{
	SdesPanFault fault;

	*out = (SdesPan){.brand = SDES_PAN_UNKNOWN};
	fault = scan(text, out);
	if (fault == SDES_PAN_VALID)
		fault = check_brand(out);
	if (fault != SDES_PAN_VALID)
		sdes_wipe(out->digits, sizeof(out->digits));
	return fault;
}

/* Digits at the beginning that a mask shows. */
static int
shown_at_beginning(const SdesPan *pan)
{
	SdesPanBrand brand = sdes_pan_range(pan->digits)->brand;
	int bin = pan->ndigits == 16 && sdes_pan_has_long_bin(brand) ? LONG_BIN : SHORT_BIN;
	int most = pan->ndigits - SHOWN_AT_END - HIDDEN_AT_LEAST;

	return bin < most ? bin : most;
}

bool
sdes_pan_mask(SdesBytes text, char *out)
{
	SdesPan pan;
	bool is_pan = scan(text, &pan) == SDES_PAN_VALID;
	int beginning = is_pan ? shown_at_beginning(&pan) : 0;
	int nth = 0;

	for (size_t i = 0; is_pan && i < text.size; i++)
	{
		bool shown = is_separator(text.data[i]) || nth < beginning ||
		             nth >= pan.ndigits - SHOWN_AT_END;

		nth += is_digit(text.data[i]);
		out[i] = shown ? (char) text.data[i] : '*';
	}
	sdes_wipe(&pan, sizeof(pan));
	return is_pan;
}

size_t
sdes_pan_digits(SdesBytes text, uint8_t *out)
{
	SdesPan pan;
	size_t ndigits = scan(text, &pan) == SDES_PAN_VALID ? (size_t) pan.ndigits : 0;

	for (size_t i = 0; i < ndigits; i++)
		out[i] = (uint8_t) pan.digits[i];
	sdes_wipe(&pan, sizeof(pan));
	return ndigits;
}
