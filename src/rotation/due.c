/*
 * due.c
 *		Which bucket is to have a new key.
 */
#include "postgres.h"

#include "rotation/due.h"

#include "access/xlog.h"
#include "keyring/usage.h"
#include "rotation/internal.h"
#include "sdes_compat.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* UUIDs of buckets that this process could not make a key for. */
static List *unmade = NIL;

static bool
is_over(TimestampTz since, const Interval *period)
{
	Datum end = DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(since),
	                                IntervalPGetDatum(period));

	return DatumGetTimestampTz(end) <= GetCurrentTimestamp();
}

/*
 * The active key of a bucket that counts, as for sdes_keyring_active(): one made here, if
 * there is one. NULL: none.
 */
static const SdesDekRow *
active_key(const SdesTrackedSet *set, const SdesBucketRow *bucket)
{
	const SdesDekRow *active = NULL;

	for (int i = 0; i < set->n; i++)
	{
		const SdesDekRow *row = &set->keys[i].row;

		if (row->state == SDES_KEY_ACTIVE &&
		    memcmp(row->binding.bucket, bucket->uuid, SDES_UUID_SIZE) == 0 &&
		    (active == NULL || active->foreign))
			active = row;
	}
	return active;
}

static bool
has_open_key(const SdesTrackedSet *set, const SdesBucketRow *bucket)
{
	for (int i = 0; i < set->n; i++)
		if (sdes_tracked_is_open(&set->keys[i]) &&
		    memcmp(set->keys[i].row.binding.bucket, bucket->uuid, SDES_UUID_SIZE) == 0)
			return true;
	return false;
}

/*
 * Whether a bucket's active key is to have a successor now. One that another database
 * made has one when something is to be sealed (somebody waits for it, or values are to be
 * re-encrypted); that of literals at once, since standbys of this database seal literals
 * and cannot ask for it. One of another timeline may be in use by the primary that this
 * server was a standby of, should that run on.
 */
static bool
is_overdue(const SdesTrackedSet *set, const SdesBucketRow *bucket, const SdesDekRow *active)
{
	if (active->foreign)
		return has_open_key(set, bucket) || active->binding.purpose == SDES_PURPOSE_LITERAL;
	return active->timeline != (uint32) SDES_WAL_TIMELINE() ||
	       is_over(active->created_at, &bucket->rotation_period) ||
	       sdes_usage_due(active->binding.key_id);
}

/* A bucket for which somebody waits, unless it has its key by now. */
static const SdesBucketRow *
wished_bucket(const SdesTrackedSet *set, const List *buckets)
{
	uint8 wished[SDES_UUID_SIZE];
	ListCell *cell;

	while (sdes_rotation_take_wish(wished))
		foreach (cell, buckets)
		{
			const SdesBucketRow *bucket = lfirst(cell);
			const SdesDekRow *active = active_key(set, bucket);

			if (active != NULL && active->foreign &&
			    memcmp(wished, bucket->uuid, SDES_UUID_SIZE) == 0)
				return bucket;
		}
	return NULL;
}

static bool
is_unmade(const SdesBucketRow *bucket)
{
	ListCell *cell;

	foreach (cell, unmade)
		if (memcmp(lfirst(cell), bucket->uuid, SDES_UUID_SIZE) == 0)
			return true;
	return false;
}

void
sdes_due_failed(const uint8 *bucket)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	uint8 *uuid = palloc(SDES_UUID_SIZE);

	memcpy(uuid, bucket, SDES_UUID_SIZE);
	unmade = lappend(unmade, uuid);
	MemoryContextSwitchTo(old);
}

/* A bucket whose active key is to have a successor by itself; NULL if there is none. */
static const SdesBucketRow *
overdue_bucket(const SdesTrackedSet *set, const List *buckets)
{
	ListCell *cell;

	foreach (cell, buckets)
	{
		const SdesBucketRow *bucket = lfirst(cell);
		const SdesDekRow *active = active_key(set, bucket);

		if (active != NULL && !bucket->rotation_paused && !is_unmade(bucket) &&
		    is_overdue(set, bucket, active))
			return bucket;
	}
	return NULL;
}

const SdesBucketRow *
sdes_due_bucket(const SdesTrackedSet *set, SdesDekPurpose *purpose)
{
	List *buckets = sdes_store_buckets();
	const SdesBucketRow *bucket = wished_bucket(set, buckets);

	if (bucket == NULL)
		bucket = overdue_bucket(set, buckets);
	if (bucket != NULL)
		*purpose = active_key(set, bucket)->binding.purpose;
	return bucket;
}
