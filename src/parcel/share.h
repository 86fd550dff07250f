/*
 * share.h
 *		Shamir's secret sharing (How to Share a Secret, CACM 22, 1979) byte by byte
 *		over GF(256) with the polynomial x^8 + x^4 + x^3 + x + 1 (FIPS 197, 4.2), as
 *		in draft-mcgrew-tss-03, section 6.
 *
 * Fewer than threshold shares tell nothing of the secret. Nothing tells a wrong share
 * from a right one either: whoever combines some must check what comes out.
 */
#ifndef SDES_SHARE_H
#define SDES_SHARE_H

#include "crypto/secret.h"

#define SDES_SHARES_MAX 16

/*
 * Writes share number index + 1 of each byte: shares holds count * secret.size bytes,
 * one share after the other, in locked memory of the caller. SDES_ERR_FORMAT unless
 * 1 <= threshold <= count <= SDES_SHARES_MAX.
 */
extern SdesStatus sdes_share_split(SdesBytes secret, int threshold, int count,
                                   uint8_t *shares);

/*
 * Combines count shares, the i-th of which has the number numbers[i], into secret, of
 * size bytes. SDES_ERR_FORMAT when two have one number, or one has none (0).
 */
extern SdesStatus sdes_share_combine(const uint8_t *numbers, const uint8_t *shares,
                                     int count, uint8_t *secret, size_t size);

#endif
