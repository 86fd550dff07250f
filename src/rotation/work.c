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
#include "keyring/instance.h"
#include "keyring/keyring.h"
#include "rotation/catalogs.h"
#include "rotation/due.h"
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

/* What is worked on, for sdes_rotation_failed(): a relation, or a bucket's new key. */
static Oid current = SDES_WHOLE_DATABASE;
static uint8 making[SDES_UUID_SIZE];
static bool is_making = false;

/*
 * The last look found values although all relations of their buckets were clean: then
 * they are where no type modifier says, and every relation is gone through.
 */
static bool everywhere = false;

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

/* The buckets of keys that are to be emptied, as an array; their hashes; since when. */
typedef struct Todo
{
	int n;
	Datum uuids;
	List *hashes;
	TimestampTz since;
} Todo;

static void
add_bucket(Todo *todo, Datum *uuids, const SdesBucketRow *bucket)
{
	pg_uuid_t *uuid;

	if (list_member_int(todo->hashes, bucket->hash))
		return;
	uuid = palloc(sizeof(pg_uuid_t));
	memcpy(uuid->data, bucket->uuid, SDES_UUID_SIZE);
	uuids[todo->n++] = UUIDPGetDatum(uuid);
	todo->hashes = lappend_int(todo->hashes, bucket->hash);
}

/* Tokens may be in values of any bucket. */
static void
add_search(const SdesTrackedSearch *search, const List *buckets, Todo *todo, Datum *uuids)
{
	ListCell *cell;

	if (!search->moves)
		return;
	todo->since = Max(todo->since, search->incoming.created_at);
	todo->since = Max(todo->since, search->leaving.closed_at);
	foreach (cell, buckets)
	{
		const SdesBucketRow *bucket = lfirst(cell);

		if (!bucket->rotation_paused)
			add_bucket(todo, uuids, bucket);
	}
}

