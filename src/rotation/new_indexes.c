/*
 * new_indexes.c
 *		Indexes for the time after a switch of search keys, built before it.
 *
 * All values carry the tokens of both keys by then. A copy of an index is ordered by those
 * of the key that is to be, since its operator classes compare by them (enc_text_next_ops;
 * search/compare.c), however it is built and by whom. No query has their operators, so that
 * none is planned with a copy. It is made as REINDEX CONCURRENTLY makes its own, by the
 * functions that this is made of, and put in place of its index in the transaction that
 * switches. Then its order is that of the key in use, and it gets its index's classes.
 *
 * A copy is not unique until then: its index sees to that, for equal values have equal
 * tokens under either key. Of two unique indexes an INSERT ... ON CONFLICT names one, and
 * would fail by the other.
 *
 * What an error or a crash leaves is an invalid index that is kept up to date, and stays
 * in order when something rebuilds it. The next switch begins by dropping it.
 */
#include "postgres.h"

#include "rotation/new_indexes.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "commands/progress.h"
#include "nodes/nodeFuncs.h"
#include "pgstat.h"
#include "rotation/relations.h"
#include "rotation/search_key.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "store/store.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#define OPS      "_ops"
#define NEXT_OPS "_next_ops"

typedef struct Copy
{
	LockRelId table;
	LockRelId index;
	LockRelId copy;
} Copy;

/* ---- which ones ---- */

/* Of the columns of a hash index only the table knows the types. */
static bool
column_holds_values(Relation index, int i)
{
	AttrNumber column = index->rd_index->indkey.values[i];
	Oid table = index->rd_index->indrelid;

	return sdes_shape_holds_values(column != 0 ? get_atttype(table, column) : InvalidOid) ||
	       sdes_shape_holds_values(TupleDescAttr(RelationGetDescr(index), i)->atttypid) ||
	       sdes_shape_holds_values(index->rd_opcintype[i]);
}

/* Whether more is made of a value than to ask whether it is NULL. */
static bool
uses_values(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, NullTest) && IsA(((NullTest *) node)->arg, Var))
		return false;
	if (IsA(node, Var) && sdes_shape_holds_values(((Var *) node)->vartype))
		return true;
	return expression_tree_walker(node, uses_values, context);
}

/* As they are stored: the relation cache's are simplified, which runs their functions. */
static bool
stored_uses_values(Relation index, AttrNumber column)
{
	bool isnull;
	Datum stored = SysCacheGetAttr(INDEXRELID, index->rd_indextuple, column, &isnull);

	return !isnull && uses_values(stringToNode(TextDatumGetCString(stored)), NULL);
}

static bool
computes_with_values(Relation index)
{
	return stored_uses_values(index, Anum_pg_index_indexprs) ||
	       stored_uses_values(index, Anum_pg_index_indpred);
}

/* What an expression or a condition makes of a value may depend on its token. */
bool
sdes_index_keeps_tokens(Relation index)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		if (column_holds_values(index, i))
			return true;
	return computes_with_values(index);
}

static bool
ends_in(const char *name, const char *end)
{
	size_t size = strlen(name);

	return size > strlen(end) && strcmp(name + size - strlen(end), end) == 0;
}

/* A class of ours: its name and method; false when it is somebody else's. */
static bool
own_class(Oid class, NameData *name, Oid *method)
{
	HeapTuple tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(class));
	Form_pg_opclass row;
	bool own;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", class);
	row = (Form_pg_opclass) GETSTRUCT(tuple);
	own = row->opcnamespace == sdes_schema_oid();
	*name = row->opcname;
	*method = row->opcmethod;
	ReleaseSysCache(tuple);
	return own;
}

/* The class by which a copy compares what this class does; InvalidOid if there is none. */
static Oid
next_class(const char *name, Oid method)
{
	NameData next;

	if (!ends_in(name, OPS))
		return InvalidOid;
	snprintf(NameStr(next), NAMEDATALEN, "%.*s%s", (int) (strlen(name) - strlen(OPS)), name,
	         NEXT_OPS);
	return GetSysCacheOid3(CLAAMNAMENSP, Anum_pg_opclass_oid, ObjectIdGetDatum(method),
	                       NameGetDatum(&next), ObjectIdGetDatum(sdes_schema_oid()));
}

static oidvector *
classes_of(HeapTuple index)
{
	bool isnull;
	Datum classes = SysCacheGetAttr(INDEXRELID, index, Anum_pg_index_indclass, &isnull);

	Assert(!isnull);
	return (oidvector *) DatumGetPointer(classes);
}

/* The classes of a copy of an index; false if one column cannot be compared so. */
static bool
find_classes(Relation index, oidvector *classes)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		NameData name;
		Oid method;

		if (own_class(classes->values[i], &name, &method))
			classes->values[i] = next_class(NameStr(name), method);
		else if (column_holds_values(index, i))
			return false;
		if (!OidIsValid(classes->values[i]))
			return false;
	}
	return true;
}

