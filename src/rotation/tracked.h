/*
 * tracked.h
 *		The keys that values are sealed under, and what was found of each. Private to
 *		this room.
 *
 * A key is due when its values are to be sealed anew under its successor: it is not
 * active, not destroyed, not pinned, and its bucket's rotation is not paused.
 */
#ifndef SDES_TRACKED_H
#define SDES_TRACKED_H

#include "postgres.h"

#include "store/store.h"
#include "value/value.h"

typedef struct SdesTracked
{
	SdesDekRow row;
	bool due;
	int64 found; /* values under it, since the last sdes_tracked_reset() */
} SdesTracked;

typedef struct SdesTrackedSet
{
	int n;
	SdesTracked *keys; /* by key id */
	int64 foreign;     /* values found under keys that no row knows, or that are none */
	int64 damaged;     /* found to be not authentic */
} SdesTrackedSet;

/* Due, and values may be left under it. */
extern bool sdes_tracked_is_open(const SdesTracked *key);

/* All keys of the purposes data and literal, in the current memory context. */
extern SdesTrackedSet *sdes_tracked_read(void);

extern void sdes_tracked_reset(SdesTrackedSet *set);

/* The key of a value, or of its beginning (SDES_KEY_ID_PREFIX); NULL where there is none. */
extern SdesTracked *sdes_tracked_of(const SdesTrackedSet *set, struct varlena *value);

/* The same, and counts it. */
extern SdesTracked *sdes_tracked_count(SdesTrackedSet *set, struct varlena *value);

/* Whether any key is due, and whether values under a due one were found. */
extern bool sdes_tracked_any_due(const SdesTrackedSet *set);
extern int64 sdes_tracked_found_due(const SdesTrackedSet *set);

#endif
