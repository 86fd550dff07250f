/*
 * planner.c
 *		What a statement is planned as: sorts of encrypted columns by plaintext, and
 *		lower(column) = text by token.
 *
 * It happens when a statement is planned, at any nesting: views, rules and functions
 * keep what their author wrote, and whatever way a query came from its catalog, it is
 * planned before it runs. (A function that the planner inlines later is seen again
 * when the planner looks at its first relation.)
 */
#include "postgres.h"

#include "search/planner.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "search/objects.h"

static planner_hook_type previous_planner = NULL;
static get_relation_info_hook_type previous_relation = NULL;

/* A sort by token, which nobody wants, becomes one by plaintext; false for others. */
static bool
rewrite_clause(const SdesSearchObjects *objects, SortGroupClause *clause)
{
	for (int i = 0; i < SDES_NTYPES; i++)
	{
		const SdesOrders *orders = &objects->orders[i];

		if (clause->sortop != orders->token_less && clause->sortop != orders->token_greater)
			continue;
		clause->sortop =
		    clause->sortop == orders->token_less ? orders->less : orders->greater;
		clause->eqop = orders->equal;
		clause->hashable = false;
		return true;
	}
	return false;
}

static void
rewrite_clauses(const SdesSearchObjects *objects, List *clauses)
{
	ListCell *cell;

	foreach (cell, clauses)
		rewrite_clause(objects, lfirst_node(SortGroupClause, cell));
}

/*
 * DISTINCT has to go by the order of what is sorted: the planner takes one for a
 * beginning of the other. Without ORDER BY it goes by token.
 */
static void
rewrite_distinct(const SdesSearchObjects *objects, List *distinct, const List *sort)
{
	ListCell *cell;
	ListCell *by;

	foreach (cell, distinct)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, cell);

		foreach (by, sort)
			if (lfirst_node(SortGroupClause, by)->tleSortGroupRef ==
			    clause->tleSortGroupRef)
				rewrite_clause(objects, clause);
	}
}

/* The clauses of one query level. Doing it twice is harmless. */
static void
rewrite_sorts(const SdesSearchObjects *objects, Query *query)
{
	ListCell *cell;

	rewrite_clauses(objects, query->sortClause);
	rewrite_distinct(objects, query->distinctClause, query->sortClause);
	foreach (cell, query->windowClause)
		rewrite_clauses(objects, lfirst_node(WindowClause, cell)->orderClause);
}

static bool
rewrite_walker(Node *node, void *context)
{
	const SdesSearchObjects *objects = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		sdes_refuse_container_sorts(objects, (Query *) node);
		rewrite_sorts(objects, (Query *) node);
		return query_tree_walker((Query *) node, rewrite_walker, context, 0);
	}
	sdes_refuse_container_order(objects, node);
	if (IsA(node, Aggref))
	{
		Aggref *aggref = (Aggref *) node;

		rewrite_clauses(objects, aggref->aggorder);
		rewrite_distinct(objects, aggref->aggdistinct, aggref->aggorder);
	}
	else if (IsA(node, OpExpr) || IsA(node, ScalarArrayOpExpr))
	{
		sdes_rewrite_lower(objects, (Expr *) node);
		sdes_rewrite_operands(objects, (Expr *) node);
	}
	return expression_tree_walker(node, rewrite_walker, context);
}

static PlannedStmt **wanted = NULL; /* where the next plan is to be noted */

void
sdes_planner_note(PlannedStmt **plan)
{
	wanted = plan;
}

static PlannedStmt *
plan(Query *query, const char *source, int options, ParamListInfo params)
{
	const SdesSearchObjects *objects = sdes_search_objects();
	PlannedStmt **noted = wanted;
	PlannedStmt *result;

	/* Functions may be planned while this is; theirs is another plan. */
	wanted = NULL;
	if (objects != NULL)
		rewrite_walker((Node *) query, unconstify(SdesSearchObjects *, objects));
	if (previous_planner)
		result = previous_planner(query, source, options, params);
	else
		result = standard_planner(query, source, options, params);
	if (noted != NULL)
		*noted = result;
	return result;
}

static void
relation_info(PlannerInfo *root, Oid relation, bool inhparent, RelOptInfo *rel)
{
	const SdesSearchObjects *objects = sdes_search_objects();

	if (previous_relation)
		previous_relation(root, relation, inhparent, rel);
	if (objects != NULL)
		rewrite_sorts(objects, root->parse);
}

void
sdes_planner_init(void)
{
	previous_planner = planner_hook;
	planner_hook = plan;
	previous_relation = get_relation_info_hook;
	get_relation_info_hook = relation_info;
}
