/*
 * switch.c
 *		The rotation of the search key: sdes.rotate_search_key() and
 *		sdes.switch_search_key().
 *
 * Values are compared by their tokens under one search key, in indexes, joins and sorts
 * alike; so the key in use changes for all tables in one moment. Before that, every value
 * gets a token of the new key besides (work.c), while the old ones are compared. In that
 * moment every table with tokens is locked, so that no query is under way that has sorted
 * or hashed by the old ones, and indexes are rebuilt: none ever holds two orders.
 * Afterwards values lose the old tokens, again in the background.
 */
#include "postgres.h"

#include "rotation/rotation.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_partitioned_table.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "rotation/catalogs.h"
#include "rotation/relations.h"
#include "rotation/tracked.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/resowner.h"

#define TRY_TO_LOCK "500ms"
#define TRIES       60

SDES_SQL_FUNCTION(sdes_rotate_search_key);
SDES_SQL_FUNCTION(sdes_switch_search_key);

static void
begin(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	sdes_require_preload();
	sdes_policy_require_member("sdes_admin", "rotate the search key");
	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
	sdes_rotation_wake();
}

static bool
holds_values(Oid type)
{
	List *buckets = NIL;

	return OidIsValid(type) && sdes_shape_of(type, -1, &buckets) != NULL;
}

/*
 * By hash or range it depends on tokens in which partition a row is: after the switch it
 * would be in the wrong one.
 */
static void
refuse_partitions(Form_pg_partitioned_table row)
{
	if (row->partstrat == PARTITION_STRATEGY_LIST)
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("the search key cannot be rotated while table \"%s\" is "
	                       "partitioned by an encrypted column",
	                       get_rel_name(row->partrelid)),
	                errdetail("Which partition a row is in depends on its search token."),
	                errhint("Partition it by another column, or by list.")));
}

/* Tables that are partitioned by an encrypted column, by list; an error for another way. */
static List *
partitioned_tables(void)
{
	Relation rel = table_open(PartitionedRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List *found = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_partitioned_table row = (Form_pg_partitioned_table) GETSTRUCT(tuple);

		for (int i = 0; i < row->partnatts; i++)
		{
			AttrNumber column = row->partattrs.values[i];

			if (column == 0 || !holds_values(get_atttype(row->partrelid, column)))
				continue;
			refuse_partitions(row);
			found = list_append_unique_oid(found, row->partrelid);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(found, list_oid_cmp);
	return found;
}

Datum
sdes_rotate_search_key(PG_FUNCTION_ARGS)
{
	SdesBucketRow system;
	SdesTrackedSet *set;

	begin("sdes.rotate_search_key()");
	sdes_require_bucket(SDES_SYSTEM_BUCKET, &system);
	partitioned_tables();
	set = sdes_tracked_read();
	if (set->search.incoming.wrapped_size > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("a new search key is being brought in already"),
		                errhint("See SELECT * FROM sdes.rotation_progress, and then "
		                        "sdes.switch_search_key().")));
	if (set->search.leaving.wrapped_size > 0)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("values still carry tokens of the search key before this one"),
		         errhint("See SELECT * FROM sdes.rotation_progress.")));
	PG_RETURN_INT32((int32) sdes_keyring_new_search_key(&system));
}

/* ---- the switch ---- */

static const SdesDekRow *
active_search_key(void)
{
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->binding.purpose == SDES_PURPOSE_SEARCH && row->state == SDES_KEY_ACTIVE)
			return row;
	}
	elog(ERROR, "there is no active search key");
}

static void
lock_all(const List *partitioned, const List *holders)
{
	ListCell *cell;

	foreach (cell, partitioned)
		LockRelationOid(lfirst_oid(cell), AccessExclusiveLock);
	foreach (cell, holders)
		LockRelationOid(((SdesHolder *) lfirst(cell))->relid, AccessExclusiveLock);
}

