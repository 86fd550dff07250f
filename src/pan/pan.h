/*
 * pan.h
 *		Primary account numbers (PANs): what a payment card's number is, and how
 *		much of one a mask shows. Pure functions.
 *
 *		pan       = digit *( [ separator ] digit )    12 to 19 digits
 *		digit     = "0" ... "9"                       ASCII only
 *		separator = " " / "-"                         one at most between two digits
 *
 * What is not of this grammar is refused, not repaired: no blank before or after,
 * no other dash or blank of Unicode, no other digits. A PAN's length must be one
 * that its brand issues, and its last digit the check digit (ISO/IEC 7812-1,
 * annex B), but where a brand is known to issue numbers without one (brands.c).
 *
 * The rules are for what is typed in. What an older or newer version stored is
 * not judged again: brands' ranges come and go.
 */
#ifndef SDES_PAN_H
#define SDES_PAN_H

#include "crypto/bytes.h"

/* Of any issuer: Maestro's shortest, and ISO/IEC 7812-1, section 4.1. */
#define SDES_PAN_MIN_DIGITS 12
#define SDES_PAN_MAX_DIGITS 19
#define SDES_PAN_MAX_TEXT   (2 * SDES_PAN_MAX_DIGITS - 1) /* a separator in each gap */

/* Which rule a text breaks, the first of them in this order; 0: it is a PAN. */
typedef enum SdesPanFault
{
	SDES_PAN_VALID = 0,
	SDES_PAN_CHARACTER,  /* a character that is no digit, space or hyphen */
	SDES_PAN_SEPARATOR,  /* a separator that is not between two digits */
	SDES_PAN_TOO_SHORT,  /* fewer than 12 digits, or none */
	SDES_PAN_TOO_LONG,   /* more than 19 */
	SDES_PAN_LENGTH,     /* not a length of its brand */
	SDES_PAN_CHECK_DIGIT /* the check digit does not match */
} SdesPanFault;

typedef enum SdesPanBrand
{
	SDES_PAN_UNKNOWN, /* an issuer that is in no range of ours */
	SDES_PAN_VISA,
	SDES_PAN_MASTERCARD,
	SDES_PAN_AMEX,
	SDES_PAN_DINERS,
	SDES_PAN_DISCOVER,
	SDES_PAN_JCB,
	SDES_PAN_UNIONPAY,
	SDES_PAN_MAESTRO,
	SDES_PAN_MIR,
	SDES_PAN_RUPAY,
	SDES_PAN_TROY,
	SDES_PAN_VERVE,
	SDES_PAN_ELO,
	SDES_PAN_HIPERCARD,
	SDES_PAN_UATP,
	SDES_PAN_DANKORT
} SdesPanBrand;

/* A parsed PAN. It is plaintext: whoever holds one wipes it. */
typedef struct SdesPan
{
	SdesPanBrand brand;
	int ndigits;
	char digits[SDES_PAN_MAX_DIGITS]; /* without separators, no terminating zero */
} SdesPan;

/*
 * Reads a text of any bytes and any length, in time linear in it. With a fault
 * the digits of out are zeroed; brand and ndigits are set for the last two
 * faults only, else SDES_PAN_UNKNOWN and 0.
 */
extern SdesPanFault sdes_pan_parse(SdesBytes text, SdesPan *out);

/*
 * The most that may be shown of a PAN: its bank identification number (BIN) and
 * the last four digits (PCI DSS 4.0.1, requirement 3.4.1). The digits between
 * them are asterisks, separators stay where they are.
 *
 * 8 digits count as the BIN in a PAN of 16 digits of the brands that have such
 * BINs (PCI SSC FAQ 1091: "first 8, any other 4"), else 6, and fewer where less
 * than four digits would stay hidden.
 *
 * Writes text.size characters, SDES_PAN_MAX_TEXT at the most, to out and no
 * zero. False for a text that is not of the grammar above: nothing is written.
 */
extern bool sdes_pan_mask(SdesBytes text, char *out);

/*
 * The digits of a text of the grammar above, at most SDES_PAN_MAX_DIGITS, into out;
 * returns how many, 0 for any other text. Neither brand nor check digit is looked at.
 */
extern size_t sdes_pan_digits(SdesBytes text, uint8_t *out);

#endif
