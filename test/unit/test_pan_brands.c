/*
 * test_pan_brands.c
 *		Card numbers: brands, their ranges and lengths, and the numbers that are
 *		published for tests.
 */
#include "pan_numbers.h"

/* Numbers that processors publish for tests (Adyen, Braintree, Cybersource, ...). */
static const struct
{
	const char *text;
	SdesPanBrand brand;
} published[] = {
    {"4111111111111111", SDES_PAN_VISA},
    {"4222222222222", SDES_PAN_VISA},
    {"4012888888881881", SDES_PAN_VISA},
    {"4242 4242 4242 4242", SDES_PAN_VISA},
    {"4111141011111111116", SDES_PAN_VISA},
    {"4917610000000000003", SDES_PAN_VISA},
    {"5555555555554444", SDES_PAN_MASTERCARD},
    {"5105-1051-0510-5100", SDES_PAN_MASTERCARD},
    {"2223000000000007", SDES_PAN_MASTERCARD},
    {"2720990000000015", SDES_PAN_MASTERCARD},
    {"378282246310005", SDES_PAN_AMEX},
    {"3714 496353 98431", SDES_PAN_AMEX},
    {"340000000000009", SDES_PAN_AMEX},
    {"30569309025904", SDES_PAN_DINERS},
    {"36006666333344", SDES_PAN_DINERS},
    {"38520000023237", SDES_PAN_DINERS},
    {"6011111111111117", SDES_PAN_DISCOVER},
    {"6011000990139424", SDES_PAN_DISCOVER},
    {"6445644564456445", SDES_PAN_DISCOVER},
    {"3530111333300000", SDES_PAN_JCB},
    {"3566002020360505", SDES_PAN_JCB},
    {"6250947000000014", SDES_PAN_UNIONPAY},
    {"6205500000000000004", SDES_PAN_UNIONPAY},
    {"8171999927660000", SDES_PAN_UNIONPAY},
    {"8171999900000000021", SDES_PAN_UNIONPAY},
    {"8100010000000142", SDES_PAN_UNIONPAY},
    {"6222040000030012", SDES_PAN_UNIONPAY}, /* no check digit */
    {"621003257857442", SDES_PAN_UNIONPAY},  /* nor this */
    {"50339619890917", SDES_PAN_MAESTRO},
    {"6771798021000008", SDES_PAN_MAESTRO},
    {"586824160825533338", SDES_PAN_MAESTRO},
    {"6759560045005727054", SDES_PAN_MAESTRO},
    {"2200000000000053", SDES_PAN_MIR},
    {"2201382000000013", SDES_PAN_MIR},
    {"6521526000000001", SDES_PAN_RUPAY},
    {"6073849700004947", SDES_PAN_RUPAY},
    {"9792030000000000", SDES_PAN_TROY},
    {"9792052565200015", SDES_PAN_TROY},
    {"5061460410120223210", SDES_PAN_VERVE},
    {"507850785078507812", SDES_PAN_MAESTRO},
    {"5060990580000217499", SDES_PAN_VERVE},
    {"5066991111111118", SDES_PAN_ELO},
    {"6362970000457013", SDES_PAN_ELO},
    {"6062828888666688", SDES_PAN_HIPERCARD},
    {"6370950000000005", SDES_PAN_HIPERCARD},
    {"135412345678911", SDES_PAN_UATP},
    {"135410014004955", SDES_PAN_UATP},
    {"5019555544445555", SDES_PAN_DANKORT},
    {"5019717010103742", SDES_PAN_DANKORT},
    {"11111111111111116", SDES_PAN_UATP}, /* of 17 digits: see below */
};

#define NPUBLISHED (sizeof(published) / sizeof(published[0]) - 1)

static void
test_published(void)
{
	long failed = 0;

	for (size_t i = 0; i < NPUBLISHED; i++)
	{
		const char *text = published[i].text;
		SdesPan pan;
		int n = 0;
		bool right = parse_bytes(text, strlen(text), &pan) == SDES_PAN_VALID &&
		             pan.brand == published[i].brand;

		for (size_t c = 0; text[c] != '\0'; c++)
		{
			if (text[c] != ' ' && text[c] != '-')
				right = right && n < pan.ndigits && pan.digits[n++] == text[c];
		}
		if (!right || n != pan.ndigits)
		{
			diag("%s", text);
			failed++;
		}
	}
	none_failed(failed, (long) NPUBLISHED,
	            "test numbers: valid, their brand, their digits");
	ok(parse(published[NPUBLISHED].text) == SDES_PAN_LENGTH, "but 17 digits for UATP");
}

