/*
 * relations.c
 *		Which relations can hold encrypted values.
 *
 * A dropped column's values stay in the rows until these are rewritten; no statement
 * reaches them any more, so nobody looks for them.
 */
#include "postgres.h"

#include "rotation/relations.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

static bool
stores_rows(Oid relid)
{
	char kind = get_rel_relkind(relid);

	return kind == RELKIND_RELATION || kind == RELKIND_MATVIEW;
}

static SdesHolder *
holder_of(List **holders, Oid relid)
{
	ListCell *cell;
	SdesHolder *holder;

	foreach (cell, *holders)
		if (((SdesHolder *) lfirst(cell))->relid == relid)
			return lfirst(cell);
	holder = palloc0(sizeof(SdesHolder));
	holder->relid = relid;
	holder->temporary = get_rel_persistence(relid) == RELPERSISTENCE_TEMP;
	*holders = lappend(*holders, holder);
	return holder;
}

static void
take_column(Form_pg_attribute column, List **holders)
{
	List *buckets = NIL;
	SdesHolder *holder;

	if (column->attnum <= 0 || column->attisdropped ||
	    column->atttypid < FirstNormalObjectId ||
	    sdes_shape_of(column->atttypid, column->atttypmod, &buckets) == NULL ||
	    !stores_rows(column->attrelid))
		return;
	holder = holder_of(holders, column->attrelid);
	holder->buckets = list_concat_unique_int(holder->buckets, buckets);
}

static int
by_relid(const ListCell *a, const ListCell *b)
{
	Oid left = ((SdesHolder *) lfirst(a))->relid;
	Oid right = ((SdesHolder *) lfirst(b))->relid;

	return left < right ? -1 : left > right;
}

List *
sdes_relations_list(void)
{
	Relation attributes = table_open(AttributeRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(attributes, InvalidOid, false, NULL, 0, NULL);
	List *holders = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		take_column((Form_pg_attribute) GETSTRUCT(tuple), &holders);
	systable_endscan(scan);
	table_close(attributes, AccessShareLock);
	list_sort(holders, by_relid);
	return holders;
}

SdesRowShape *
sdes_relation_shape(Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);
	SdesRowShape *shape = palloc0(sizeof(SdesRowShape));
	List *buckets = NIL;

	shape->natts = desc->natts;
	shape->columns = palloc0(Max(desc->natts, 1) * sizeof(SdesShape *));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped)
			shape->columns[i] =
			    sdes_shape_of(column->atttypid, column->atttypmod, &buckets);
	}
	return shape;
}

SdesAsOwner
sdes_relation_begin_as_owner(Relation rel)
{
	SdesAsOwner before = {.level = NewGUCNestLevel()};

	GetUserIdAndSecContext(&before.user, &before.context);
	SetUserIdAndSecContext(rel->rd_rel->relowner,
	                       before.context | SECURITY_RESTRICTED_OPERATION);
	return before;
}

void
sdes_relation_end_as_owner(const SdesAsOwner *before)
{
	AtEOXact_GUC(false, before->level);
	SetUserIdAndSecContext(before->user, before->context);
}
