/*
 * work.c
 *		What a rotation worker does next: a new key, a batch of rows, the catalogs, the
 *		last look.
 *
 * In this order a crash at any point loses nothing: a new key is committed before
 * anything is sealed under it, values move one batch a transaction, and a key counts as
 * empty only when one snapshot of all places, which no older transaction can add to,
 * held no value under it.
 */
#include "postgres.h"

#include "rotation/rotation.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "keyring/keyring.h"
#include "rotation/catalogs.h"
#include "rotation/horizon.h"
#include "rotation/internal.h"
#include "rotation/inventory.h"
#include "rotation/manners.h"
#include "rotation/progress.h"
#include "rotation/relations.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* The relation that is worked on, for sdes_rotation_failed(). */
static Oid current = InvalidOid;

/* ---- keys that are due for a successor ---- */

static bool
is_over(TimestampTz since, const Interval *period)
{
	Datum end = DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(since),
	                                IntervalPGetDatum(period));

	return DatumGetTimestampTz(end) <= GetCurrentTimestamp();
}

/* The bucket whose active key's cryptoperiod is over; NULL if there is none. */
static const SdesBucketRow *
overdue_bucket(const SdesTrackedSet *set, SdesDekPurpose *purpose)
{
	ListCell *cell;

	foreach (cell, sdes_store_buckets())
	{
		const SdesBucketRow *bucket = lfirst(cell);

		for (int i = 0; i < set->n && !bucket->rotation_paused; i++)
		{
			const SdesDekRow *row = &set->keys[i].row;

			*purpose = row->binding.purpose;
			if (row->state == SDES_KEY_ACTIVE &&
			    memcmp(row->binding.bucket, bucket->uuid, SDES_UUID_SIZE) == 0 &&
			    is_over(row->created_at, &bucket->rotation_period))
				return bucket;
		}
	}
	return NULL;
}

uint32
sdes_rotation_make_version(const SdesBucketRow *bucket, SdesDekPurpose purpose)
{
	uint32 version = sdes_keyring_new_version(bucket, purpose);

	ForceSyncCommit(); /* the worker's own do not wait for the disk */
	/* Constants in plans that sessions keep are sealed anew when they plan again. */
	if (purpose == SDES_PURPOSE_LITERAL)
		CacheInvalidateCatalog(NamespaceRelationId);
	ereport(LOG, (errmsg("sdes: bucket \"%s\" has version %u of its %s key", bucket->name,
	                     version, sdes_purpose_name(purpose))));
	return version;
}

/* ---- what is to be emptied ---- */

static bool
is_open(const SdesTracked *key)
{
	return key->due && !key->row.emptied;
}

/* The buckets of keys that are to be emptied, as an array; their hashes; since when. */
typedef struct Todo
{
	int n;
	Datum uuids;
	List *hashes;
	TimestampTz since;
} Todo;

