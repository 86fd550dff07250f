/*
 * switch.c
 *		sdes.switch_search_key().
 *
 * New indexes are built (new_indexes.c) while the old tokens are compared. Then every table
 * with tokens is locked, so that no query is under way that has sorted or hashed by the old
 * ones, the other search key becomes the one in use, and indexes are exchanged: none ever
 * holds two orders.
 */
#include "postgres.h"

#include "rotation/rotation.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "audit/audit.h"
#include "catalog/index.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "rotation/catalogs.h"
#include "rotation/inventory.h"
#include "rotation/new_indexes.h"
#include "rotation/relations.h"
#include "rotation/search_key.h"
#include "rotation/tracked.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#define TRY_TO_LOCK "500ms"
#define TRIES       60
#define PAUSE_US    200000L

SDES_SQL_FUNCTION(sdes_switch_search_key);

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

/* Some commands lock an index alone. */
static void
lock_with_indexes(Oid relid)
{
	Relation rel;
	ListCell *cell;

	LockRelationOid(relid, AccessExclusiveLock);
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
		return;
	foreach (cell, RelationGetIndexList(rel))
		LockRelationOid(lfirst_oid(cell), AccessExclusiveLock);
	relation_close(rel, NoLock);
}

/*
 * First of all what the guard of columns locks (types/column_guard.c), so that no table is
 * in the making that nobody sees yet; then, as queries do, tables before their partitions.
 * The others in another order at each try: busy clients that lock them in theirs would
 * otherwise meet every try in the same way.
 */
static void
lock_all(void *arg, uint32 attempt)
{
	Tables *tables = arg;
	ListCell *cell;

	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ExclusiveLock);
	tables->partitioned = sdes_search_key_partitioned();
	foreach (cell, tables->partitioned)
		LockRelationOid(lfirst_oid(cell), AccessExclusiveLock);
	tables->holders = sdes_relations_list();
	shuffle_by = murmurhash32(attempt);
	list_sort(tables->holders, by_chance);
	foreach (cell, tables->holders)
		lock_with_indexes(((SdesHolder *) lfirst(cell))->relid);
}

/*
 * One try, in a subtransaction; false when others kept a lock for too long, or waited for
 * one of ours.
 */
static bool
try_in_time(void (*act)(void *arg, uint32 attempt), void *arg, uint32 attempt)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool locked = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		act(arg, attempt);
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
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		    error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
			ReThrowError(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return locked;
}

/*
 * Each lock is waited for less long than deadlock_timeout is: in a deadlock with a client
 * it is not the client that gets the error.
 */
static bool
do_in_time(void (*act)(void *arg, uint32 attempt), void *arg, int tries)
{
	int level = NewGUCNestLevel();
	bool done = false;

	(void) set_config_option("lock_timeout", TRY_TO_LOCK, PGC_USERSET, PGC_S_SESSION,
	                         GUC_ACTION_SAVE, true, 0, false);
	for (int i = 0; i < tries && !done; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			pg_usleep(PAUSE_US);
		done = try_in_time(act, arg, (uint32) i);
	}
	AtEOXact_GUC(false, level);
	return done;
}

/* Locks all tables with values, as long as the transaction lasts. */
static void
lock_tables(Tables *tables)
{
	ListCell *cell;

	if (!do_in_time(lock_all, tables, TRIES))
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

/* It could not be rebuilt, perhaps, and that would turn out at the very end. */
static void
refuse_invalid_indexes(const List *holders)
{
	ListCell *holder;

	foreach (holder, holders)
	{
		Relation rel =
		    try_relation_open(((SdesHolder *) lfirst(holder))->relid, AccessShareLock);
		ListCell *cell;

		if (rel == NULL)
			continue;
		foreach (cell, RelationGetIndexList(rel))
			if (sdes_new_indexes_is_obstacle(lfirst_oid(cell)))
				ereport(ERROR,
				        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				         errmsg("index \"%s\" is invalid", get_rel_name(lfirst_oid(cell))),
				         errhint("REINDEX or drop it.")));
		relation_close(rel, AccessShareLock);
	}
}

/* What is in the way is said before indexes are built for hours. */
static List *
look_ahead(void)
{
	List *holders;

	sdes_search_key_begin("sdes.switch_search_key()");
	(void) ready_search_key(sdes_tracked_read());
	(void) sdes_search_key_partitioned();
	sdes_search_key_refuse_ranges();
	holders = sdes_relations_list();
	refuse_temporary_tables(holders);
	refuse_invalid_indexes(holders);
	return holders;
}

static void
drop_left(void *arg, uint32 attempt)
{
	sdes_new_indexes_drop_left(*(Oid *) arg);
}

/* Of a table that somebody keeps locked they are dropped at the end. */
static void
drop_all_left(const List *holders)
{
	ListCell *cell;

	foreach (cell, holders)
	{
		Oid relid = ((SdesHolder *) lfirst(cell))->relid;

		if (!sdes_new_indexes_has_left(relid))
			continue;
		(void) do_in_time(drop_left, &relid, 1);
		sdes_search_key_commit();
	}
}

/* All tables are locked from here to the commit. */
static void
make_the_switch(const List *copies)
{
	SdesTrackedSet *set;
	const SdesDekRow *incoming;
	Tables tables;
	ListCell *cell;

	sdes_search_key_begin("sdes.switch_search_key()");
	set = sdes_tracked_read();
	incoming = ready_search_key(set);
	lock_tables(&tables);
	sdes_search_key_refuse_ranges();
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
	       !((const CallContext *) context)->atomic && !IsSubTransaction();
}

/* One at a time, by a lock of the session that nobody waits for. */
static void
lock_switch(LOCKTAG *tag)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, RelationRelationId,
	                   sdes_table_oid(SDES_TABLE_BUCKET), 1);
	if (LockAcquire(tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
		                errmsg("another session is switching search keys"),
		                errhint("See pg_stat_progress_create_index.")));
}

Datum
sdes_switch_search_key(PG_FUNCTION_ARGS)
{
	LOCKTAG tag;
	List *holders;
	List *copies;

	if (!can_commit(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
		                errmsg("sdes.switch_search_key() cannot run inside a transaction "
		                       "block"),
		                errdetail("It builds indexes in transactions of its own."),
		                errhint("CALL it by itself.")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	holders = look_ahead();
	lock_switch(&tag);
	sdes_search_key_commit(); /* nobody is kept waiting by a snapshot of ours while we wait */
	drop_all_left(holders);
	copies = sdes_new_indexes_build(holders);
	PushActiveSnapshot(GetTransactionSnapshot());
	refuse_stragglers();
	PopActiveSnapshot();
	sdes_search_key_commit();
	PushActiveSnapshot(GetTransactionSnapshot());
	make_the_switch(copies);
	sdes_audit_event("switch search key", NULL, "%d indexes", list_length(copies));
	PopActiveSnapshot();
	/* A procedure that calls this one may go on for long, or fail. */
	sdes_search_key_commit();
	sdes_new_indexes_release(copies);
	LockRelease(&tag, ExclusiveLock, true);
	SPI_finish();
	PG_RETURN_VOID();
}
