/*
 * store_guard.c
 *		Refuses statements that would store in a plain column what an implicit cast
 *		of an encrypted value opens: INSERT INTO plain SELECT email FROM orders.
 *
 * That is an accident more often than not, and plaintext at rest for good. Who means it
 * writes email::text. The tree alone decides, never role or settings, so that a cached
 * plan stays right for whoever executes it. The hook sees each statement that is
 * analysed, at any nesting; EXPLAIN passes its own on. Two kinds are analysed elsewhere
 * and looked at when they are stored: actions of rules, and BEGIN ATOMIC functions.
 *
 * A dump that is being restored has been through this already: its materialized views,
 * rules and functions are not judged again.
 */
#include "postgres.h"

#include "types/store_guard.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_type.h"
#include "commands/prepare.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "sdes_errors.h"
#include "types/opened.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

static post_parse_analyze_hook_type previous_analyze = NULL;
static object_access_hook_type previous_access = NULL;

/* ---- the casts that open ---- */

static SdesOpeners openers;
static bool known = false;

static void
forget(Datum arg, int cacheid, uint32 hashvalue)
{
	known = false;
}

static void
find_openers(void)
{
	static const Oid targets[SDES_NCASTS] = {TEXTOID, VARCHAROID, BPCHAROID};

	known = true; /* unless something changes meanwhile */
	sdes_type_oids(openers.types);
	for (int i = 0; i < SDES_NTYPES; i++)
		for (int j = 0; j < SDES_NCASTS; j++)
			openers.casts[i][j] =
			    !OidIsValid(openers.types[i])
			        ? InvalidOid
			        : GetSysCacheOid2(CASTSOURCETARGET, Anum_pg_cast_castfunc,
			                          ObjectIdGetDatum(openers.types[i]),
			                          ObjectIdGetDatum(targets[j]));
}

/* False in a database without the extension, which pays for this question only. */
static bool
has_extension(void)
{
	if (!known)
		find_openers();
	return OidIsValid(openers.types[SDES_ENC_TEXT]);
}

static bool
is_restoring(void)
{
	return !check_function_bodies || IsBinaryUpgrade;
}

/* ---- what is stored where ---- */

static void
refuse(ParseState *pstate, const char *column, Node *value)
{
	ereport(ERROR,
	        (errcode(ERRCODE_DATATYPE_MISMATCH),
	         errmsg("column \"%s\" is not encrypted, but would take an encrypted value by "
	                "an implicit cast",
	                column),
	         errhint("Give the column an encrypted type, or write the cast if that is "
	                 "meant, as in email::text."),
	         pstate ? parser_errposition(pstate, exprLocation(value)) : 0,
	         SDES_KEEP_OUT_OF_LOG));
}

static void
check_targets(ParseState *pstate, SdesPlace *place, List *entries)
{
	ListCell *cell;

	foreach (cell, entries)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && sdes_carries_opened((Node *) entry->expr, place))
			refuse(pstate, entry->resname ? entry->resname : "?", (Node *) entry->expr);
	}
}

/* What one INSERT, UPDATE or MERGE stores. */
static void
check_one(ParseState *pstate, SdesPlace *place)
{
	Query *query = place->query;

	if (query->commandType == CMD_INSERT || query->commandType == CMD_UPDATE)
		check_targets(pstate, place, query->targetList);
	if (query->onConflict)
		check_targets(pstate, place, query->onConflict->onConflictSet);
#if PG_VERSION_NUM >= 150000
	for (int i = 0; i < list_length(query->mergeActionList); i++)
		check_targets(pstate, place,
		              list_nth_node(MergeAction, query->mergeActionList, i)->targetList);
#endif
}

/* The query and those in its WITH; parse analysis allows them nowhere else. */
static void
check_dml(ParseState *pstate, Query *query)
{
	SdesSearch search = {.openers = &openers};
	SdesPlace place = {&search, query, NULL};
	ListCell *cell;

	check_one(pstate, &place);
	foreach (cell, query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, cell);
		SdesPlace inner = {&search, (Query *) cte->ctequery, &place};

		if (IsA(cte->ctequery, Query))
			check_one(pstate, &inner);
	}
}

