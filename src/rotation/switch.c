/*
 * switch.c
 *		The rotation of the search key: sdes.rotate_search_key() and
 *		sdes.switch_search_key().
 *
 * Values are compared by their tokens under one search key, in indexes, joins and sorts
 * alike; so the key in use changes for all tables in one moment. Before that, every value
 * gets a token of the new key besides (work.c), while the old ones are compared, and new
 * indexes are built (new_indexes.c). In that moment every table with tokens is locked, so
 * that no query is under way that has sorted or hashed by the old ones, and the indexes
 * are exchanged: none ever holds two orders. Afterwards values lose the old tokens, again
 * in the background.
 */
#include "postgres.h"

#include "rotation/rotation.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_range.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "rotation/catalogs.h"
#include "rotation/inventory.h"
#include "rotation/new_indexes.h"
#include "rotation/relations.h"
#include "rotation/tracked.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#define TRY_TO_LOCK "500ms"
#define TRIES       60
#define PAUSE_US    200000L

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

/* Whether a table is partitioned by values, which an expression may take out of others. */
static bool
is_partitioned_by_values(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	PartitionKey key = RelationGetPartitionKey(rel);
	bool found = false;

	for (int i = 0; i < key->partnatts; i++)
		found |= holds_values(key->parttypid[i]);
	table_close(rel, AccessShareLock);
	return found;
}

/* Tables that are partitioned by values, by list; an error for another way. */
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

		if (!is_partitioned_by_values(row->partrelid))
			continue;
		refuse_partitions(row);
		found = lappend_oid(found, row->partrelid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(found, list_oid_cmp);
	return found;
}

/* Which of two bounds is the lower one depends on tokens, too. */
static void
refuse_ranges(void)
{
	Relation rel = table_open(RangeRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_range row = (Form_pg_range) GETSTRUCT(tuple);

		if (row->rngtypid >= FirstNormalObjectId && holds_values(row->rngsubtype))
			ereport(ERROR,
			        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			         errmsg("the search key cannot be rotated while there is range type "
			                "\"%s\" of encrypted values",
			                format_type_be(row->rngtypid)),
			         errdetail("Which bound of a range is the lower one depends on their "
			                   "search tokens."),
			         errhint("Drop it.")));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Their tokens are the affair of the site that they came from. */
static void
warn_of_imported(void)
{
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->binding.purpose != SDES_PURPOSE_DATA || !row->pinned ||
		    !sdes_dek_is_imported(row))
			continue;
		ereport(NOTICE,
		        (errmsg("values under keys of other sites get no token of the new search "
		                "key"),
		         errhint("Where they are to be compared with values from here, have that "
		                 "site rotate the search key and import its keys again, or have "
		                 "the values follow by sdes.resume_rotation().")));
		return;
	}
}

Datum
sdes_rotate_search_key(PG_FUNCTION_ARGS)
{
	SdesBucketRow system;
	SdesTrackedSet *set;

	begin("sdes.rotate_search_key()");
	sdes_require_bucket(SDES_SYSTEM_BUCKET, &system);
	partitioned_tables();
	refuse_ranges();
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
	warn_of_imported();
	PG_RETURN_INT32((int32) sdes_keyring_new_search_key(&system));
}

/* ---- the switch ---- */

static const SdesDekRow *
active_search_key(const SdesTrackedSet *set)
{
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->binding.purpose == SDES_PURPOSE_SEARCH && row->state == SDES_KEY_ACTIVE &&
		    row->binding.version == set->search.keys.current)
			return row;
	}
	elog(ERROR, "there is no active search key");
}

/* The tables that the switch is about; all are locked. */
typedef struct Tables
{
	List *partitioned; /* by values: OIDs */
	List *holders;     /* SdesHolder */
} Tables;

static uint32 shuffle_by;

static int
by_chance(const ListCell *a, const ListCell *b)
{
	uint32 left = murmurhash32(((SdesHolder *) lfirst(a))->relid ^ shuffle_by);
	uint32 right = murmurhash32(((SdesHolder *) lfirst(b))->relid ^ shuffle_by);

	return left < right ? -1 : left > right;
}

/*
 * First of all what the guard of columns locks (types/column_guard.c), so that no table is
 * in the making that nobody sees yet; then, as queries do, tables before their partitions.
 * The others in another order at each try: busy clients that lock them in theirs would
 * otherwise meet every try in the same way.
 */
static void
lock_all(Tables *tables, uint32 attempt)
{
	ListCell *cell;

	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ExclusiveLock);
	tables->partitioned = partitioned_tables();
	foreach (cell, tables->partitioned)
		LockRelationOid(lfirst_oid(cell), AccessExclusiveLock);
	tables->holders = sdes_relations_list();
	shuffle_by = murmurhash32(attempt);
	list_sort(tables->holders, by_chance);
	foreach (cell, tables->holders)
		LockRelationOid(((SdesHolder *) lfirst(cell))->relid, AccessExclusiveLock);
}

/* One try, in a subtransaction; false when others kept a table for too long. */
static bool
try_to_lock_all(Tables *tables, uint32 attempt)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool locked = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		lock_all(tables, attempt);
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
 * Locks all tables with values, as long as the transaction lasts. Each lock is waited for
 * less long than deadlock_timeout is: in a deadlock with a client it is not the client
 * that gets the error.
 */
