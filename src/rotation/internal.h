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

#endif