static void
read_todo(const SdesTrackedSet *set, Todo *todo)
{
	List *buckets = sdes_store_buckets();
	Datum *uuids = palloc(Max(list_length(buckets), 1) * sizeof(Datum));

	memset(todo, 0, sizeof(*todo));
	for (int i = 0; i < set->n; i++)
	{
		SdesBucketRow bucket;

		if (!sdes_tracked_is_open(&set->keys[i]) ||
		    !sdes_store_bucket_by_uuid(set->keys[i].row.binding.bucket, &bucket))
			continue;
		todo->since = Max(todo->since, set->keys[i].row.closed_at);
		add_bucket(todo, uuids, &bucket);
	}
	add_search(&set->search, buckets, todo, uuids);
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

/* What is left when all relations are done, of all places together. */
static void
take_place(const char *place, const char *object, const SdesTrackedSet *set, void *arg)
{
	SdesTrackedSet *all = arg;

	for (int i = 0; set != NULL && i < set->n; i++)
		all->keys[i].found += set->keys[i].found;
	all->search.found += set != NULL ? set->search.found : 0;
	all->search.due += set != NULL ? set->search.due : 0;
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

/* Whether a temporary table may hold values of a bucket, or of any if that is NULL. */
static bool
in_temporary_table(const uint8 *uuid)
{
	SdesBucketRow bucket = {0};
	ListCell *cell;

	if (uuid != NULL && !sdes_store_bucket_by_uuid(uuid, &bucket))
		return false;
	foreach (cell, sdes_relations_list())
	{
		const SdesHolder *holder = lfirst(cell);

		if (holder->temporary &&
		    (uuid == NULL || list_member_int(holder->buckets, bucket.hash) ||
		     list_member_int(holder->buckets, -1)))
			return true;
	}
	return false;
}

/* Why a key cannot be said to be empty yet; NULL when it can. */
static const char *
still_waits(const SdesDekRow *row, const uint8 *bucket)
{
	if (in_temporary_table(bucket))
		return "a temporary table of another session that may hold values";
	return sdes_horizon_transactions(row);
}

/* Whoever reads this may destroy what else there is of a key. */
static void
close_key(const SdesDekRow *row)
{
	ForceSyncCommit();
	sdes_store_set_dek_emptiness(row->binding.key_id, SDES_EMPTIED);
	/* Values may go on coming to a copy from its original, and it takes no key away. */
	if (row->state == SDES_KEY_DECRYPT_ONLY &&
	    (sdes_instance_is_owner() || row->binding.purpose == SDES_PURPOSE_SEARCH))
		sdes_store_set_dek_state(row->binding.key_id, SDES_KEY_RETIRED, NULL);
}

/*
 * What a look at all places says of a key. Nothing found is not enough: a transaction
 * that began before may hold copies that it has not committed. So that is written down,
 * what is older than the writing is waited for, and only if there is nothing still, the
 * key is closed. True when there is more to do: values, or that other look.
 */
static bool
judge_key(const SdesDekRow *row, int64 found)
{
	if (found == 0 && row->clean)
	{
		close_key(row);
		return false;
	}
	if (found == 0)
		sdes_store_set_dek_emptiness(row->binding.key_id, SDES_CLEAN);
	else if (row->clean)
		sdes_store_set_dek_emptiness(row->binding.key_id, SDES_NOT_KNOWN);
	return true;
}

static const SdesDekRow *
moving_search_key(const SdesTrackedSearch *search)
{
	return search->leaving.wrapped_size > 0 ? &search->leaving : &search->incoming;
}

/* Values that are to get other tokens, but stay as they are for now. */
static bool
tokens_stay(const SdesTrackedSet *set)
{
	for (int i = 0; i < set->n; i++)
		if (set->keys[i].counts_tokens && !set->keys[i].moves_tokens &&
		    !set->keys[i].row.emptied)
			return true;
	return false;
}

/* What any of the keys still waits for; NULL: nothing. */
static const char *
find_wait(const SdesTrackedSet *set)
{
	const char *waits = NULL;

	for (int i = 0; i < set->n && waits == NULL; i++)
		if (sdes_tracked_is_open(&set->keys[i]))
			waits = still_waits(&set->keys[i].row, set->keys[i].row.binding.bucket);
	if (waits == NULL && set->search.moves)
		waits = still_waits(moving_search_key(&set->search), NULL);
	if (waits == NULL && set->search.moves && tokens_stay(set))
		waits = "the search key waits for a bucket whose rotation is paused or cancelled";
	return waits;
}

/*
 * All relations are clean: counts all places in one snapshot, and closes the keys that
 * nothing is left under.
 */
static SdesRotationNext
look_last(SdesTrackedSet *set)
{
	SdesTrackedSet *all = sdes_tracked_read();
	bool more = false;
	bool found = false;

	sdes_inventory_count(set, take_place, all);
	for (int i = 0; i < set->n; i++)
	{
		if (!sdes_tracked_is_open(&set->keys[i]))
			continue;
		more |= judge_key(&set->keys[i].row, all->keys[i].found);
		found |= all->keys[i].found > 0;
	}
	if (set->search.moves)
	{
		more |= judge_key(moving_search_key(&set->search), all->search.found);
		found |= all->search.found > 0;
	}
	/* They were copied from elsewhere meanwhile. */
	if (found)
		restart_relations();
	everywhere = found;
	return more ? SDES_ROTATION_MORE : SDES_ROTATION_IDLE;
}

static SdesRotationNext
wait_for(const Todo *todo, const char *what)
{
	sdes_progress_wait(todo->uuids, what);
	return SDES_ROTATION_WAIT;
}

/* All relations are done: what is left is in the catalogs, or waits. */
static SdesRotationNext
work_on_the_rest(SdesTrackedSet *set, const Todo *todo)
{
	const char *waits = find_wait(set);

	if (waits != NULL)
		return wait_for(todo, waits);
	sync_relations(true);
	sdes_tracked_reset(set);
	/* What was changed there is looked for again, in a transaction of its own. */
	if (sdes_catalogs_renew(set) > 0)
		return SDES_ROTATION_MORE;
	if (sdes_tracked_found_due(set) > 0)
		return wait_for(todo,
		                "constants in catalogs whose table is locked, or that are damaged");
	sdes_progress_wait(todo->uuids, NULL);
	return look_last(set);
}

static Datum
all_buckets(void)
{
	SdesHolder any = {.buckets = list_make1_int(-1)};

	return buckets_of(&any, sdes_store_buckets());
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
		return wait_for(&todo, waits);
	sync_relations(false);
	switch (sdes_progress_next(everywhere ? all_buckets() : todo.uuids, todo.since, &task))
	{
		case SDES_TASK_FOUND:
			current = task.relation;
			work_on_relation(&task, set);
			return SDES_ROTATION_MORE;
		case SDES_TASK_LATER:
			return SDES_ROTATION_WAIT;
		default:
			return work_on_the_rest(set, &todo);
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
	is_making = false;
	SPI_connect();
	set = sdes_tracked_read();
	bucket = sdes_due_bucket(set, &purpose);
	if (bucket != NULL)
	{
		memcpy(making, bucket->uuid, SDES_UUID_SIZE);
		is_making = true;
		sdes_rotation_make_version(bucket, purpose);
	}
	else
		next = work_on_values(set);
	SPI_finish();
	return next;
}

SdesRotationNext
sdes_rotation_failed(const char *message)
{
	if (is_making)
	{
		sdes_due_failed(making);
		return SDES_ROTATION_MORE;
	}
	if (current == SDES_WHOLE_DATABASE)
		return SDES_ROTATION_FAILED;
	SPI_connect();
	sdes_progress_put_off(current, message);
	SPI_finish();
	return SDES_ROTATION_WAIT;
}
