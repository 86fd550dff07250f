/*
 * fuzz_pan.c
 *		Card numbers: what is taken has the digits of the text, a length and a check
 *		digit (but UnionPay's), and no mask shows more than the first six digits, or
 *		eight of sixteen, and the last four, nor hides fewer than four.
 */
#include "fuzz.h"

#include "pan/pan.h"

#define SHOWN_FIRST(n) ((n) == 16 ? 8 : 6) /* PCI SSC FAQ 1091 */
#define SHOWN_LAST     4
#define HIDDEN         4 /* at the least */

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* The digits of a text of the grammar in pan.h; -1 for any other, or another count. */
static int
digits_of(SdesBytes text, char out[SDES_PAN_MAX_DIGITS])
{
	int n = 0;

	for (size_t i = 0; i < text.size; i++)
	{
		bool inside = i > 0 && i + 1 < text.size && is_digit(text.data[i - 1]) &&
		              is_digit(text.data[i + 1]);

		if (!is_digit(text.data[i]) && !inside)
			return -1;
		if (!is_digit(text.data[i]) && text.data[i] != ' ' && text.data[i] != '-')
			return -1;
		if (is_digit(text.data[i]) && n == SDES_PAN_MAX_DIGITS)
			return -1;
		if (is_digit(text.data[i]))
			out[n++] = (char) text.data[i];
	}
	return n >= SDES_PAN_MIN_DIGITS ? n : -1;
}

/* ISO/IEC 7812-1, annex B, from the right: every second digit counts twice. */
static bool
check_digit_right(const char *digits, int n)
{
	int sum = 0;

	for (int i = 0; i < n; i++)
	{
		int digit = digits[n - 1 - i] - '0';

		if (i % 2 == 1)
			digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
		sum += digit;
	}
	return sum % 10 == 0;
}

static void
check_parse(SdesBytes text, const char *digits, int n)
{
	SdesPan pan;
	SdesPanFault fault = sdes_pan_parse(text, &pan);

	REQUIRE(fault <= SDES_PAN_CHECK_DIGIT);
	if (n < 0)
		REQUIRE(fault != SDES_PAN_VALID && fault < SDES_PAN_LENGTH);
	else
		REQUIRE(fault == SDES_PAN_VALID || fault >= SDES_PAN_LENGTH);
	if (fault == SDES_PAN_VALID)
	{
		REQUIRE(pan.ndigits == n && memcmp(pan.digits, digits, (size_t) n) == 0);
		REQUIRE(check_digit_right(digits, n) || pan.brand == SDES_PAN_UNIONPAY);
		return;
	}
	for (int i = 0; i < SDES_PAN_MAX_DIGITS; i++)
		REQUIRE(pan.digits[i] == 0);
	if (fault == SDES_PAN_CHECK_DIGIT)
		REQUIRE(!check_digit_right(digits, n));
	REQUIRE(pan.ndigits == (n < 0 ? 0 : n));
	REQUIRE(n >= 0 || pan.brand == SDES_PAN_UNKNOWN);
}

/* The digits that show are the first ones and the last ones of the text's own. */
static void
check_shown(SdesBytes text, const char *mask, int n)
{
	int at = 0, first = 0, last = 0;

	for (size_t i = 0; i < text.size; i++)
	{
		bool shown = mask[i] == (char) text.data[i];

		if (!is_digit(text.data[i]))
		{
			REQUIRE(shown);
			continue;
		}
		REQUIRE(shown || mask[i] == '*');
		first += shown && first == at;
		last = shown ? last + 1 : 0;
		at++;
	}
	REQUIRE(first <= SHOWN_FIRST(n) && last <= SHOWN_LAST && n - first - last >= HIDDEN);
	for (size_t i = 0, digit = 0; i < text.size; i++)
	{
		if (!is_digit(text.data[i]))
			continue;
		REQUIRE((mask[i] != '*') == ((int) digit < first || (int) digit >= n - last));
		digit++;
	}
}

static void
check_mask(SdesBytes text, int n)
{
	size_t room = n < 0 ? SDES_PAN_MAX_TEXT : text.size;
	char *mask = fuzz_room(room);

	memset(mask, FUZZ_BYTE, room);
	REQUIRE(sdes_pan_mask(text, mask) == (n >= 0));
	if (n >= 0)
		check_shown(text, mask, n);
	else
	{
		for (size_t i = 0; i < room; i++)
			REQUIRE(mask[i] == FUZZ_BYTE);
	}
	free(mask);
}

/* What tokens are made of: the same digits, neither brand nor check digit looked at. */
static void
check_digits(SdesBytes text, const char *digits, int n)
{
	uint8_t *out = fuzz_room(SDES_PAN_MAX_DIGITS);
	size_t got = n < 0 ? 0 : (size_t) n;

	memset(out, FUZZ_BYTE, SDES_PAN_MAX_DIGITS);
	REQUIRE(sdes_pan_digits(text, out) == got);
	REQUIRE(memcmp(out, digits, got) == 0);
	for (size_t i = got; i < SDES_PAN_MAX_DIGITS; i++)
		REQUIRE(out[i] == FUZZ_BYTE);
	free(out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SdesBytes text = sdes_bytes(data, size);
	char digits[SDES_PAN_MAX_DIGITS];
	int n = digits_of(text, digits);

	check_parse(text, digits, n);
	check_mask(text, n);
	check_digits(text, digits, n);
	return 0;
}
