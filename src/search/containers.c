/*
 * containers.c
 *		Arrays and rows of encrypted values have no order.
 *
 * PostgreSQL compares them element by element with the default operator class, which
 * here is that of tokens. Equality is right by it; an order would be without meaning, so
 * asking for one is an error.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "search/planner.h"
#include "types/typmod.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

/* Functions, operators' functions and aggregates that go by an order. */
static const Oid ordering[] = {
    F_ARRAY_LT,     F_ARRAY_LE,     F_ARRAY_GT,
    F_ARRAY_GE,     F_RECORD_LT,    F_RECORD_LE,
    F_RECORD_GT,    F_RECORD_GE,    F_BTARRAYCMP,
    F_BTRECORDCMP,  F_ARRAY_LARGER, F_ARRAY_SMALLER,
    F_MAX_ANYARRAY, F_MIN_ANYARRAY, F_WIDTH_BUCKET_ANYCOMPATIBLE_ANYCOMPATIBLEARRAY,
#ifdef F_MAX_RECORD
    F_MAX_RECORD,   F_MIN_RECORD,
#endif
};

static void
refuse(void)
{
	ereport(ERROR,
	        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	         errmsg("arrays and rows of encrypted values have no order"),
	         errhint("Sort by or compare the values themselves, or their text, as in ORDER "
	                 "BY ARRAY[email::text].")));
}

/* Whether an expression is an array or a row with encrypted values in it. */
static bool
contains(const SdesSearchObjects *objects, const Node *node)
{
	Oid type = exprType(node);
	ListCell *cell;

	if (IsA(node, RowExpr))
	{
		foreach (cell, ((const RowExpr *) node)->args)
			if (sdes_holds_encrypted(objects->types, exprType(lfirst(cell))))
				return true;
		return false;
	}
	return (OidIsValid(get_element_type(type)) || type_is_rowtype(type)) &&
	       type != RECORDOID && sdes_holds_encrypted(objects->types, type);
}

static void
check_clauses(const SdesSearchObjects *objects, List *clauses, List *entries)
{
	ListCell *cell;

	foreach (cell, clauses)
		if (contains(objects, get_sortgroupclause_expr(lfirst(cell), entries)))
			refuse();
}

void
sdes_refuse_container_sorts(const SdesSearchObjects *objects, const Query *query)
{
	ListCell *cell;

	check_clauses(objects, query->sortClause, query->targetList);
	foreach (cell, query->windowClause)
		check_clauses(objects, lfirst_node(WindowClause, cell)->orderClause,
		              query->targetList);
}

static bool
is_ordering(Oid function)
{
	for (size_t i = 0; i < lengthof(ordering); i++)
		if (ordering[i] == function)
			return true;
	return false;
}

/* The arguments of what goes by an order. */
static const List *
ordered_arguments(const Node *node)
{
	switch (nodeTag(node))
	{
		case T_OpExpr:
			return is_ordering(get_opcode(((const OpExpr *) node)->opno))
			           ? ((const OpExpr *) node)->args
			           : NIL;
		case T_FuncExpr:
			return is_ordering(((const FuncExpr *) node)->funcid)
			           ? ((const FuncExpr *) node)->args
			           : NIL;
		case T_MinMaxExpr:
			return ((const MinMaxExpr *) node)->args;
		case T_Aggref:
			return is_ordering(((const Aggref *) node)->aggfnoid)
			           ? ((const Aggref *) node)->args
			           : NIL;
		default:
			return NIL;
	}
}

void
sdes_refuse_container_order(const SdesSearchObjects *objects, const Node *node)
{
	ListCell *cell;

	foreach (cell, ordered_arguments(node))
	{
		const Node *argument = lfirst(cell);

		if (IsA(argument, TargetEntry))
			argument = (const Node *) ((const TargetEntry *) argument)->expr;
		if (contains(objects, argument))
			refuse();
	}
	if (IsA(node, Aggref))
		check_clauses(objects, ((const Aggref *) node)->aggorder,
		              ((const Aggref *) node)->args);
}