/* A copy, of this switch or of one before that was not finished. */
static bool
is_copy(const oidvector *classes)
{
	for (int i = 0; i < classes->dim1; i++)
	{
		NameData name;
		Oid method;

		if (own_class(classes->values[i], &name, &method) &&
		    ends_in(NameStr(name), NEXT_OPS))
			return true;
	}
	return false;
}

static bool
can_be_copied(Relation index, oidvector *classes)
{
	return !index->rd_index->indisexclusion && !computes_with_values(index) &&
	       find_classes(index, classes);
}

/* ---- the copies ---- */

static void
set_classes(Oid index, const oidvector *classes, bool unique)
{
	Relation catalog = table_open(IndexRelationId, RowExclusiveLock);
	HeapTuple tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(index));
	Datum values[Natts_pg_index] = {0};
	bool nulls[Natts_pg_index] = {0};
	bool replace[Natts_pg_index] = {0};

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", index);
	values[Anum_pg_index_indclass - 1] = PointerGetDatum(classes);
	replace[Anum_pg_index_indclass - 1] = true;
	values[Anum_pg_index_indisunique - 1] = BoolGetDatum(unique);
	replace[Anum_pg_index_indisunique - 1] = true;
	tuple = heap_modify_tuple(tuple, RelationGetDescr(catalog), values, nulls, replace);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	table_close(catalog, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(index);
	CommandCounterIncrement();
}

static char *
free_name(Oid index, const char *label)
{
	return ChooseRelationName(get_rel_name(index), NULL, label, get_rel_namespace(index),
	                          false);
}

/* As long as this session makes use of them, nobody alters or drops them. */
static void
hold(Copy *copy)
{
	LockRelationIdForSession(&copy->table, ShareUpdateExclusiveLock);
	LockRelationIdForSession(&copy->index, ShareUpdateExclusiveLock);
	LockRelationIdForSession(&copy->copy, ShareUpdateExclusiveLock);
}

static Copy *
make_copy(Relation table, Relation index, const oidvector *classes)
{
	Copy *copy = palloc(sizeof(Copy));
	Oid id = index_concurrently_create_copy(table, RelationGetRelid(index),
	                                        index->rd_rel->reltablespace,
	                                        free_name(RelationGetRelid(index), "sdes"));

	set_classes(id, classes, false);
	copy->table = table->rd_lockInfo.lockRelId;
	copy->index = index->rd_lockInfo.lockRelId;
	copy->copy = (LockRelId){id, copy->index.dbId};
	hold(copy);
	return copy;
}

static Copy *
copy_if_needed(Relation table, Oid id)
{
	Relation index = index_open(id, ShareUpdateExclusiveLock);
	HeapTuple row = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(id));
	oidvector *classes = classes_of(row);
	Copy *copy = NULL;

	if (sdes_index_keeps_tokens(index) && !is_copy(classes))
	{
		if (can_be_copied(index, classes))
			copy = make_copy(table, index, classes);
		else
			ereport(NOTICE,
			        (errmsg("index \"%s\" cannot be built before the switch",
			                RelationGetRelationName(index)),
			         errdetail("It is rebuilt while its table is locked: it serves an "
			                   "exclusion constraint, or has keys or conditions "
			                   "that are made of encrypted values.")));
	}
	index_close(index, NoLock);
	return copy;
}

static List *
make_copies(const List *holders)
{
	List *copies = NIL;
	ListCell *holder;

	foreach (holder, holders)
	{
		Relation table = try_relation_open(((SdesHolder *) lfirst(holder))->relid,
		                                   ShareUpdateExclusiveLock);
		SdesAsOwner before;
		ListCell *cell;

		if (table == NULL)
			continue;
		before = sdes_relation_begin_as_owner(table);
		foreach (cell, RelationGetIndexList(table))
		{
			Copy *copy = copy_if_needed(table, lfirst_oid(cell));

			if (copy != NULL)
				copies = lappend(copies, copy);
		}
		sdes_relation_end_as_owner(&before);
		relation_close(table, NoLock);
	}
	return copies;
}

/* For transactions that may know nothing yet of what has been committed. */
static void
wait_for_writers(const List *copies, int phase)
{
	List *tags = NIL;
	ListCell *cell;

	foreach (cell, copies)
	{
		const Copy *copy = lfirst(cell);
		LOCKTAG *tag = palloc(sizeof(LOCKTAG));

		SET_LOCKTAG_RELATION(*tag, copy->table.dbId, copy->table.relId);
		tags = lappend(tags, tag);
	}
	pgstat_progress_update_param(PROGRESS_CREATEIDX_PHASE, phase);
	WaitForLockersMultiple(tags, ShareLock, true);
	sdes_search_key_commit();
}

static void
build(const Copy *copy)
{
	pgstat_progress_update_param(PROGRESS_CREATEIDX_PHASE, PROGRESS_CREATEIDX_PHASE_BUILD);
	PushActiveSnapshot(GetTransactionSnapshot());
	index_concurrently_build(copy->table.relId, copy->copy.relId);
	PopActiveSnapshot();
	sdes_search_key_commit();
}

