/*
 * catalogs.c
 *		Walks the catalogs that can hold encrypted values.
 *
 * Whatever changes here, the owning relation is told to read anew, and is locked against
 * DDL first, so that no other command finds a row that was "concurrently updated".
 */
#include "postgres.h"

#include "rotation/catalogs.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_statistic_ext_data.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "rotation/nodes.h"
#include "rotation/renewal.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Which relation a catalog's row belongs to. */
typedef struct Owner
{
	Oid catalog;
	AttrNumber column;
} Owner;

static const Owner owners[] = {
    {AttrDefaultRelationId, Anum_pg_attrdef_adrelid},
    {AttributeRelationId, Anum_pg_attribute_attrelid},
    {RelationRelationId, Anum_pg_class_oid},
    {ConstraintRelationId, Anum_pg_constraint_conrelid},
    {IndexRelationId, Anum_pg_index_indrelid},
    {PartitionedRelationId, Anum_pg_partitioned_table_partrelid},
    {PolicyRelationId, Anum_pg_policy_polrelid},
    {PublicationRelRelationId, Anum_pg_publication_rel_prrelid},
    {RewriteRelationId, Anum_pg_rewrite_ev_class},
    {StatisticRelationId, Anum_pg_statistic_starelid},
    {StatisticExtRelationId, Anum_pg_statistic_ext_stxrelid},
    {TriggerRelationId, Anum_pg_trigger_tgrelid},
};

typedef struct Walk
{
	SdesTrackedSet *set;
	bool renew;
	bool forget; /* extended statistics under any key */
	int changed; /* rows */
	SdesPlaceTaker take;
	void *arg;
	MemoryContext scratch; /* reset for each row */
} Walk;

/* What a row's columns become. */
typedef struct RowChange
{
	bool any;
	Datum *values;
	bool *nulls;
	bool *replaced;
} RowChange;

static Oid
owner_of(Relation catalog, HeapTuple tuple)
{
	for (int i = 0; i < (int) lengthof(owners); i++)
	{
		bool null;

		if (owners[i].catalog == RelationGetRelid(catalog))
			return DatumGetObjectId(
			    heap_getattr(tuple, owners[i].column, RelationGetDescr(catalog), &null));
	}
	return InvalidOid;
}

static struct varlena *
count_visit(struct varlena *value, SdesEncType type, void *set)
{
	sdes_tracked_count(set, value);
	return value;
}

static Datum
visit_tree(Walk *walk, Datum datum, bool renew)
{
	char *tree = sdes_nodes_visit(TextDatumGetCString(datum), walk->set, renew);

	return tree != NULL ? CStringGetTextDatum(tree) : datum;
}

/* An array of a type that may hold values. */
static Datum
visit_array(Walk *walk, Datum datum, bool renew)
{
	ArrayType *array = DatumGetArrayTypeP(datum);
	SdesShape *shape = NULL;

	/* A column's value or a sample of many, of whatever type. */
	if (ARR_ELEMTYPE(array) >= FirstNormalObjectId)
		shape = sdes_shape_of_elements(ARR_ELEMTYPE(array));
	if (shape == NULL)
		return datum;
	if (renew)
		return sdes_renewal_of_datum(shape, datum, walk->set);
	sdes_shape_map(shape, datum, count_visit, walk->set);
	return datum;
}

/*
 * Extended statistics are kept in a form of their own. A key id is random and long
 * enough to be looked for in the bytes.
 */
static bool
bytes_are_due(Walk *walk, Datum datum)
{
	struct varlena *bytes = PG_DETOAST_DATUM(datum);
	bool due = false;

	for (int i = 0; i < walk->set->n; i++)
	{
		SdesTracked *key = &walk->set->keys[i];

		if (memmem(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), key->row.binding.key_id,
		           SDES_KEY_ID_SIZE) == NULL)
			continue;
		key->found++;
		due |= key->due || walk->forget;
	}
	return due;
}

static Datum
visit_column(Walk *walk, Form_pg_attribute column, Datum datum, bool renew)
{
	if (column->atttypid == PG_NODE_TREEOID)
		return visit_tree(walk, datum, renew);
	return visit_array(walk, datum, renew);
}

static bool
is_of_interest(Form_pg_attribute column)
{
	return column->atttypid == PG_NODE_TREEOID || column->atttypid == ANYARRAYOID;
}

static void
visit_columns(Walk *walk, Relation catalog, HeapTuple tuple, bool renew, RowChange *change)
{
	TupleDesc desc = RelationGetDescr(catalog);

	change->values = palloc0(desc->natts * sizeof(Datum));
	change->nulls = palloc0(desc->natts * sizeof(bool));
	change->replaced = palloc0(desc->natts * sizeof(bool));
	for (int i = 0; i < desc->natts; i++)
	{
		bool null;
		Datum datum;

		if (!is_of_interest(TupleDescAttr(desc, i)))
			continue;
		datum = heap_getattr(tuple, i + 1, desc, &null);
		if (null)
			continue;
		change->values[i] = visit_column(walk, TupleDescAttr(desc, i), datum, renew);
		change->replaced[i] = change->values[i] != datum;
		change->any |= change->replaced[i];
	}
}