/* The columns of a table that is to be made of a query. */
static void
check_columns(ParseState *pstate, Query *query, const List *names)
{
	SdesSearch search = {.openers = &openers};
	SdesPlace place = {&search, query, NULL};
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->resjunk || !sdes_column_carries_opened(&place, entry->resno))
			continue;
		refuse(pstate,
		       entry->resno <= list_length(names)
		           ? strVal(list_nth(names, entry->resno - 1))
		       : entry->resname ? entry->resname
		                        : "?",
		       (Node *) entry->expr);
	}
}

/* CREATE TABLE ... AS EXECUTE: the statement was prepared as a SELECT. */
static void
check_prepared(const ExecuteStmt *execute, const List *names)
{
	PreparedStatement *prepared = FetchPreparedStatement(execute->name, false);
	ListCell *cell;

	if (prepared == NULL)
		return;
	/* Has it analysed anew if tables changed since. */
	CachedPlanGetTargetList(prepared->plansource, NULL);
	foreach (cell, prepared->plansource->query_list)
		check_columns(NULL, lfirst_node(Query, cell), names);
}

/* CREATE TABLE AS, SELECT INTO and CREATE MATERIALIZED VIEW. */
static void
check_new_table(ParseState *pstate, const CreateTableAsStmt *create)
{
	Query *query = castNode(Query, create->query);

	if (create->objtype == OBJECT_MATVIEW && is_restoring())
		return;
	if (query->commandType == CMD_UTILITY && IsA(query->utilityStmt, ExecuteStmt))
	{
		check_prepared((ExecuteStmt *) query->utilityStmt, create->into->colNames);
		return;
	}
	check_columns(pstate, query, create->into->colNames);
	check_dml(pstate, query);
}

static void
check_query(ParseState *pstate, Query *query)
{
	if (query->commandType != CMD_UTILITY)
		check_dml(pstate, query);
	else if (IsA(query->utilityStmt, CreateTableAsStmt))
		check_new_table(pstate, (CreateTableAsStmt *) query->utilityStmt);
}

/* Most statements store nothing; that is seen before anything is looked up. */
static bool
may_store(const Query *query)
{
	switch (query->commandType)
	{
		case CMD_SELECT:
		case CMD_DELETE:
			return query->hasModifyingCTE;
		case CMD_UTILITY:
			return IsA(query->utilityStmt, CreateTableAsStmt);
		default:
			return true;
	}
}

static void
analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	if (previous_analyze)
		previous_analyze(pstate, query, jstate);
	if (may_store(query) && has_extension())
		check_query(pstate, query);
}

/* ---- what is analysed elsewhere ---- */

/* A query, or lists of them. */
static void
check_tree(Node *tree)
{
	ListCell *cell;

	if (tree != NULL && IsA(tree, Query))
		check_query(NULL, (Query *) tree);
	else if (tree != NULL && IsA(tree, List))
		foreach (cell, (List *) tree)
			check_tree(lfirst(cell));
}

/* The column of a catalog's row, just being made, that holds the tree. */
typedef struct StoredTree
{
	Oid catalog;
	Oid index;
	AttrNumber oid;
	AttrNumber tree;
} StoredTree;

static const StoredTree stored_trees[] = {
    {RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_action},
    {ProcedureRelationId, ProcedureOidIndexId, Anum_pg_proc_oid, Anum_pg_proc_prosqlbody},
};

static void
check_stored(const StoredTree *stored, Oid object)
{
	Relation catalog = table_open(stored->catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, stored->oid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(object));
	scan = systable_beginscan(catalog, stored->index, true, SnapshotSelf, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool isnull;
		Datum tree = heap_getattr(tuple, stored->tree, RelationGetDescr(catalog), &isnull);

		if (!isnull)
			check_tree(stringToNode(TextDatumGetCString(tree)));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}

static void
access_object(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (previous_access)
		previous_access(access, class, object, sub, arg);
	if (access != OAT_POST_CREATE || IsBootstrapProcessingMode() || is_restoring())
		return;
	for (size_t i = 0; i < lengthof(stored_trees); i++)
		if (class == stored_trees[i].catalog && has_extension())
			check_stored(&stored_trees[i], object);
}

void
sdes_store_guard_init(void)
{
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, forget, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, forget, (Datum) 0);
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, forget, (Datum) 0);
	previous_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze;
	previous_access = object_access_hook;
	object_access_hook = access_object;
}
