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

bool
sdes_dek_is_imported(const SdesDekRow *row)
{
	return row->state == SDES_KEY_DECRYPT_ONLY && row->reason != NULL;
}

/* An emptied key stays due: a copy of a value may have been under way then. */
static bool
is_due(const SdesDekRow *row, const List *buckets)
{
	return (row->state == SDES_KEY_DECRYPT_ONLY || row->state == SDES_KEY_RETIRED) &&
	       !row->pinned && !is_paused(buckets, row->binding.bucket);
}

static void
read_search(const List *rows, SdesTrackedSearch *search)
{
	ListCell *cell;

	foreach (cell, rows)
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->binding.purpose != SDES_PURPOSE_SEARCH)
			continue;
		if (row->state == SDES_KEY_ACTIVE && (search->keys.current == 0 || !row->foreign))
			search->keys.current = row->binding.version;
		else if (row->state == SDES_KEY_INCOMING)
		{
			search->keys.next = row->binding.version;
			search->incoming = *row;
		}
		else if (row->state == SDES_KEY_DECRYPT_ONLY && !row->pinned && !row->emptied)
			search->leaving = *row;
	}
	search->moves = (search->incoming.wrapped_size > 0 && !search->incoming.emptied) ||
	                search->leaving.wrapped_size > 0;
}

bool
sdes_tracked_is_open(const SdesTracked *key)
{
	return key->due && !key->row.emptied;
}

static SdesTrackedSet *
read_keys(bool tokens)
{
	SdesTrackedSet *set = palloc0(sizeof(SdesTrackedSet));
	List *rows = sdes_store_deks();
	List *buckets = sdes_store_buckets();
	ListCell *cell;

	set->keys = palloc0(Max(list_length(rows), 1) * sizeof(SdesTracked));
	read_search(rows, &set->search);
	set->search.moves |= tokens;
	foreach (cell, rows)
	{
		const SdesDekRow *row = lfirst(cell);
		SdesTracked *key = &set->keys[set->n];

		if (!seals_values(row))
			continue;
		key->row = *row;
		key->due = is_due(row, buckets);
		key->counts_tokens = set->search.moves && row->state != SDES_KEY_DESTROYED &&
		                     !sdes_dek_is_imported(row);
		key->moves_tokens =
		    key->counts_tokens && !row->pinned && !is_paused(buckets, row->binding.bucket);
		set->n++;
	}
	qsort(set->keys, set->n, sizeof(SdesTracked), by_key_id);
	return set;
}

SdesTrackedSet *
sdes_tracked_read(void)
{
	return read_keys(false);
}

SdesTrackedSet *
sdes_tracked_read_tokens(void)
{
	return read_keys(true);
}

void
sdes_tracked_reset(SdesTrackedSet *set)
{
	for (int i = 0; i < set->n; i++)
		set->keys[i].found = 0;
	set->search.found = 0;
	set->search.due = 0;
	set->foreign = 0;
	set->damaged = 0;
}

static SdesBytes
bytes_of(const struct varlena *value)
{
	return sdes_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static SdesTracked *
key_of(const SdesTrackedSet *set, struct varlena *value)
{
	SdesTracked wanted;

	if (!sdes_value_key_id(bytes_of(value), wanted.row.binding.key_id))
		return NULL;
	return bsearch(&wanted, set->keys, set->n, sizeof(SdesTracked), by_key_id);
}

static bool
has_other_tokens(const SdesTrackedSet *set, const SdesTracked *key, struct varlena *value)
{
	return key->counts_tokens &&
	       !sdes_value_tokens_current(bytes_of(value), &set->search.keys);
}

bool
sdes_tracked_is_due(const SdesTrackedSet *set, struct varlena *value)
{
	const SdesTracked *key = key_of(set, value);

	return key != NULL &&
	       (key->due || (key->moves_tokens && has_other_tokens(set, key, value)));
}

bool
sdes_tracked_count(SdesTrackedSet *set, struct varlena *value)
{
	SdesTracked *key = key_of(set, value);
	bool other;

	if (key == NULL)
	{
		set->foreign++;
		return false;
	}
	key->found++;
	other = has_other_tokens(set, key, value);
	set->search.found += other;
	other = other && key->moves_tokens;
	set->search.due += other;
	return key->due || other;
}

int64
sdes_tracked_found_due(const SdesTrackedSet *set)
{
	int64 found = set->search.due;

	for (int i = 0; i < set->n; i++)
		if (set->keys[i].due)
			found += set->keys[i].found;
	return found;
}
