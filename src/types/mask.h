/*
 * mask.h
 *		What a role with `mask` sees of a value.
 */
#ifndef SDES_MASK_H
#define SDES_MASK_H

#include "postgres.h"

/*
 * The first character, and asterisks up to the next of 8, 16, 32 or 64
 * characters: a length class, not the length. Values of up to four characters,
 * of which the first would tell too much, are four asterisks.
 */
extern text *sdes_mask_text(const text *plain);

#endif
