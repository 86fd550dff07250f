/*
 * index_guard.c
 *		Refuses indexes and partition keys on encrypted columns whose values carry no
 *		token, and indexes by the order of plaintext.
 *
 * An index compares values where nothing can be opened, and one by plaintext would
 * give its order away to whoever reads the disk. Key columns are looked at, not
 * those that an index only includes. UNIQUE, PRIMARY KEY and EXCLUDE are indexes;
 * a FOREIGN KEY refers to one, which is searched for the values of its own columns.
 */
#include "postgres.h"

#include "search/index_guard.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "sdes_compat.h"
#include "search/objects.h"
#include "tcop/utility.h"
#include "types/typmod.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "value/value.h"

static object_access_hook_type previous_hook = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* The key of an index or of partitions. */
typedef struct Key
{
	const char *what; /* "index \"i\"" */
	const char *column;
	Oid type;
	int32 typmod;
	Oid opclass_family;
} Key;

static void
refuse_tokenless(const Key *key, SdesEncType type, const char *option)
{
	ereport(
	    ERROR,
	    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	     errmsg("encrypted column \"%s\" cannot be a key of %s", key->column, key->what),
	     errdetail("Its values carry no search token by which they could be compared."),
	     errhint("Declare it '%s', as in sdes.%s('customer_pii', '%s').", option,
	             sdes_type_name(type), option)));
}

/* Whether that is a family of ours, for btree or hash indexes. */
static bool
is_family(Oid family, const char *name)
{
	List *full = list_make2(makeString(pstrdup("sdes")), makeString(pstrdup(name)));

	return OidIsValid(family) && (family == get_opfamily_oid(BTREE_AM_OID, full, true) ||
	                              family == get_opfamily_oid(HASH_AM_OID, full, true));
}

static void
check_key(const Key *key)
{
	const SdesSearchObjects *objects = sdes_search_objects();
	int32 typmod = key->typmod;
	Oid base = getBaseTypeAndTypmod(key->type, &typmod);
	int type = objects ? sdes_type_by_oid(objects->types, base) : -1;

	if (objects != NULL && type < 0 &&
	    sdes_holds_tokenless(objects->types, key->type, key->typmod))
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("column \"%s\" cannot be a key of %s", key->column, key->what),
		         errdetail("It holds encrypted values that carry no search token by which "
		                   "they could be compared."),
		         errhint("Declare them 'searchable'.")));
	if (type < 0)
		return;
	if (is_family(key->opclass_family, psprintf("%s_order_ops", sdes_type_name(type))))
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("operator class \"sdes.%s_order_ops\" is for sorts only",
		                sdes_type_name(type)),
		         errdetail("An index by it would show the order of the plaintext.")));
	if (is_family(key->opclass_family, psprintf("%s_next_ops", sdes_type_name(type))) ||
	    is_family(key->opclass_family, "enc_text_ci_next_ops"))
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("operator classes *_next_ops are for copies of indexes only"),
		         errdetail("sdes.switch_search_key() makes those, and drops them.")));
	if (is_family(key->opclass_family, "enc_text_ci_ops"))
	{
		if (typmod < 0 || !(typmod & SDES_SEARCHABLE_CI))
			refuse_tokenless(key, type, "searchable_ci");
	}
	else if (typmod < 0 || !(typmod & SDES_SEARCHABLE))
		refuse_tokenless(key, type, "searchable");
}

/* ---- indexes ---- */

/* A row of a catalog that may just be in the making, copied; NULL if it is not there. */
static HeapTuple
newest_row(Oid catalog, Oid index, AttrNumber column, Oid value)
{
	Relation rel = table_open(catalog, AccessShareLock);
	HeapTuple tuple;
	HeapTuple copy;
	ScanKeyData key;
	SysScanDesc scan;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
	scan = systable_beginscan(rel, index, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	copy = HeapTupleIsValid(tuple) ? heap_copytuple(tuple) : NULL;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return copy;
}

/* Type and modifier of each key column, as the index's own attributes have them. */
static void
check_columns(Oid index, const char *name, const Form_pg_index row,
              const oidvector *classes)
{
	Relation attributes = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(index));
	scan = systable_beginscan(attributes, AttributeRelidNumIndexId, true, SnapshotSelf, 1,
	                          &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute column = (Form_pg_attribute) GETSTRUCT(tuple);
		Key checked = {.what = psprintf("index \"%s\"", name),
		               .column = NameStr(column->attname),
		               .type = column->atttypid,
		               .typmod = column->atttypmod};

		if (column->attnum < 1 || column->attnum > row->indnkeyatts)
			continue;
		checked.opclass_family = get_opclass_family(classes->values[column->attnum - 1]);
		check_key(&checked);
	}
	systable_endscan(scan);
	table_close(attributes, AccessShareLock);
}