/* Each rule broken, in every published number. */
static void
test_broken(void)
{
	long failed = 0, total = 0;

	for (size_t i = 0; i < NPUBLISHED; i++)
	{
		const char *text = published[i].text;
		size_t n = strlen(text);
		bool checked = published[i].brand != SDES_PAN_UNIONPAY;
		char bad[MAX_TEXT];
		SdesPan pan;

		for (char c = '0'; c <= '9'; c++)
		{
			strcpy(bad, text);
			bad[n - 1] = c;
			failed += parse(bad) != (c == text[n - 1] || !checked ? SDES_PAN_VALID
			                                                      : SDES_PAN_CHECK_DIGIT);
		}
		snprintf(bad, sizeof(bad), " %s", text);
		failed += parse(bad) != SDES_PAN_SEPARATOR;
		snprintf(bad, sizeof(bad), "%s-", text);
		failed += parse(bad) != SDES_PAN_SEPARATOR;
		snprintf(bad, sizeof(bad), "%.1s--%s", text, text + 1);
		failed += parse(bad) != SDES_PAN_SEPARATOR;
		snprintf(bad, sizeof(bad), "%.7sO%s", text, text + 7);
		failed += parse(bad) != SDES_PAN_CHARACTER;
		snprintf(bad, sizeof(bad), "%.13s", text);
		bad[strlen(bad) - 2] = '\0';
		failed += parse(bad) != SDES_PAN_TOO_SHORT;
		snprintf(bad, sizeof(bad), "%s12345678", text);
		failed += parse_bytes(bad, strlen(bad), &pan) != SDES_PAN_TOO_LONG;
		failed += !all_bytes((const uint8_t *) pan.digits, sizeof(pan.digits), 0);
		total += 16;
	}
	none_failed(failed, total, "each rule broken in each of them");
}

#define LENGTHS(a, b) ((2U << (b)) - (1U << (a)))
#define OF(n)         (1U << (n))

/*
 * The brands' ranges once more, in no order: the narrowest that fits counts.
 */
static const struct
{
	long first, last;
	SdesPanBrand brand;
	unsigned lengths;
} expected[] = {
    {0, 999999, SDES_PAN_UNKNOWN, LENGTHS(12, 19)},
    {340000, 349999, SDES_PAN_AMEX, OF(15)},
    {370000, 379999, SDES_PAN_AMEX, OF(15)},
    {501900, 501999, SDES_PAN_DANKORT, OF(16)},
    {300000, 305999, SDES_PAN_DINERS, LENGTHS(14, 19)},
    {309000, 309999, SDES_PAN_DINERS, LENGTHS(14, 19)},
    {360000, 369999, SDES_PAN_DINERS, LENGTHS(14, 19)},
    {380000, 399999, SDES_PAN_DINERS, LENGTHS(14, 19)},
    {601100, 601199, SDES_PAN_DISCOVER, LENGTHS(16, 19)},
    {644000, 659999, SDES_PAN_DISCOVER, LENGTHS(16, 19)},
    {401178, 401179, SDES_PAN_ELO, OF(16)},
    {431274, 431274, SDES_PAN_ELO, OF(16)},
    {438935, 438935, SDES_PAN_ELO, OF(16)},
    {451416, 451416, SDES_PAN_ELO, OF(16)},
    {457393, 457393, SDES_PAN_ELO, OF(16)},
    {457631, 457632, SDES_PAN_ELO, OF(16)},
    {504175, 504175, SDES_PAN_ELO, OF(16)},
    {506699, 506778, SDES_PAN_ELO, OF(16)},
    {509000, 509999, SDES_PAN_ELO, OF(16)},
    {627780, 627780, SDES_PAN_ELO, OF(16)},
    {636297, 636297, SDES_PAN_ELO, OF(16)},
    {636368, 636368, SDES_PAN_ELO, OF(16)},
    {650031, 650033, SDES_PAN_ELO, OF(16)},
    {650035, 650051, SDES_PAN_ELO, OF(16)},
    {650405, 650439, SDES_PAN_ELO, OF(16)},
    {650485, 650538, SDES_PAN_ELO, OF(16)},
    {650541, 650598, SDES_PAN_ELO, OF(16)},
    {650700, 650718, SDES_PAN_ELO, OF(16)},
    {650720, 650727, SDES_PAN_ELO, OF(16)},
    {650901, 650978, SDES_PAN_ELO, OF(16)},
    {651652, 651679, SDES_PAN_ELO, OF(16)},
    {655000, 655019, SDES_PAN_ELO, OF(16)},
    {655021, 655058, SDES_PAN_ELO, OF(16)},
    {194600, 194699, SDES_PAN_UNKNOWN, LENGTHS(12, 19)},
    {606282, 606282, SDES_PAN_HIPERCARD, OF(16)},
    {637095, 637095, SDES_PAN_HIPERCARD, OF(16)},
    {637568, 637568, SDES_PAN_HIPERCARD, OF(16)},
    {637599, 637599, SDES_PAN_HIPERCARD, OF(16)},
    {637609, 637609, SDES_PAN_HIPERCARD, OF(16)},
    {637612, 637612, SDES_PAN_HIPERCARD, OF(16)},
    {352800, 358999, SDES_PAN_JCB, LENGTHS(16, 19)},
    {500000, 509999, SDES_PAN_MAESTRO, LENGTHS(12, 19)},
    {560000, 589999, SDES_PAN_MAESTRO, LENGTHS(12, 19)},
    {630000, 639999, SDES_PAN_MAESTRO, LENGTHS(12, 19)},
    {670000, 679999, SDES_PAN_MAESTRO, LENGTHS(12, 19)},
    {222100, 272099, SDES_PAN_MASTERCARD, OF(16)},
    {510000, 559999, SDES_PAN_MASTERCARD, OF(16)},
    {220000, 220499, SDES_PAN_MIR, LENGTHS(16, 19)},
    {508500, 508999, SDES_PAN_RUPAY, OF(16)},
    {606985, 607984, SDES_PAN_RUPAY, OF(16) | OF(18) | OF(19)},
    {608001, 608500, SDES_PAN_RUPAY, OF(16) | OF(18) | OF(19)},
    {652150, 653149, SDES_PAN_RUPAY, OF(16)},
    {817200, 820199, SDES_PAN_RUPAY, OF(16)},
    {979200, 979299, SDES_PAN_TROY, OF(16)},
    {100000, 199999, SDES_PAN_UATP, OF(15)},
    {620000, 629999, SDES_PAN_UNIONPAY, LENGTHS(14, 19)},
    {810000, 817199, SDES_PAN_UNIONPAY, LENGTHS(14, 19)},
    {506099, 506198, SDES_PAN_VERVE, OF(16) | OF(18) | OF(19)},
    {507865, 507964, SDES_PAN_VERVE, OF(16) | OF(18) | OF(19)},
    {650002, 650027, SDES_PAN_VERVE, OF(16) | OF(18) | OF(19)},
    {400000, 499999, SDES_PAN_VISA, OF(13) | OF(16) | OF(19)},
};