static void
lock_tables(Tables *tables)
{
	int level = NewGUCNestLevel();
	bool locked = false;
	ListCell *cell;

	(void) set_config_option("lock_timeout", TRY_TO_LOCK, PGC_USERSET, PGC_S_SESSION,
	                         GUC_ACTION_SAVE, true, 0, false);
	for (int i = 0; i < TRIES && !locked; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			pg_usleep(PAUSE_US);
		locked = try_to_lock_all(tables, (uint32) i);
	}
	AtEOXact_GUC(false, level);
	if (!locked)
		ereport(ERROR,
		        (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
		         errmsg("tables with encrypted columns could not all be locked"),
		         errdetail("Others kept one of them locked in each of %d tries.", TRIES),
		         errhint("Try again when no long transaction uses them.")));
	foreach (cell, tables->partitioned)
		CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
}

static void
rebuild_index(Oid id)
{
	Relation index = index_open(id, AccessExclusiveLock);
	bool needed = sdes_index_keeps_tokens(index);
	char persistence = index->rd_rel->relpersistence;

	index_close(index, NoLock);
	if (needed)
		SDES_REINDEX_INDEX(id, persistence);
}

static void
replace_indexes(Oid relid, const List *copies)
{
	Relation rel = table_open(relid, NoLock);
	List *indexes = RelationGetIndexList(rel);
	ListCell *cell;

	CacheInvalidateRelcache(rel);
	table_close(rel, NoLock);
	foreach (cell, indexes)
		if (!sdes_new_indexes_put(copies, lfirst_oid(cell)))
			rebuild_index(lfirst_oid(cell));
}

static void
add_found(const char *place, const char *object, const SdesTrackedSet *set, void *arg)
{
	*(int64 *) arg += set != NULL ? set->search.found : 0;
}

/*
 * A copy of a value may have been stored since all had been looked at. Compared after the
 * switch it would be an error. That one comes while the tables are about to be locked is
 * not excluded; those that are indexed cannot, for the new indexes refuse them.
 */
static void
refuse_stragglers(void)
{
	SdesTrackedSet *set = sdes_tracked_read_tokens();
	int64 found = 0;

	sdes_inventory_count(set, add_found, &found);
	if (found > 0)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		     errmsg(INT64_FORMAT " value(s) have no token of the new search key", found),
		     errdetail("They were copied since all values had been seen to."),
		     errhint("Run SELECT sdes.resume_rotation('%s') and try again when it is "
		             "done.",
		             SDES_SYSTEM_BUCKET)));
}

static void
refuse_temporary_tables(const List *holders)
{
	ListCell *cell;

	foreach (cell, holders)
		if (((SdesHolder *) lfirst(cell))->temporary)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
			                errmsg("there are temporary tables with encrypted columns"),
			                errhint("Have their sessions drop them, or end.")));
}

/* The incoming search key, when all values have its token. */
static const SdesDekRow *
ready_search_key(const SdesTrackedSet *set)
{
	if (set->search.incoming.wrapped_size == 0 || !set->search.incoming.emptied)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         set->search.incoming.wrapped_size == 0
		             ? errmsg("there is no new search key to switch to")
		             : errmsg("some values have no token of the new search key yet"),
		         errhint("sdes.rotate_search_key() makes one; sdes.rotation_progress shows "
		                 "how far values have got their tokens.")));
	return &set->search.incoming;
}

/* What is in the way is said before indexes are built for hours. */
static List *
look_ahead(void)
{
	List *holders;

	begin("sdes.switch_search_key()");
	(void) ready_search_key(sdes_tracked_read());
	(void) partitioned_tables();
	refuse_ranges();
	holders = sdes_relations_list();
	refuse_temporary_tables(holders);
	return holders;
}

/* All tables are locked from here to the commit. */
static void
make_the_switch(const List *copies)
{
	SdesTrackedSet *set;
	const SdesDekRow *incoming;
	Tables tables;
	ListCell *cell;

	begin("sdes.switch_search_key()");
	set = sdes_tracked_read();
	incoming = ready_search_key(set);
	lock_tables(&tables);
	refuse_ranges();
	refuse_temporary_tables(tables.holders);
	sdes_store_set_dek_state(active_search_key(set)->binding.key_id, SDES_KEY_DECRYPT_ONLY,
	                         NULL);
	sdes_store_set_dek_state(incoming->binding.key_id, SDES_KEY_ACTIVE, NULL);
	sdes_store_set_dek_emptiness(incoming->binding.key_id, SDES_NOT_KNOWN);
	sdes_catalogs_forget_statistics(set);
	foreach (cell, tables.holders)
		replace_indexes(((SdesHolder *) lfirst(cell))->relid, copies);
}

static bool
can_commit(const FunctionCallInfo fcinfo)
{
	const Node *context = fcinfo->context;

	return context != NULL && IsA(context, CallContext) &&
	       !((const CallContext *) context)->atomic;
}

Datum
sdes_switch_search_key(PG_FUNCTION_ARGS)
{
	List *copies;

	if (!can_commit(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
		                errmsg("sdes.switch_search_key() cannot run inside a transaction "
		                       "block"),
		                errdetail("It builds indexes in transactions of its own."),
		                errhint("CALL it by itself.")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	copies = sdes_new_indexes_build(look_ahead());
	PushActiveSnapshot(GetTransactionSnapshot());
	refuse_stragglers();
	PopActiveSnapshot();
	SPI_commit();
	SPI_start_transaction();
	PushActiveSnapshot(GetTransactionSnapshot());
	make_the_switch(copies);
	PopActiveSnapshot();
	sdes_new_indexes_release(copies);
	SPI_finish();
	PG_RETURN_VOID();
}
