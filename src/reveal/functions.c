/*
 * functions.c
 *		Functions that make json, xml or text of anything: in the statement of a
 *		client they are given the text of encrypted values.
 *
 * They would print a value by its output function, which is ciphertext. Wherever
 * else they are called (by functions, triggers, views, in what is stored) they go
 * on doing that; so what a function is given that may store it is left alone, too.
 *
 * Invariant: the whole query is rewritten by one rule, so that expressions that were
 * equal stay equal.
 */
#include "postgres.h"

#include "reveal/rewrite.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

/* Functions and aggregates. That of newer servers is told by its name. */
static const Oid printing[] = {
    F_TO_JSON,
    F_TO_JSONB,
    F_ROW_TO_JSON_RECORD,
    F_ROW_TO_JSON_RECORD_BOOL,
    F_ARRAY_TO_JSON_ANYARRAY,
    F_ARRAY_TO_JSON_ANYARRAY_BOOL,
    F_JSON_BUILD_ARRAY_ANY,
    F_JSON_BUILD_OBJECT_ANY,
    F_JSONB_BUILD_ARRAY_ANY,
    F_JSONB_BUILD_OBJECT_ANY,
    F_JSON_AGG,
    F_JSONB_AGG,
    F_JSON_OBJECT_AGG,
    F_JSONB_OBJECT_AGG,
    F_CONCAT,
    F_CONCAT_WS,
    F_FORMAT_TEXT_ANY,
    F_QUOTE_LITERAL_ANYELEMENT,
    F_QUOTE_NULLABLE_ANYELEMENT,
    F_ARRAY_TO_STRING_ANYARRAY_TEXT,
    F_ARRAY_TO_STRING_ANYARRAY_TEXT_TEXT,
#ifdef F_JSON_AGG_STRICT
    F_JSON_AGG_STRICT,
    F_JSONB_AGG_STRICT,
    F_JSON_OBJECT_AGG_STRICT,
    F_JSON_OBJECT_AGG_UNIQUE,
    F_JSON_OBJECT_AGG_UNIQUE_STRICT,
    F_JSONB_OBJECT_AGG_STRICT,
    F_JSONB_OBJECT_AGG_UNIQUE,
    F_JSONB_OBJECT_AGG_UNIQUE_STRICT,
#endif
};

static bool
is_printing(Oid function)
{
	for (size_t i = 0; i < lengthof(printing); i++)
		if (printing[i] == function)
			return true;
	return false;
}

static void
reveal_all(SdesDoor *door, List *arguments)
{
	ListCell *cell;

	foreach (cell, arguments)
		if (lfirst(cell) != NULL && sdes_door_shows(door, lfirst(cell)))
			lfirst(cell) = sdes_door_reveal(door, lfirst(cell));
}

/*
 * The arguments of an aggregate are a target list, of which ORDER BY may refer to
 * the ciphertext: then it stays, as an entry that is not an argument. DISTINCT of one
 * argument has no room for such an entry: it goes on collecting ciphertext.
 */
static void
reveal_aggregated(SdesDoor *door, Aggref *aggregate)
{
	int arguments = list_length(aggregate->args);
	int direct = list_length(aggregate->aggdirectargs);

	if (aggregate->aggdistinct != NIL)
		return;
	for (int i = 0; i < arguments; i++)
	{
		TargetEntry *entry = list_nth_node(TargetEntry, aggregate->args, i);

		if (entry->resjunk || !sdes_door_shows(door, entry->expr))
			continue;
		if (entry->ressortgroupref != 0 && contain_volatile_functions((Node *) entry->expr))
			continue; /* a copy would be another value */
		aggregate->args = sdes_keep_sorted(aggregate->args, entry);
		entry->expr = sdes_door_reveal(door, entry->expr);
		lfirst_oid(list_nth_cell(aggregate->aggargtypes, direct + i)) =
		    exprType((Node *) entry->expr);
	}
}

static void
reveal_arguments(SdesDoor *door, Node *node)
{
	switch (nodeTag(node))
	{
		case T_FuncExpr:
			if (is_printing(((FuncExpr *) node)->funcid))
				reveal_all(door, ((FuncExpr *) node)->args);
			break;
		case T_Aggref:
			if (is_printing(((Aggref *) node)->aggfnoid))
				reveal_aggregated(door, (Aggref *) node);
			break;
		case T_WindowFunc:
			if (is_printing(((WindowFunc *) node)->winfnoid))
				reveal_all(door, ((WindowFunc *) node)->args);
			break;
		case T_XmlExpr:
			reveal_all(door, ((XmlExpr *) node)->args);
			reveal_all(door, ((XmlExpr *) node)->named_args);
			break;
		case T_CoerceViaIO: /* of an array or a row to text */
			if (sdes_door_shows(door, ((CoerceViaIO *) node)->arg))
				((CoerceViaIO *) node)->arg =
				    sdes_door_reveal(door, ((CoerceViaIO *) node)->arg);
			break;
#if PG_VERSION_NUM >= 160000
		case T_JsonConstructorExpr:
			reveal_all(door, ((JsonConstructorExpr *) node)->args);
			break;
#endif
#if PG_VERSION_NUM >= 170000
		case T_JsonExpr: /* JSON_VALUE(doc, '$.x' PASSING email AS y), JSON_TABLE */
			reveal_all(door, ((JsonExpr *) node)->passing_values);
			break;
#endif
		default:
			break;
	}
}

/* A function of a user's own, or one of PostgreSQL's that may store what it is given. */
static bool
may_store(const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;

	return IsA(node, FuncExpr) && call->args != NIL &&
	       (call->funcid >= FirstNormalObjectId ||
	        func_volatile(call->funcid) == PROVOLATILE_VOLATILE);
}

static bool
walk(Node *node, void *context)
{
	SdesDoor *door = context;

	if (node == NULL || may_store(node))
		return false;
	if (IsA(node, Query))
	{
		sdes_reveal_in_query(door, (Query *) node);
		return false;
	}
	expression_tree_walker(node, walk, door);
	reveal_arguments(door, node);
	return false;
}

void
sdes_reveal_in_query(SdesDoor *door, Query *query)
{
	int flags = QTW_IGNORE_JOINALIASES;

	if (query->commandType != CMD_SELECT)
		return;
	if (query->hasModifyingCTE)
		flags |= QTW_IGNORE_CTE_SUBQUERIES; /* it may store what the others give it */
	door->queries = lcons(query, door->queries);
	query_tree_walker(query, walk, door, flags);
	door->queries = list_delete_first(door->queries);
}

void
sdes_reveal_in_entries(SdesDoor *door, List *entries)
{
	expression_tree_walker((Node *) entries, walk, door);
}
