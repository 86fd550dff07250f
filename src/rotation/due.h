/*
 * due.h
 *		Which bucket is to have a new key. Private to this room.
 */
#ifndef SDES_DUE_H
#define SDES_DUE_H

#include "postgres.h"

#include "rotation/tracked.h"

/*
 * A bucket whose active key of *purpose is to have a successor: somebody waits for one,
 * or its time is over, it has sealed its share, or another database or timeline made it.
 * NULL if there is none.
 */
extern const SdesBucketRow *sdes_due_bucket(const SdesTrackedSet *set,
                                            SdesDekPurpose *purpose);

/*
 * A bucket's key could not be made. Values are moved on meanwhile: this process gives the
 * bucket no more, unless somebody waits; the next one tries again.
 */
extern void sdes_due_failed(const uint8 *bucket);

#endif
