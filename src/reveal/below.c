/*
 * below.c
 *		A query that becomes the subquery, or the CTE, of another.
 */
#include "postgres.h"

#include "reveal/below.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"

static List *
names_of(const Query *query)
{
	List *names = NIL;
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		TargetEntry *entry = lfirst(cell);

		if (!entry->resjunk)
			names = lappend(
			    names, makeString(pstrdup(entry->resname ? entry->resname : "?column?")));
	}
	return names;
}

RangeTblEntry *
sdes_result_entry(RTEKind kind, const Query *inner)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = kind;
	rte->alias = makeAlias("result", NIL);
	rte->eref = makeAlias("result", names_of(inner));
	rte->inFromCl = true;
#if PG_VERSION_NUM < 160000
	rte->requiredPerms = 0;
#endif
	return rte;
}

Query *
sdes_move_below(Query *query)
{
	Query *inner = makeNode(Query);
	RangeTblRef *ref = makeNode(RangeTblRef);

	*inner = *query;
	inner->canSetTag = true;
	ref->rtindex = 1;

	memset(query, 0, sizeof(*query));
	query->type = T_Query;
	query->commandType = CMD_SELECT;
	query->querySource = inner->querySource;
	query->queryId = inner->queryId;
	query->canSetTag = inner->canSetTag;
	query->stmt_location = inner->stmt_location;
	query->stmt_len = inner->stmt_len;
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	return inner;
}

/* References to the CTEs of the query that this began at, *depth levels up by now. */
static bool
refer_one_level_up(Node *node, void *context)
{
	int *depth = context;
	bool stopped;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (rte->rtekind == RTE_CTE && rte->ctelevelsup == (Index) *depth)
			rte->ctelevelsup++;
		return false; /* its subquery comes by itself */
	}
	if (!IsA(node, Query))
		return expression_tree_walker(node, refer_one_level_up, depth);
	(*depth)++;
	stopped = query_tree_walker((Query *) node, refer_one_level_up, depth,
	                            QTW_EXAMINE_RTES_BEFORE);
	(*depth)--;
	return stopped;
}

void
sdes_hoist_with(Query *query, Query *inner)
{
	int depth = 0;

	query->cteList = inner->cteList;
	query->hasRecursive = inner->hasRecursive;
	query->hasModifyingCTE = true;
	inner->cteList = NIL;
	inner->hasRecursive = inner->hasModifyingCTE = false;
	query_tree_walker(inner, refer_one_level_up, &depth, QTW_EXAMINE_RTES_BEFORE);
}
