/*
 * scroll.c
 *		Cursors that can be read backwards.
 *
 * Where a plan cannot run backwards, PostgreSQL has its result materialized, and
 * that goes to disk when it is large: the plaintext that reveal() gave. Such a query
 * is planned anew, as one over a CTE of the ciphertext: the calls of reveal() are
 * above what is materialized. (What aggregates and subqueries made of plaintext
 * stays below.)
 */
#include "postgres.h"

#include "reveal/scroll.h"

#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "optimizer/tlist.h"
#include "reveal/below.h"
#include "reveal/door.h"

static planner_hook_type previous_planner = NULL;

/* What the CTE gives is collected while the select list over it is made. */
typedef struct Split
{
	SdesDoor door;
	List *grouped; /* what the query groups by: NULL in some rows of grouping sets */
	List *below;   /* target entries */
} Split;

/* A column of the CTE. */
static Node *
column_below(Split *split, Node *value, const char *name)
{
	int column = list_length(split->below) + 1;

	split->below =
	    lappend(split->below, makeTargetEntry((Expr *) value, column,
	                                          name ? pstrdup(name) : NULL, false));
	return (Node *) makeVar(1, column, exprType(value), exprTypmod(value),
	                        exprCollation(value), 0);
}

/* What is evaluated above as well as below, once its arguments are there. */
static bool
can_be_above(const Node *node)
{
	switch (nodeTag(node))
	{
		case T_FuncExpr:
			return !((const FuncExpr *) node)->funcretset;
		case T_CaseExpr:
			return ((const CaseExpr *) node)->arg == NULL;
		case T_OpExpr:
			return !((const OpExpr *) node)->opretset;
		case T_BoolExpr:
		case T_CoalesceExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_RowExpr:
		case T_ArrayExpr:
		case T_NullTest:
			return true;
		default:
			return false;
	}
}

static Node *
above(Node *node, void *context)
{
	Split *split = context;

	if (node == NULL || IsA(node, Const))
		return node;
	if (IsA(node, List) || IsA(node, CaseWhen) ||
	    (can_be_above(node) && !list_member(split->grouped, node) &&
	     sdes_door_is_in(&split->door, node)))
		return expression_tree_mutator(node, above, context);
	return column_below(split, node, NULL);
}

static List *
entries_above(Split *split, const List *entries)
{
	List *result = NIL;
	ListCell *cell;

	foreach (cell, entries)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		TargetEntry *over;

		if (entry->resjunk)
			continue;
		over = flatCopyTargetEntry(entry);
		over->expr = (Expr *) above((Node *) entry->expr, split);
		over->ressortgroupref = 0;
		result = lappend(result, over);
	}
	return result;
}

/* What the clauses of the query below refer to stays there, where nobody sees it. */
static void
keep_clauses(Split *split, const List *entries)
{
	ListCell *cell;

	foreach (cell, entries)
	{
		TargetEntry *kept = flatCopyTargetEntry(lfirst_node(TargetEntry, cell));

		if (kept->ressortgroupref == 0 && !kept->resjunk)
			continue;
		kept->resjunk = true;
		kept->resno = list_length(split->below) + 1;
		split->below = lappend(split->below, kept);
	}
}

static CommonTableExpr *
make_cte(Query *inner, RangeTblEntry *rte)
{
	CommonTableExpr *cte = makeNode(CommonTableExpr);
	ListCell *cell;

	foreach (cell, inner->targetList)
	{
		Node *value = (Node *) lfirst_node(TargetEntry, cell)->expr;

		if (lfirst_node(TargetEntry, cell)->resjunk)
			continue;
		cte->ctecoltypes = lappend_oid(cte->ctecoltypes, exprType(value));
		cte->ctecoltypmods = lappend_int(cte->ctecoltypmods, exprTypmod(value));
		cte->ctecolcollations = lappend_oid(cte->ctecolcollations, exprCollation(value));
	}
	cte->ctename = pstrdup("result");
	cte->ctematerialized = CTEMaterializeAlways;
	cte->ctequery = (Node *) inner;
	cte->cterefcount = 1;
	cte->ctecolnames = copyObject(rte->eref->colnames);
	rte->ctename = pstrdup("result");
	rte->coltypes = list_copy(cte->ctecoltypes);
	rte->coltypmods = list_copy(cte->ctecoltypmods);
	rte->colcollations = list_copy(cte->ctecolcollations);
	return cte;
}

static void
put_into_cte(const SdesDoor *door, Query *query)
{
	Query *inner = sdes_move_below(query);
	Split split = {.door = *door};
	RangeTblEntry *rte;

	split.grouped = get_sortgrouplist_exprs(inner->groupClause, inner->targetList);

	query->targetList = entries_above(&split, inner->targetList);
	keep_clauses(&split, inner->targetList);
	inner->targetList = split.below;
	rte = sdes_result_entry(RTE_CTE, inner);
	query->cteList = list_make1(make_cte(inner, rte));
	query->rtable = list_make1(rte);
}

static PlannedStmt *
plan_standard(Query *query, const char *source, int options, ParamListInfo params)
{
	return previous_planner ? previous_planner(query, source, options, params)
	                        : standard_planner(query, source, options, params);
}

static PlannedStmt *
plan_scrolled(const SdesDoor *door, Query *query, const char *source, int options,
              ParamListInfo params)
{
	Query *copy = copyObject(query); /* planning changes it */
	PlannedStmt *planned =
	    plan_standard(query, source, options & ~CURSOR_OPT_SCROLL, params);

	if (ExecSupportsBackwardScan(planned->planTree))
		return planned;
	put_into_cte(door, copy);
	return plan_standard(copy, source, options, params);
}

static PlannedStmt *
plan(Query *query, const char *source, int options, ParamListInfo params)
{
	SdesDoor door;

	if ((options & CURSOR_OPT_SCROLL) && query->commandType == CMD_SELECT &&
	    query->rowMarks == NIL && sdes_door_find(&door) &&
	    sdes_door_is_in(&door, (Node *) query->targetList))
		return plan_scrolled(&door, query, source, options, params);
	return plan_standard(query, source, options, params);
}

void
sdes_scroll_init(void)
{
	previous_planner = planner_hook;
	planner_hook = plan;
}