static void
tell(Walk *walk, Relation catalog, Oid owner)
{
	if (walk->take == NULL)
		return;
	walk->take(RelationGetRelationName(catalog),
	           OidIsValid(owner) ? get_rel_name(owner) : NULL, walk->set, walk->arg);
	sdes_tracked_reset(walk->set);
}

/* The bounds of a partition are known to the table that it is a partition of, too. */
static void
tell_owner(Oid owner)
{
	CacheInvalidateRelcacheByRelid(owner);
	if (get_rel_relispartition(owner))
		CacheInvalidateRelcacheByRelid(get_partition_parent(owner, true));
}

static void
visit_row(Walk *walk, Relation catalog, HeapTuple tuple)
{
	RowChange change = {0};
	Oid owner = owner_of(catalog, tuple);
	int64 before = sdes_tracked_found_due(walk->set);

	visit_columns(walk, catalog, tuple, false, &change);
	tell(walk, catalog, owner);
	if (!walk->renew || sdes_tracked_found_due(walk->set) == before)
		return;
	if (OidIsValid(owner) && !ConditionalLockRelationOid(owner, ShareUpdateExclusiveLock))
		return;
	memset(&change, 0, sizeof(change));
	visit_columns(walk, catalog, tuple, true, &change);
	if (!change.any)
		return;
	tuple = heap_modify_tuple(tuple, RelationGetDescr(catalog), change.values, change.nulls,
	                          change.replaced);
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	walk->changed++;
	if (OidIsValid(owner))
		tell_owner(owner);
}

static void
visit_catalog(Walk *walk, Oid catalog_id)
{
	Relation catalog = table_open(catalog_id, RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		MemoryContext old = MemoryContextSwitchTo(walk->scratch);

		CHECK_FOR_INTERRUPTS();
		visit_row(walk, catalog, tuple);
		MemoryContextSwitchTo(old);
		MemoryContextReset(walk->scratch);
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

/* As ANALYZE does, which would find its row gone; false when somebody else has the table. */
static bool
lock_statistics(Relation catalog, HeapTuple tuple)
{
	bool null;
	Datum object = heap_getattr(tuple, Anum_pg_statistic_ext_data_stxoid,
	                            RelationGetDescr(catalog), &null);
	HeapTuple statistics = SearchSysCache1(STATEXTOID, object);
	Oid table;

	if (!HeapTupleIsValid(statistics))
		return true;
	table = ((Form_pg_statistic_ext) GETSTRUCT(statistics))->stxrelid;
	ReleaseSysCache(statistics);
	return ConditionalLockRelationOid(table, ShareUpdateExclusiveLock);
}

/* ANALYZE makes them again. */
static void
visit_extended_statistics(Walk *walk)
{
	Relation catalog = table_open(StatisticExtDataRelationId, RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc desc = RelationGetDescr(catalog);
		bool due = false;

		for (int i = 0; i < desc->natts; i++)
		{
			bool null;
			Datum datum = heap_getattr(tuple, i + 1, desc, &null);

			if (!null && TupleDescAttr(desc, i)->attlen == -1)
				due |= bytes_are_due(walk, datum);
		}
		tell(walk, catalog, InvalidOid);
		if (!walk->renew || !due || !lock_statistics(catalog, tuple))
			continue;
		CatalogTupleDelete(catalog, &tuple->t_self);
		walk->changed++;
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

/* The catalogs with a column of interest. */
static List *
list_catalogs(void)
{
	Relation attributes = table_open(AttributeRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(attributes, InvalidOid, false, NULL, 0, NULL);
	List *found = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute column = (Form_pg_attribute) GETSTRUCT(tuple);

		if (column->attrelid < FirstNormalObjectId && is_of_interest(column) &&
		    get_rel_relkind(column->attrelid) == RELKIND_RELATION)
			found = list_append_unique_oid(found, column->attrelid);
	}
	systable_endscan(scan);
	table_close(attributes, AccessShareLock);
	return found;
}

static void
walk_catalogs(Walk *walk)
{
	ListCell *cell;

	walk->scratch = AllocSetContextCreate(CurrentMemoryContext, "sdes catalog row",
	                                      ALLOCSET_DEFAULT_SIZES);
	foreach (cell, list_catalogs())
		visit_catalog(walk, lfirst_oid(cell));
	visit_extended_statistics(walk);
	MemoryContextDelete(walk->scratch);
}

void
sdes_catalogs_count(SdesTrackedSet *set, SdesPlaceTaker take, void *arg)
{
	Walk walk = {.set = set, .take = take, .arg = arg};

	walk_catalogs(&walk);
}

int
sdes_catalogs_renew(SdesTrackedSet *set)
{
	Walk walk = {.set = set, .renew = true};

	walk_catalogs(&walk);
	return walk.changed;
}

void
sdes_catalogs_forget_statistics(SdesTrackedSet *set)
{
	Walk walk = {.set = set, .renew = true, .forget = true};

	visit_extended_statistics(&walk);
}
