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

#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "keyring/keyring.h"
#include "nodes/plannodes.h"
#include "policy/policy.h"
#include "search/objects.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static ExecutorStart_hook_type previous_start = NULL;

/*
 * The functions behind = of each type, as PlannedStmt lists what it depends on. An
 * index is used by an operator of the statement; of our operators any will do.
 */
static bool
is_ours(const PlanInvalItem *item, const SdesSearchObjects *objects)
{
	for (int i = 0; i < objects->ncomparisons; i++)
		if (item->hashValue == objects->comparisons[i])
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

		if (item->cacheId == PROCOID && is_ours(item, objects))
			return true;
	}
	return false;
}

static void
start(QueryDesc *query, int flags)
{
	if (!(flags & EXEC_FLAG_EXPLAIN_ONLY) && compares(query->plannedstmt))
	{
		sdes_policy_prepare();
		sdes_keyring_prepare();
	}
	if (previous_start)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

void
sdes_prepare_init(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start;
}
