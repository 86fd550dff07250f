/*
 * column_guard.c
 *		Refuses relations that have an encrypted column of no bucket, one under a
 *		nondeterministic collation, or the first card numbers of a bucket where
 *		somebody could guess them.
 *
 * A value in such a column would be sealed under the literal key, which nobody
 * may decrypt: it would be lost. An object access hook does this, since event
 * triggers can be disabled. It looks into domains, arrays, ranges and composites.
 * Views store nothing and are exempt.
 */
#include "postgres.h"

#include "types/typmod.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "policy/pan_grants.h"
#include "storage/lmgr.h"
#include "store/store.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "value/value.h"

static object_access_hook_type previous_hook = NULL;

/* Calls take for each live column of a relation, also one just being made. */
typedef void (*ColumnTaker)(Form_pg_attribute column, void *arg);

static void
for_each_column(Oid relid, ColumnTaker take, void *arg)
{
	Relation attributes = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(relid));
	ScanKeyInit(&key[1], Anum_pg_attribute_attnum, BTGreaterStrategyNumber, F_INT2GT,
	            Int16GetDatum(0));
	scan = systable_beginscan(attributes, AttributeRelidNumIndexId, true, SnapshotSelf, 2,
	                          key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute column = (Form_pg_attribute) GETSTRUCT(tuple);

		if (!column->attisdropped)
			take(column, arg);
	}
	systable_endscan(scan);
	table_close(attributes, AccessShareLock);
}

typedef struct Finding
{
	const Oid *types;       /* SDES_NTYPES of them */
	bool encrypted;         /* the type holds an encrypted value */
	const char *bucketless; /* and one of no bucket: the name of its type, or NULL */
	List *pans;             /* hashes of the buckets of card numbers in it */
	bool tokenless;         /* and one without a search token */
} Finding;

static void look_into(Oid type, int32 typmod, Finding *finding);

static void
look_into_column(Form_pg_attribute column, void *arg)
{
	look_into(column->atttypid, column->atttypmod, arg);
}

static void
look_into(Oid type, int32 typmod, Finding *finding)
{
	Oid base = getBaseTypeAndTypmod(type, &typmod);
	Oid element = get_element_type(base);
	int encrypted = sdes_type_by_oid(finding->types, base);
	Oid relation;

	check_stack_depth();
	if (encrypted >= 0)
	{
		finding->encrypted = true;
		finding->tokenless |= typmod < 0 || !(typmod & SDES_SEARCHABLE);
		if (typmod < 0)
			finding->bucketless = sdes_type_name(encrypted);
		else if (encrypted == SDES_ENC_PAN)
			finding->pans = list_append_unique_int(finding->pans, SDES_TYPMOD_HASH(typmod));
	}
	else if (OidIsValid(element))
		look_into(element, typmod, finding);
	else if (type_is_range(base))
		look_into(get_range_subtype(base), -1, finding);
	else if (type_is_multirange(base))
		look_into(get_multirange_range(base), -1, finding);
	else if (OidIsValid(relation = get_typ_typrelid(base)))
		for_each_column(relation, look_into_column, finding);
}

bool
sdes_holds_tokenless(const Oid *types, Oid type, int32 typmod)
{
	Finding finding = {.types = types};

	look_into(type, typmod, &finding);
	return finding.tokenless;
}

bool
sdes_holds_encrypted(const Oid *types, Oid type)
{
	Finding finding = {.types = types};

	look_into(type, -1, &finding);
	return finding.encrypted;
}

/* A dump that is being restored brings its grants later, and they were judged before. */
static void
check_pans(Form_pg_attribute column, const List *buckets)
{
	ListCell *cell;

	if (!check_function_bodies || IsBinaryUpgrade)
		return;
	foreach (cell, buckets)
		sdes_pan_check_column(NameStr(column->attname), lfirst_int(cell));
}

static void
check_column(Form_pg_attribute column, void *arg)
{
	Finding finding = {.types = arg};

	look_into(column->atttypid, column->atttypmod, &finding);
	if (finding.bucketless)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TABLE_DEFINITION),
		                errmsg("encrypted column \"%s\" names no bucket",
		                       NameStr(column->attname)),
		                errhint("Name one in its type, as in sdes.%s('customer_pii').",
		                        finding.bucketless)));
	if (finding.encrypted && OidIsValid(column->attcollation) &&
	    !get_collation_isdeterministic(column->attcollation))
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("encrypted column \"%s\" has a nondeterministic collation",
		                NameStr(column->attname)),
		         errdetail("Equality of encrypted values is equality of their bytes.")));
	check_pans(column, finding.pans);
	/* The succession of search keys must know of all tables, see rotation/switch.c. */
	if (finding.encrypted && !IsBinaryUpgrade)
		LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), RowShareLock);
}

/* The kind of a relation that may just be in the making; 0 if it is not there. */
static char
kind_of(Oid relid)
{
	Relation classes = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char kind = 0;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(relid));
	scan = systable_beginscan(classes, ClassOidIndexId, true, SnapshotSelf, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		kind = ((Form_pg_class) GETSTRUCT(tuple))->relkind;
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
	return kind;
}

/* A view stores nothing itself, but a table may have a column of its row type. */
static void
check_view(Oid relid, const Oid *types)
{
	Finding finding = {.types = types};

	for_each_column(relid, look_into_column, &finding);
	if (finding.bucketless)
		find_composite_type_dependencies(get_rel_type_id(relid), NULL, get_rel_name(relid));
}

static void
check_relation(Oid relid)
{
	Oid types[SDES_NTYPES];
	char kind;

	sdes_type_oids(types);
	if (!OidIsValid(types[SDES_ENC_TEXT]))
		return;
	kind = kind_of(relid);
	if (kind == RELKIND_VIEW)
		check_view(relid, types);
	if (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE ||
	    kind == RELKIND_MATVIEW || kind == RELKIND_FOREIGN_TABLE ||
	    kind == RELKIND_COMPOSITE_TYPE)
		for_each_column(relid, check_column, types);
}

static bool
is_internal(ObjectAccessType access, void *arg)
{
	if (arg == NULL)
		return false;
	if (access == OAT_POST_CREATE)
		return ((ObjectAccessPostCreate *) arg)->is_internal;
	return ((ObjectAccessPostAlter *) arg)->is_internal;
}

static void
guard(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (previous_hook)
		previous_hook(access, class, object, sub, arg);
	if ((access != OAT_POST_CREATE && access != OAT_POST_ALTER) ||
	    class != RelationRelationId || IsBootstrapProcessingMode() ||
	    is_internal(access, arg))
		return;
	check_relation(object);
}

void
sdes_column_guard_init(void)
{
	previous_hook = object_access_hook;
	object_access_hook = guard;
}
