/*
 * prepare.c
 *		What comparisons need is obtained before a statement runs.
 *
 * An index compares with one of its pages locked, where nothing may be waited for. So
 * where a plan compares encrypted values, the keys and the privileges that this may
 * take are brought here first: the wait for an HSM that hangs can be cancelled, and
 * blocks nobody.
 */
#include "postgres.h"

#include "search/prepare.h"

#include "access/parallel.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "keyring/keyring.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "policy/policy.h"
#include "search/objects.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static ExecutorRun_hook_type previous_run = NULL;

/*
 * The functions behind = of each type, as PlannedStmt lists what it depends on. An
 * index is used by an operator of the statement; of our operators any will do.
 */
static bool
is_ours(uint32 hash, const SdesSearchObjects *objects)
{
	for (int i = 0; i < objects->ncomparisons; i++)
		if (hash == objects->comparisons[i])
			return true;
	return false;
}

static bool
compares(const PlannedStmt *plan)
{
	const SdesSearchObjects *objects;
	ListCell *cell;

	/* Only functions of extensions are listed, so mostly there is nothing to look at. */
	if (plan->invalItems == NIL)
		return false;
	objects = sdes_search_objects();
	if (objects == NULL)
		return false;
	foreach (cell, plan->invalItems)
	{
		const PlanInvalItem *item = lfirst(cell);

		if (item->cacheId == PROCOID && is_ours(item->hashValue, objects))
			return true;
	}
	return false;
}

static bool
has_comparison(Node *node, void *context)
{
	Oid function = InvalidOid;

	if (node == NULL)
		return false;
	if (IsA(node, OpExpr))
		function = ((OpExpr *) node)->opfuncid;
	else if (IsA(node, ScalarArrayOpExpr))
		function = ((ScalarArrayOpExpr *) node)->opfuncid;
	if (OidIsValid(function) &&
	    is_ours(GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function)), context))
		return true;
	return expression_tree_walker(node, has_comparison, context);
}

/* Whether an index is searched by a comparison of ours, here or below. */
static bool
searches(PlanState *state, void *context)
{
	const Plan *plan = state->plan;
	List *quals = NIL;

	if (IsA(plan, IndexScan))
		quals = ((const IndexScan *) plan)->indexqual;
	else if (IsA(plan, IndexOnlyScan))
		quals = ((const IndexOnlyScan *) plan)->indexqual;
	else if (IsA(plan, BitmapIndexScan))
		quals = ((const BitmapIndexScan *) plan)->indexqual;
	return has_comparison((Node *) quals, context) ||
	       planstate_tree_walker(state, searches, context);
}

/* A parallel worker gets its part of a plan without the list of what that depends on. */
static bool
worker_searches(const QueryDesc *query)
{
	const SdesSearchObjects *objects = sdes_search_objects();

	return objects != NULL && query->planstate != NULL &&
	       searches(query->planstate, (void *) objects);
}

/*
 * Each time that rows are asked for: between two FETCHes role, grants and keys may
 * have become others.
 */
static void
run(QueryDesc *query, ScanDirection direction, uint64 count, bool once)
{
	if (compares(query->plannedstmt) || (IsParallelWorker() && worker_searches(query)))
	{
		sdes_policy_prepare();
		sdes_keyring_prepare();
	}
	if (previous_run)
		previous_run(query, direction, count, once);
	else
		standard_ExecutorRun(query, direction, count, once);
}

void
sdes_prepare_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
}
