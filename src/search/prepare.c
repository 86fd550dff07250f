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
#include "value/value.h"

static ExecutorStart_hook_type previous_start = NULL;

typedef enum Comparing
{
	COMPARES_NOTHING,
	COMPARES_VALUES, /* stored ones as a rule, which takes no key */
	COMPARES_TEXT
} Comparing;

static Comparing
compares_by(const PlanInvalItem *item, const SdesSearchObjects *objects)
{
	for (int i = 0; item->cacheId == PROCOID && i < objects->ncomparisons; i++)
		if (item->hashValue == objects->comparisons[i].function)
			return objects->comparisons[i].with_text ? COMPARES_TEXT : COMPARES_VALUES;
	return COMPARES_NOTHING;
}

/*
 * By the functions that a plan depends on: an index is searched by an operator of the
 * statement.
 */
static Comparing
compares(const PlannedStmt *plan)
{
	Comparing most = COMPARES_NOTHING;
	const SdesSearchObjects *objects;
	ListCell *cell;

	/* Only functions of extensions are listed, so mostly there is nothing to look at. */
	if (plan->invalItems == NIL)
		return COMPARES_NOTHING;
	objects = sdes_search_objects();
	if (objects == NULL)
		return COMPARES_NOTHING;
	foreach (cell, plan->invalItems)
		most = Max(most, compares_by(lfirst(cell), objects));
	return most;
}

/*
 * Whether a parameter is a literal that no column has taken. (What the statement's own
 * literals take was fetched when they were sealed, as it was parsed.)
 */
static bool
has_literals(const QueryDesc *query)
{
	const SdesSearchObjects *objects = sdes_search_objects();
	const ParamListInfo params = query->params;

	for (int i = 0; params != NULL && params->paramFetch == NULL && i < params->numParams;
	     i++)
	{
		const ParamExternData *param = &params->params[i];

		if (!param->isnull && sdes_type_by_oid(objects->types, param->ptype) >= 0 &&
		    sdes_value_is_literal(PG_DETOAST_DATUM_PACKED(param->value)))
			return true;
	}
	return false;
}

static void
start(QueryDesc *query, int flags)
{
	Comparing comparing = COMPARES_NOTHING;

	if (!(flags & EXEC_FLAG_EXPLAIN_ONLY))
		comparing = compares(query->plannedstmt);
	if (comparing != COMPARES_NOTHING)
	{
		sdes_policy_prepare();
		sdes_keyring_prepare(comparing == COMPARES_TEXT || has_literals(query));
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