/* One try, in a subtransaction; false when others kept a table for too long. */
static bool
try_to_lock_all(const List *partitioned, const List *holders)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool locked = false;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		lock_all(partitioned, holders);
		ReleaseCurrentSubTransaction();
		locked = true;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return locked;
}

/*
 * Locks all tables with values, as long as the transaction lasts; and before these, as
 * queries do, those that are partitioned by values, which know the bounds in their order.
 * Each try is shorter than deadlock_timeout: in a deadlock with a client it is never the
 * client that gets the error.
 */
static void
lock_tables(const List *partitioned, const List *holders)
{
	int level = NewGUCNestLevel();
	bool locked = false;
	ListCell *cell;

	(void) set_config_option("lock_timeout", TRY_TO_LOCK, PGC_USERSET, PGC_S_SESSION,
	                         GUC_ACTION_SAVE, true, 0, false);
	for (int i = 0; i < TRIES && !locked; i++)
		locked = try_to_lock_all(partitioned, holders);
	AtEOXact_GUC(false, level);
	if (!locked)
		ereport(ERROR,
		        (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
		         errmsg("tables with encrypted columns could not all be locked"),
		         errdetail("Others kept one of them locked in each of %d tries.", TRIES),
		         errhint("Try again when no long transaction uses them.")));
	foreach (cell, partitioned)
		CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
}

/*
 * Whether an index keeps values in some order, or by their hashes: of the columns of a
 * hash index only the table knows the types.
 */
static bool
keeps_values(Relation index)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		AttrNumber column = index->rd_index->indkey.values[i];
		Oid table = index->rd_index->indrelid;

		if (holds_values(column != 0 ? get_atttype(table, column) : InvalidOid) ||
		    holds_values(TupleDescAttr(RelationGetDescr(index), i)->atttypid) ||
		    holds_values(index->rd_opcintype[i]))
			return true;
	}
	return false;
}

static void
rebuild_index(Oid id)
{
	Relation index = index_open(id, AccessExclusiveLock);
	bool needed = keeps_values(index);
	char persistence = index->rd_rel->relpersistence;

	index_close(index, NoLock);
	if (needed)
		SDES_REINDEX_INDEX(id, persistence);
}

static void
rebuild_indexes(Oid relid)
{
	Relation rel = table_open(relid, NoLock);
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	CacheInvalidateRelcache(rel);
	table_close(rel, NoLock);
	foreach (cell, indexes)
		rebuild_index(lfirst_oid(cell));
}

Datum
sdes_switch_search_key(PG_FUNCTION_ARGS)
{
	SdesTrackedSet *set;
	List *holders;
	ListCell *cell;

	begin("sdes.switch_search_key()");
	set = sdes_tracked_read();
	if (set->search.incoming.wrapped_size == 0 || !set->search.incoming.emptied)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         set->search.incoming.wrapped_size == 0
		             ? errmsg("there is no new search key to switch to")
		             : errmsg("some values have no token of the new search key yet"),
		         errhint("sdes.rotate_search_key() makes one; sdes.rotation_progress shows "
		                 "how far values have got their tokens.")));
	holders = sdes_relations_list();
	lock_tables(partitioned_tables(), holders);
	foreach (cell, holders)
		if (((SdesHolder *) lfirst(cell))->temporary)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
			                errmsg("there are temporary tables with encrypted columns"),
			                errhint("Have their sessions drop them, or end.")));
	sdes_store_set_dek_state(active_search_key()->binding.key_id, SDES_KEY_DECRYPT_ONLY,
	                         NULL);
	sdes_store_set_dek_state(set->search.incoming.binding.key_id, SDES_KEY_ACTIVE, NULL);
	sdes_store_set_dek_emptied(set->search.incoming.binding.key_id, false);
	sdes_catalogs_forget_statistics(set);
	foreach (cell, holders)
		rebuild_indexes(((SdesHolder *) lfirst(cell))->relid);
	PG_RETURN_VOID();
}