/* Adds rows that came while it was built. Returns which snapshots are too old for it. */
static TransactionId
complete(const Copy *copy)
{
	Snapshot snapshot = RegisterSnapshot(GetTransactionSnapshot());
	TransactionId oldest = snapshot->xmin;

	PushActiveSnapshot(snapshot);
	validate_index(copy->table.relId, copy->copy.relId, snapshot);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
	sdes_search_key_commit();
	return oldest;
}

/* Rows that died before the copy was complete may be missing in it. */
static void
wait_for_snapshots(TransactionId limit)
{
	int n;
	VirtualTransactionId *older = GetCurrentVirtualXIDs(
	    limit, true, false, PROC_IS_AUTOVACUUM | PROC_IN_VACUUM | PROC_IN_SAFE_IC, &n);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_PHASE, PROGRESS_CREATEIDX_PHASE_WAIT_3);
	for (int i = 0; i < n; i++)
		(void) VirtualXactLock(older[i], true);
	sdes_search_key_commit();
}

/* For pg_stat_progress_create_index. */
static void
show_progress(const Copy *copy)
{
	const int columns[] = {PROGRESS_CREATEIDX_COMMAND, PROGRESS_CREATEIDX_INDEX_OID};
	const int64 values[] = {PROGRESS_CREATEIDX_COMMAND_REINDEX_CONCURRENTLY,
	                        copy->copy.relId};

	pgstat_progress_start_command(PROGRESS_COMMAND_CREATE_INDEX, copy->table.relId);
	pgstat_progress_update_multi_param(lengthof(columns), columns, values);
}

List *
sdes_new_indexes_build(const List *holders)
{
	List *copies = make_copies(holders);
	TransactionId oldest = InvalidTransactionId;
	int number = 0;
	ListCell *cell;

	sdes_search_key_commit();
	if (copies == NIL)
		return NIL;
	show_progress(linitial(copies));
	wait_for_writers(copies, PROGRESS_CREATEIDX_PHASE_WAIT_1);
	foreach (cell, copies)
	{
		const Copy *copy = lfirst(cell);

		ereport(NOTICE,
		        (errmsg("index \"%s\" is built for the new search key (%d of %d)",
		                get_rel_name(copy->index.relId), ++number, list_length(copies))));
		show_progress(copy);
		build(copy);
	}
	wait_for_writers(copies, PROGRESS_CREATEIDX_PHASE_WAIT_2);
	foreach (cell, copies)
	{
		show_progress(lfirst(cell));
		oldest = complete(lfirst(cell));
	}
	wait_for_snapshots(oldest);
	pgstat_progress_end_command();
	return copies;
}

/* ---- in their places ---- */

static void
drop(Oid index)
{
	ObjectAddress object;

	ObjectAddressSet(object, RelationRelationId, index);
	performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

static void
put(const Copy *copy)
{
	HeapTuple old = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(copy->index.relId));

	index_concurrently_swap(copy->copy.relId, copy->index.relId,
	                        free_name(copy->index.relId, "old"));
	CommandCounterIncrement();
	set_classes(copy->copy.relId, classes_of(old),
	            ((Form_pg_index) GETSTRUCT(old))->indisunique);
	drop(copy->index.relId);
}

/* Whether an index is a copy that a switch before has left. */
static bool
is_left(Oid index)
{
	HeapTuple row = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool left;

	if (!HeapTupleIsValid(row))
		return false;
	left = is_copy(classes_of(row));
	ReleaseSysCache(row);
	return left;
}

bool
sdes_new_indexes_put(const List *copies, Oid index)
{
	ListCell *cell;

	foreach (cell, copies)
	{
		const Copy *copy = lfirst(cell);

		if (copy->copy.relId == index)
			return true;
		if (copy->index.relId == index)
		{
			put(copy);
			return true;
		}
	}
	if (!is_left(index))
		return false;
	drop(index);
	return true;
}

bool
sdes_new_indexes_is_obstacle(Oid index)
{
	return !get_index_isvalid(index) && !is_left(index);
}

bool
sdes_new_indexes_has_left(Oid table)
{
	Relation rel = try_relation_open(table, AccessShareLock);
	bool found = false;
	ListCell *cell;

	if (rel == NULL)
		return false;
	foreach (cell, RelationGetIndexList(rel))
		found |= is_left(lfirst_oid(cell));
	relation_close(rel, AccessShareLock);
	return found;
}

void
sdes_new_indexes_drop_left(Oid table)
{
	Relation rel = try_relation_open(table, AccessExclusiveLock);
	List *indexes = rel != NULL ? RelationGetIndexList(rel) : NIL;
	ListCell *cell;

	if (rel != NULL)
		relation_close(rel, NoLock);
	foreach (cell, indexes)
		if (is_left(lfirst_oid(cell)))
			drop(lfirst_oid(cell));
}

void
sdes_new_indexes_release(const List *copies)
{
	ListCell *cell;

	foreach (cell, copies)
	{
		Copy *copy = lfirst(cell);

		UnlockRelationIdForSession(&copy->copy, ShareUpdateExclusiveLock);
		UnlockRelationIdForSession(&copy->index, ShareUpdateExclusiveLock);
		UnlockRelationIdForSession(&copy->table, ShareUpdateExclusiveLock);
	}
}
