/*
 * pan_grants.h
 *		Grants by which card numbers could be found out by guessing.
 *
 * A masked card number leaves 1,000 to 100,000 candidates: BIN and last four digits are
 * shown, and the check digit leaves one in ten of the rest. Who sees the mask and may
 * have candidates compared or stored is close to the number itself (PCI DSS 3.5.1). So
 * of a bucket with card numbers no role holds `mask` together with `search` or
 * `encrypt`, by itself, by a role that it inherits from or by PUBLIC, unless it may
 * decrypt anyway, or one of the grants that add up to this was forced.
 */
#ifndef SDES_PAN_GRANTS_H
#define SDES_PAN_GRANTS_H

#include "postgres.h"

#include "store/store.h"

/*
 * The name of a role that holds such grants of a bucket, whether it has card numbers
 * or not; NULL if none does. With a role, only those are looked at that have its
 * privileges; InvalidOid: all.
 */
extern const char *sdes_pan_guesser(const uint8 *bucket, Oid role);

/* To be called before grants are changed: takes turns with new columns. */
extern void sdes_pan_lock_grants(void);

/*
 * To be called after it: raises an error, or a warning, for who could now guess the
 * bucket's card numbers.
 */
extern void sdes_pan_check_grants(int elevel, const SdesBucketRow *bucket, Oid role);

/*
 * To be called for a column of card numbers that is in the making: raises an error if
 * it is the first of its bucket, whose name has that hash, and somebody could guess them.
 */
extern void sdes_pan_check_column(const char *column, int32 hash);

#endif
