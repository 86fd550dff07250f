/*
 * drop_guard.c
 *		Refuses DROP EXTENSION sdes, and all else that would take the types away, while
 *		encrypted columns exist, and another name for the schema.
 *
 * PostgreSQL refuses a plain DROP by itself, with the advice to use CASCADE; that drops
 * columns, and with them values that nothing brings back. So DROP is looked at before it
 * begins, and the end of the types by the object access hook, however it comes about. At
 * that time the columns are gone already; the statement's snapshot still shows them.
 *
 * Everything in this library finds the extension's objects by the name of its schema.
 */
#include "postgres.h"

#include "types/drop_guard.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "sdes_compat.h"
#include "store/store.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Columns that an error names. */
#define NAMED 5

static ProcessUtility_hook_type previous_utility = NULL;
static object_access_hook_type previous_access = NULL;

/* ---- which columns there are ---- */

typedef struct Finding
{
	Snapshot snapshot; /* NULL: what the catalog says now */
	List *types;       /* OIDs of types that hold encrypted values */
	List *columns;     /* ObjectAddress structs */
} Finding;

/* Copied; NULL if it is not there. */
static HeapTuple
find_row(Oid catalog, Oid index, AttrNumber column, Oid value, Snapshot snapshot)
{
	Relation rel = table_open(catalog, AccessShareLock);
	HeapTuple tuple;
	ScanKeyData key;
	SysScanDesc scan;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
	scan = systable_beginscan(rel, index, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tuple;
}

/* Relations that have rows of their own, or partitions that have. */
static bool
stores(char kind)
{
	return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE ||
	       kind == RELKIND_MATVIEW || kind == RELKIND_FOREIGN_TABLE;
}

static void find_columns(Oid type, Finding *finding);

static void
take_type(Oid type, Finding *finding)
{
	if (!OidIsValid(type) || list_member_oid(finding->types, type))
		return;
	finding->types = lappend_oid(finding->types, type);
	find_columns(type, finding);
}

/* Rows of a relation may be values elsewhere. */
static void
take_column(Oid relation, int number, Finding *finding)
{
	HeapTuple tuple = find_row(RelationRelationId, ClassOidIndexId, Anum_pg_class_oid,
	                           relation, finding->snapshot);
	Form_pg_class row;
	ObjectAddress *column;

	if (!HeapTupleIsValid(tuple))
		return;
	row = (Form_pg_class) GETSTRUCT(tuple);
	if (stores(row->relkind))
	{
		column = palloc(sizeof(ObjectAddress));
		ObjectAddressSubSet(*column, RelationRelationId, relation, number);
		finding->columns = lappend(finding->columns, column);
	}
	take_type(row->reltype, finding);
}

/* Columns of a type, and of those that are made of it. */
static void
find_columns(Oid type, Finding *finding)
{
	Relation depends = table_open(DependRelationId, AccessShareLock);
	HeapTuple tuple;
	ScanKeyData key[2];
	SysScanDesc scan;

	check_stack_depth();
	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(TypeRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(type));
	scan = systable_beginscan(depends, DependReferenceIndexId, true, finding->snapshot, 2,
	                          key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->classid == TypeRelationId)
			take_type(row->objid, finding);
		else if (row->classid == RelationRelationId && row->objsubid > 0)
			take_column(row->objid, row->objsubid, finding);
	}
	systable_endscan(scan);
	table_close(depends, AccessShareLock);
}

/* ---- drops ---- */

static char *
names_of(const List *columns)
{
	StringInfoData names;
	int n = 0;
	ListCell *cell;

	initStringInfo(&names);
	foreach (cell, columns)
		if (n++ < NAMED)
			appendStringInfo(&names, "%s%s", n > 1 ? ", " : "",
			                 getObjectDescription(lfirst(cell), false));
	if (n > NAMED)
		appendStringInfo(&names, " and %d more", n - NAMED);
	return names.data;
}

/* named: the columns are there to be described. */
static void
refuse(const List *columns, bool named)
{
	ereport(ERROR,
	        (errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
	         errmsg("cannot drop extension \"sdes\" while encrypted columns exist"),
	         named ? errdetail("There are: %s.", names_of(columns))
	               : errdetail_plural("There is %d of them.", "There are %d of them.",
	                                  list_length(columns), list_length(columns)),
	         errhint("Drop these columns or their tables first; or convert them, as a role "
	                 "that may decrypt: ALTER TABLE ... ALTER ... TYPE text.")));
}

/* In order of their names, as far as they are shown. */
static int
compare_columns(const ListCell *a, const ListCell *b)
{
	const ObjectAddress *left = lfirst(a);
	const ObjectAddress *right = lfirst(b);

	if (left->objectId != right->objectId)
		return left->objectId < right->objectId ? -1 : 1;
	return left->objectSubId - right->objectSubId;
}

static void
check_type(Oid type, Snapshot snapshot)
{
	Finding finding = {.snapshot = snapshot};

	take_type(type, &finding);
	list_sort(finding.columns, compare_columns);
	if (finding.columns != NIL)
		refuse(finding.columns, snapshot == NULL);
}

/* DROP EXTENSION or SCHEMA, with CASCADE or without. */
static void
check_statement(const Node *statement)
{
	const DropStmt *drop = (const DropStmt *) statement;
	Oid types[SDES_NTYPES];
	ListCell *cell;

	if (!IsA(statement, DropStmt) ||
	    (drop->removeType != OBJECT_EXTENSION && drop->removeType != OBJECT_SCHEMA))
		return;
	foreach (cell, drop->objects)
	{
		if (strcmp(strVal(lfirst(cell)), "sdes") != 0)
			continue;
		sdes_type_oids(types);
		for (int i = 0; i < SDES_NTYPES; i++)
			check_type(types[i], NULL);
	}
}

static void
utility(SDES_UTILITY_PARAMETERS)
{
	check_statement(pstmt->utilityStmt);
	if (previous_utility)
		previous_utility(SDES_UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(SDES_UTILITY_ARGUMENTS);
}

/* ---- names ---- */

static void
check_schema(Oid schema)
{
	Oid types[SDES_NTYPES];
	HeapTuple tuple;

	/* The old name counts until the command is done. */
	if (schema != sdes_schema_oid())
		return;
	sdes_type_oids(types);
	tuple = find_row(NamespaceRelationId, NamespaceOidIndexId, Anum_pg_namespace_oid,
	                 schema, SnapshotSelf);
	if (!OidIsValid(types[SDES_ENC_TEXT]) || !HeapTupleIsValid(tuple) ||
	    strcmp(NameStr(((Form_pg_namespace) GETSTRUCT(tuple))->nspname), "sdes") == 0)
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("schema \"sdes\" cannot be renamed"),
	                errdetail("Extension \"sdes\" finds keys, grants and types by the name "
	                          "of its schema.")));
}

static void
guard(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	Oid types[SDES_NTYPES];

	if (previous_access)
		previous_access(access, class, object, sub, arg);
	if (IsBootstrapProcessingMode())
		return;
	if (access == OAT_POST_ALTER && class == NamespaceRelationId)
		check_schema(object);
	if (access != OAT_DROP || class != TypeRelationId || !ActiveSnapshotSet())
		return;
	sdes_type_oids(types);
	if (sdes_type_by_oid(types, object) >= 0)
		check_type(object, GetActiveSnapshot());
}

void
sdes_drop_guard_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
	previous_access = object_access_hook;
	object_access_hook = guard;
}