static void
check_index(Oid index, const char *name)
{
	HeapTuple tuple =
	    newest_row(IndexRelationId, IndexRelidIndexId, Anum_pg_index_indexrelid, index);
	Relation catalog;
	Datum classes;
	bool isnull;

	if (tuple == NULL)
		return;
	catalog = table_open(IndexRelationId, AccessShareLock);
	classes =
	    heap_getattr(tuple, Anum_pg_index_indclass, RelationGetDescr(catalog), &isnull);
	if (!isnull)
		check_columns(index, name, (Form_pg_index) GETSTRUCT(tuple),
		              (const oidvector *) DatumGetPointer(classes));
	table_close(catalog, AccessShareLock);
}

/* ---- foreign keys ---- */

/* The referring columns; those referred to have an index. */
static void
check_foreign_key(const Form_pg_constraint row, const ArrayType *columns)
{
	const int16 *attnums = (const int16 *) ARR_DATA_PTR(columns);

	for (int i = 0; i < ARR_DIMS(columns)[0]; i++)
	{
		Key key = {.what = psprintf("foreign key \"%s\"", NameStr(row->conname)),
		           .column = get_attname(row->conrelid, attnums[i], false)};
		Oid collation;

		get_atttypetypmodcoll(row->conrelid, attnums[i], &key.type, &key.typmod,
		                      &collation);
		check_key(&key);
	}
}

static void
check_constraint(Oid constraint)
{
	HeapTuple tuple = newest_row(ConstraintRelationId, ConstraintOidIndexId,
	                             Anum_pg_constraint_oid, constraint);
	Form_pg_constraint row;
	Relation catalog;
	Datum columns;
	bool isnull;

	if (tuple == NULL)
		return;
	row = (Form_pg_constraint) GETSTRUCT(tuple);
	if (row->contype == CONSTRAINT_FOREIGN)
	{
		catalog = table_open(ConstraintRelationId, AccessShareLock);
		columns = heap_getattr(tuple, Anum_pg_constraint_conkey, RelationGetDescr(catalog),
		                       &isnull);
		if (!isnull)
			check_foreign_key(row, DatumGetArrayTypeP(columns));
		table_close(catalog, AccessShareLock);
	}
	heap_freetuple(tuple);
}

/* Also those that ALTER TABLE makes anew. */
static void
guard(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	HeapTuple tuple;

	if (previous_hook)
		previous_hook(access, class, object, sub, arg);
	if (access != OAT_POST_CREATE || sub != 0 ||
	    (class != RelationRelationId && class != ConstraintRelationId) ||
	    IsBootstrapProcessingMode() || sdes_search_objects() == NULL)
		return;
	if (class == ConstraintRelationId)
	{
		check_constraint(object);
		return;
	}
	tuple = newest_row(RelationRelationId, ClassOidIndexId, Anum_pg_class_oid, object);
	if (tuple == NULL)
		return;
	if (((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_INDEX ||
	    ((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_PARTITIONED_INDEX)
		check_index(object, pstrdup(NameStr(((Form_pg_class) GETSTRUCT(tuple))->relname)));
	heap_freetuple(tuple);
}

/* ---- partitions ---- */

static void
check_partitions(const RangeVar *name)
{
	Oid relid = RangeVarGetRelid(name, NoLock, true);
	Relation rel;
	PartitionKey partitions;

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return;
	rel = table_open(relid, AccessShareLock);
	partitions = RelationGetPartitionKey(rel);
	for (int i = 0; i < partitions->partnatts; i++)
	{
		Key key = {.what = psprintf("the partitions of \"%s\"", name->relname),
		           .column = "expression",
		           .type = partitions->parttypid[i],
		           .typmod = partitions->parttypmod[i],
		           .opclass_family = partitions->partopfamily[i]};

		if (partitions->partattrs[i] != 0)
			key.column = get_attname(relid, partitions->partattrs[i], false);
		if (partitions->strategy == PARTITION_STRATEGY_RANGE &&
		    sdes_search_objects() != NULL &&
		    sdes_type_by_oid(sdes_search_objects()->types, getBaseType(key.type)) >= 0)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("encrypted column \"%s\" cannot be the key of ranges",
			                       key.column),
			                errhint("Partition by HASH or LIST.")));
		check_key(&key);
	}
	table_close(rel, AccessShareLock);
}

static void
utility(SDES_UTILITY_PARAMETERS)
{
	const CreateStmt *create = (const CreateStmt *) pstmt->utilityStmt;

	if (previous_utility)
		previous_utility(SDES_UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(SDES_UTILITY_ARGUMENTS);
	if (IsA(create, CreateStmt) && create->partspec != NULL &&
	    sdes_search_objects() != NULL)
		check_partitions(create->relation);
}

void
sdes_index_guard_init(void)
{
	previous_hook = object_access_hook;
	object_access_hook = guard;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}
