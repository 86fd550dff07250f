/*
 * brands.h
 *		Ranges of issuer identification numbers (IINs), and what holds for the
 *		PANs in them. Private to this room.
 */
#ifndef SDES_PAN_BRANDS_H
#define SDES_PAN_BRANDS_H

#include "pan/pan.h"

#define SDES_PAN_IIN_DIGITS 6 /* of the bounds of a range */

typedef struct SdesPanRange
{
	uint32_t first; /* leading six digits, both included */
	uint32_t last;
	SdesPanBrand brand;
	uint32_t lengths; /* bit n: PANs of n digits are issued */
} SdesPanRange;

/* The range of a PAN of at least six digits; never NULL. */
extern const SdesPanRange *sdes_pan_range(const char *digits);

/* Whether every PAN of a brand has a check digit. */
extern bool sdes_pan_has_check_digit(SdesPanBrand brand);

/* Whether a brand's BINs have 8 digits in PANs of 16. */
extern bool sdes_pan_has_long_bin(SdesPanBrand brand);

#endif
