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
	bool counts_tokens; /* its values are to have the tokens of this database's keys */
	bool moves_tokens;  /* and are given them; not while its bucket is paused */
	int64 found;        /* values under it, since the last sdes_tracked_reset() */
} SdesTracked;

/*
 * While one search key succeeds another, every value gets the tokens that new ones get:
 * first those of the incoming key besides, later none of the one that is leaving.
 */
typedef struct SdesTrackedSearch
{
	bool moves;          /* tokens are to be changed */
	SdesSearchKeys keys; /* whose tokens values are to carry */
	SdesDekRow incoming; /* wrapped_size 0: there is none */
	SdesDekRow leaving;  /* the same */
	int64 found;         /* values with other tokens, since the last reset */
	int64 due;           /* of those, the ones that are to be sealed anew now */
} SdesTrackedSearch;

typedef struct SdesTrackedSet
{
	int n;
	SdesTracked *keys; /* by key id */
	SdesTrackedSearch search;
	int64 foreign; /* values found under keys that no row knows, or that are none */
	int64 damaged; /* found to be not authentic */
} SdesTrackedSet;

/*
 * A key of another site. Values under it may go on arriving from there, with tokens of
 * that site's search key; it has a reason from its beginning.
 */
extern bool sdes_dek_is_imported(const SdesDekRow *row);

/* Due, and values may be left under it. */
extern bool sdes_tracked_is_open(const SdesTracked *key);

/* All keys of the purposes data and literal, in the current memory context. */
extern SdesTrackedSet *sdes_tracked_read(void);

/* The same, and counts tokens although all values were found to have theirs. */
extern SdesTrackedSet *sdes_tracked_read_tokens(void);

extern void sdes_tracked_reset(SdesTrackedSet *set);

/* Whether a value, or its beginning (SDES_TOKENS_PREFIX), is to be sealed anew. */
extern bool sdes_tracked_is_due(const SdesTrackedSet *set, struct varlena *value);

/* The same, and counts it. */
extern bool sdes_tracked_count(SdesTrackedSet *set, struct varlena *value);

/* How many values were counted that are to be sealed anew. */
extern int64 sdes_tracked_found_due(const SdesTrackedSet *set);

#endif