#define NEXPECTED (sizeof(expected) / sizeof(expected[0]))

static size_t
expected_range(long iin)
{
	size_t best = 0;

	for (size_t i = 1; i < NEXPECTED; i++)
	{
		if (iin >= expected[i].first && iin <= expected[i].last &&
		    expected[i].last - expected[i].first <
		        expected[best].last - expected[best].first)
			best = i;
	}
	return best;
}

/* The right brand, length and check digit, whatever the length. */
static bool
is_judged_right(long iin, int n)
{
	size_t range = expected_range(iin);
	bool issued = (expected[range].lengths & OF(n)) != 0;
	bool checked = expected[range].brand != SDES_PAN_UNIONPAY;
	char leading[8], text[MAX_TEXT];
	SdesPan pan;

	snprintf(leading, sizeof(leading), "%06ld", iin);
	make_pan(leading, n, text);
	if (parse_bytes(text, (size_t) n, &pan) !=
	        (issued ? SDES_PAN_VALID : SDES_PAN_LENGTH) ||
	    pan.brand != expected[range].brand || pan.ndigits != n)
		return false;
	text[n - 1] = (char) (text[n - 1] == '9' ? '0' : text[n - 1] + 1);
	return parse(text) == (!issued   ? SDES_PAN_LENGTH
	                       : checked ? SDES_PAN_CHECK_DIGIT
	                                 : SDES_PAN_VALID);
}

static void
test_ranges(void)
{
	long failed = 0, total = 0;

	for (long iin = 0; iin < 1000000; iin++)
	{
		if (!is_judged_right(iin, 16) && failed++ < 10)
			diag("%06ld", iin);
	}
	none_failed(failed, 1000000, "every leading six digits: brand, length and check digit");

	failed = 0;
	for (size_t i = 0; i < NEXPECTED; i++)
	{
		long bounds[] = {expected[i].first - 1, expected[i].first, expected[i].last,
		                 expected[i].last + 1};

		for (size_t b = 0; b < 4; b++)
		{
			for (int n = 12; n <= 19 && bounds[b] >= 0 && bounds[b] < 1000000; n++, total++)
				failed += !is_judged_right(bounds[b], n);
		}
	}
	none_failed(failed, total, "at both sides of every bound, every length");
}

int
main(void)
{
	test_published();
	test_broken();
	test_ranges();
	return done_testing();
}
