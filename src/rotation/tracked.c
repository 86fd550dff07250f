/*
 * tracked.c
 *		Keys and what was found of each.
 */
#include "postgres.h"

#include "rotation/tracked.h"

static int
by_key_id(const void *a, const void *b)
{
	return memcmp(((const SdesTracked *) a)->row.binding.key_id,
	              ((const SdesTracked *) b)->row.binding.key_id, SDES_KEY_ID_SIZE);
}

static bool
seals_values(const SdesDekRow *row)
{
	return row->binding.purpose == SDES_PURPOSE_DATA ||
	       row->binding.purpose == SDES_PURPOSE_LITERAL;
}

static bool
is_paused(const List *buckets, const uint8 *uuid)
{
	ListCell *cell;

	foreach (cell, buckets)
	{
		const SdesBucketRow *bucket = lfirst(cell);

		if (memcmp(bucket->uuid, uuid, SDES_UUID_SIZE) == 0)
			return bucket->rotation_paused;
	}
	return true; /* without a row nothing is known of it */
}

/* An emptied key stays due: a copy of a value may have been under way then. */
static bool
is_due(const SdesDekRow *row, const List *buckets)
{
	return (row->state == SDES_KEY_DECRYPT_ONLY || row->state == SDES_KEY_RETIRED) &&
	       !row->pinned && !is_paused(buckets, row->binding.bucket);
}

bool
sdes_tracked_is_open(const SdesTracked *key)
{
	return key->due && !key->row.emptied;
}

SdesTrackedSet *
sdes_tracked_read(void)
{
	SdesTrackedSet *set = palloc0(sizeof(SdesTrackedSet));
	List *rows = sdes_store_deks();
	List *buckets = sdes_store_buckets();
	ListCell *cell;

	set->keys = palloc0(Max(list_length(rows), 1) * sizeof(SdesTracked));
	foreach (cell, rows)
	{
		const SdesDekRow *row = lfirst(cell);

		if (!seals_values(row))
			continue;
		set->keys[set->n].row = *row;
		set->keys[set->n++].due = is_due(row, buckets);
	}
	qsort(set->keys, set->n, sizeof(SdesTracked), by_key_id);
	return set;
}

void
sdes_tracked_reset(SdesTrackedSet *set)
{
	for (int i = 0; i < set->n; i++)
		set->keys[i].found = 0;
	set->foreign = 0;
	set->damaged = 0;
}

SdesTracked *
sdes_tracked_of(const SdesTrackedSet *set, struct varlena *value)
{
	SdesTracked wanted;

	if (!sdes_value_key_id(sdes_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)),
	                       wanted.row.binding.key_id))
		return NULL;
	return bsearch(&wanted, set->keys, set->n, sizeof(SdesTracked), by_key_id);
}

SdesTracked *
sdes_tracked_count(SdesTrackedSet *set, struct varlena *value)
{
	SdesTracked *found = sdes_tracked_of(set, value);

	if (found == NULL)
		set->foreign++;
	else
		found->found++;
	return found;
}

bool
sdes_tracked_any_due(const SdesTrackedSet *set)
{
	for (int i = 0; i < set->n; i++)
		if (set->keys[i].due)
			return true;
	return false;
}

int64
sdes_tracked_found_due(const SdesTrackedSet *set)
{
	int64 found = 0;

	for (int i = 0; i < set->n; i++)
		if (set->keys[i].due)
			found += set->keys[i].found;
	return found;
}