static void
read_todo(const SdesTrackedSet *set, Todo *todo)
{
	Datum *uuids = palloc(Max(set->n, 1) * sizeof(Datum));

	memset(todo, 0, sizeof(*todo));
	for (int i = 0; i < set->n; i++)
	{
		SdesBucketRow bucket;
		pg_uuid_t *uuid;

		if (!is_open(&set->keys[i]) ||
		    !sdes_store_bucket_by_uuid(set->keys[i].row.binding.bucket, &bucket))
			continue;
		todo->since = Max(todo->since, set->keys[i].row.closed_at);
		if (list_member_int(todo->hashes, bucket.hash))
			continue;
		uuid = palloc(sizeof(pg_uuid_t));
		memcpy(uuid->data, bucket.uuid, SDES_UUID_SIZE);
		uuids[todo->n++] = UUIDPGetDatum(uuid);
		todo->hashes = lappend_int(todo->hashes, bucket.hash);
	}
	todo->uuids = PointerGetDatum(
	    construct_array(uuids, todo->n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* The buckets whose values a relation can hold; all of them where a type does not say. */
static Datum
buckets_of(const SdesHolder *holder, const List *buckets)
{
	Datum *uuids = palloc(Max(list_length(buckets), 1) * sizeof(Datum));
	int n = 0;
	ListCell *cell;

	foreach (cell, buckets)
	{
		SdesBucketRow *bucket = lfirst(cell);

		if (list_member_int(holder->buckets, bucket->hash) ||
		    list_member_int(holder->buckets, -1))
			uuids[n++] = UUIDPGetDatum((pg_uuid_t *) bucket->uuid);
	}
	return PointerGetDatum(
	    construct_array(uuids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* The catalogs are read from end to end: not for each batch. */
#define SYNC_EVERY_MS 5000

static void
sync_relations(bool now)
{
	static TimestampTz synced_at = 0;
	List *holders = NIL;
	List *relids = NIL;
	List *buckets;
	ListCell *cell;

	if (!now && synced_at != 0 &&
	    !TimestampDifferenceExceeds(synced_at, GetCurrentTimestamp(), SYNC_EVERY_MS))
		return;
	foreach (cell, sdes_relations_list())
		if (!((SdesHolder *) lfirst(cell))->temporary)
		{
			holders = lappend(holders, lfirst(cell));
			relids = lappend_oid(relids, ((SdesHolder *) lfirst(cell))->relid);
		}
	sdes_progress_sync(relids);
	buckets = sdes_store_buckets();
	foreach (cell, holders)
	{
		const SdesHolder *holder = lfirst(cell);

		sdes_progress_set_buckets(holder->relid, buckets_of(holder, buckets));
	}
	synced_at = GetCurrentTimestamp();
}

/* ---- the pieces ---- */

/* A table that others have locked against writing is put off, and so is one that fails. */
static void
work_on_relation(const SdesTask *task, SdesTrackedSet *set)
{
	SdesBatch batch = {.max_rows = sdes_rotation_batch_rows, .next = task->next};
	Relation rel;

	if (!ConditionalLockRelationOid(task->relation, RowExclusiveLock))
	{
		sdes_progress_put_off(task->relation, "the table is locked");
		return;
	}
	rel = try_relation_open(task->relation, NoLock);
	if (rel == NULL)
		return; /* dropped: its row goes with the next look at the catalogs */
	sdes_batch_run(rel, sdes_relation_shape(rel), set, &batch);
	relation_close(rel, NoLock);
	sdes_progress_note(task, &batch);
	if (set->damaged > 0)
		sdes_progress_put_off(
		    task->relation,
		    psprintf(INT64_FORMAT " value(s) are not authentic", set->damaged));
}

/* What is left of keys when all relations are done. */
typedef struct LastLook
{
	SdesTrackedSet *all; /* found anywhere, by key */
} LastLook;

static void
take_place(const char *place, const char *object, const SdesTrackedSet *set, void *arg)
{
	LastLook *look = arg;

	for (int i = 0; set != NULL && i < set->n; i++)
		look->all->keys[i].found += set->keys[i].found;
}

static void
restart_relations(void)
{
	ListCell *cell;

	foreach (cell, sdes_relations_list())
	{
		const SdesHolder *holder = lfirst(cell);

		if (!holder->temporary)
			sdes_progress_restart(holder->relid);
	}
}

/* Whether a temporary table may hold values of that key's bucket. */
static bool
in_temporary_table(const SdesTracked *key, const List *holders)
{
	SdesBucketRow bucket;
	ListCell *cell;

	if (!sdes_store_bucket_by_uuid(key->row.binding.bucket, &bucket))
		return false;
	foreach (cell, holders)
	{
		const SdesHolder *holder = lfirst(cell);

		if (holder->temporary && (list_member_int(holder->buckets, bucket.hash) ||
		                          list_member_int(holder->buckets, -1)))
			return true;
	}
	return false;
}

static const char *
close_key(const SdesTracked *key, int64 found, const List *holders)
{
	const char *waits;

	if (found > 0)
		return "values that were copied meanwhile";
	if (in_temporary_table(key, holders))
		return "a temporary table of another session that may hold values";
	waits = sdes_horizon_transactions(&key->row);
	if (waits != NULL)
		return waits;
	/* Whoever reads this may destroy what else there is of the key. */
	ForceSyncCommit();
	sdes_store_set_dek_emptied(key->row.binding.key_id, true);
	if (key->row.state == SDES_KEY_DECRYPT_ONLY)
		sdes_store_set_dek_state(key->row.binding.key_id, SDES_KEY_RETIRED, NULL);
	return NULL;
}

/*
 * All relations are clean: counts all places in one snapshot, and closes the keys that
 * nothing is left under.
 */
static SdesRotationNext
look_last(SdesTrackedSet *set, const Todo *todo)
{
	LastLook look = {sdes_tracked_read()};
	List *holders = sdes_relations_list();
	const char *waits = NULL;
	bool found = false;

	for (int i = 0; i < set->n && waits == NULL; i++)
		if (is_open(&set->keys[i]))
			waits = sdes_horizon_transactions(&set->keys[i].row);
	if (waits == NULL)
	{
		sdes_inventory_count(set, take_place, &look);
		for (int i = 0; i < set->n; i++)
		{
			const char *why = NULL;

			if (is_open(&set->keys[i]))
				why = close_key(&set->keys[i], look.all->keys[i].found, holders);
			waits = why != NULL ? why : waits;
			found |= why != NULL && look.all->keys[i].found > 0;
		}
	}
	if (found)
		restart_relations();
	sdes_progress_wait(todo->uuids, waits);
	return found           ? SDES_ROTATION_MORE
	       : waits != NULL ? SDES_ROTATION_WAIT
	                       : SDES_ROTATION_IDLE;
}

/* True when there is nothing left to do in the catalogs. */
static bool
work_on_catalogs(SdesTrackedSet *set)
{
	sdes_tracked_reset(set);
	sdes_catalogs_renew(set);
	return sdes_tracked_found_due(set) == 0;
}

static SdesRotationNext
work_on_values(SdesTrackedSet *set)
{
	const char *waits;
	SdesTask task;
	Todo todo;

	read_todo(set, &todo);
	if (todo.n == 0)
	{
		sdes_progress_wait(todo.uuids, NULL);
		return SDES_ROTATION_IDLE;
	}
	waits = sdes_manners_wait();
	if (waits != NULL)
	{
		sdes_progress_wait(todo.uuids, waits);
		return SDES_ROTATION_WAIT;
	}
	sync_relations(false);
	switch (sdes_progress_next(todo.uuids, todo.since, &task))
	{
		case SDES_TASK_FOUND:
			current = task.relation;
			work_on_relation(&task, set);
			return SDES_ROTATION_MORE;
		case SDES_TASK_LATER:
			return SDES_ROTATION_WAIT;
		default:
			sync_relations(true);
			/* What was found there is looked for again, in a transaction of its own. */
			if (!work_on_catalogs(set))
				return SDES_ROTATION_MORE;
			return look_last(set, &todo);
	}
}

SdesRotationNext
sdes_rotation_work(void)
{
	SdesTrackedSet *set;
	const SdesBucketRow *bucket;
	SdesDekPurpose purpose;
	SdesRotationNext next = SDES_ROTATION_MORE;

	current = SDES_WHOLE_DATABASE;
	SPI_connect();
	set = sdes_tracked_read();
	bucket = overdue_bucket(set, &purpose);
	if (bucket != NULL)
		sdes_rotation_make_version(bucket, purpose);
	else
		next = work_on_values(set);
	SPI_finish();
	return next;
}

void
sdes_rotation_failed(const char *message)
{
	if (current == SDES_WHOLE_DATABASE)
		return;
	SPI_connect();
	sdes_progress_put_off(current, message);
	SPI_finish();
}
