/*
 * internal.h
 *		What the files of this room share. Private to it.
 */
#ifndef SDES_ROTATION_INTERNAL_H
#define SDES_ROTATION_INTERNAL_H

#include "postgres.h"

#include "store/store.h"

/* Makes a bucket's key of that purpose a successor; returns its version. */
extern uint32 sdes_rotation_make_version(const SdesBucketRow *bucket,
                                         SdesDekPurpose purpose);

/* Takes a wish of sdes_rotation_wish() for this database; false when there is none. */
extern bool sdes_rotation_take_wish(uint8 bucket[SDES_UUID_SIZE]);

#endif
