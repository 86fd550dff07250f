/*
 * prepare.c
 *		What comparisons need is obtained before a statement runs.
 *
 * An index compares with one of its pages locked, where nothing may be waited for. So
 * where a plan searches an index by encrypted values, the keys and the privileges that
 * this may take are brought here first: the wait for an HSM that hangs can be
 * cancelled, and blocks nobody. All other comparisons get for themselves what they
 * need, when they need it.
 */
#include "postgres.h"

#include "search/prepare.h"

#include "access/parallel.h"
#include "audit/audit.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "keyring/keyring.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "policy/policy.h"
#include "search/objects.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "value/value.h"

static ExecutorRun_hook_type previous_run = NULL;

typedef enum Comparing
{
	COMPARES_NOTHING,
	COMPARES_VALUES, /* stored ones as a rule, which takes no key */
	COMPARES_TEXT    /* or literals, of which tokens have to be made */
} Comparing;

typedef struct Search
{
	const SdesSearchObjects *objects;
	ParamListInfo params;
	Comparing most;
	bool with_text; /* the comparison that is looked at */
	bool noted;     /* a bucket of it */
	List *guessed;  /* hashes of buckets whose values texts are compared with */
	List *opened;   /* of those whose values have to be opened for it */
	bool anywhere;  /* texts are compared with values of nobody knows which bucket */
} Search;

static const SdesComparison *
find_comparison(uint32 function, const SdesSearchObjects *objects)
{
	for (int i = 0; i < objects->ncomparisons; i++)
		if (objects->comparisons[i].function == function)
			return &objects->comparisons[i];
	return NULL;
}

/*
 * By the functions that a plan depends on: an index is searched by an operator of the
 * statement. Only functions of extensions are listed, so mostly there is nothing to
 * look at. A parallel worker gets its part of a plan without that list.
 */
static bool
may_compare(const PlannedStmt *plan)
{
	const SdesSearchObjects *objects;
	ListCell *cell;

	if (plan->invalItems == NIL && !IsParallelWorker())
		return false;
	objects = sdes_search_objects();
	if (objects == NULL)
		return false;
	foreach (cell, plan->invalItems)
	{
		const PlanInvalItem *item = lfirst(cell);

		if (item->cacheId == PROCOID && find_comparison(item->hashValue, objects))
			return true;
	}
	return IsParallelWorker();
}

/* The values of an array. */
static bool
make_all_ready(Datum value)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	bool takes = false;
	Datum *values;
	bool *nulls;
	int n;

	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &values, &nulls,
	                  &n);
	for (int i = 0; i < n; i++)
		takes |= !nulls[i] && sdes_value_make_ready(PG_DETOAST_DATUM_PACKED(values[i]));
	return takes;
}

static bool
value_takes_token(const Search *search, Oid type, Datum value)
{
	const Oid *types = search->objects->types;

	if (sdes_type_by_oid(types, get_element_type(type)) >= 0)
		return make_all_ready(value);
	return sdes_type_by_oid(types, type) >= 0 &&
	       sdes_value_make_ready(PG_DETOAST_DATUM_PACKED(value));
}

static bool
param_takes_token(const Search *search, const Param *param)
{
	ParamListInfo params = search->params;
	ParamExternData room;
	const ParamExternData *value;

	if (param->paramkind != PARAM_EXTERN || params == NULL || param->paramid < 1 ||
	    param->paramid > params->numParams)
		return false;
	value = params->paramFetch ? params->paramFetch(params, param->paramid, true, &room)
	                           : &params->params[param->paramid - 1];
	return !value->isnull && value_takes_token(search, value->ptype, value->value);
}

/* A literal, or what was a parameter before it was planned. */
static bool
const_takes_token(const Search *search, const Const *constant)
{
	if (!constant->constisnull)
		(void) value_takes_token(search, constant->consttype, constant->constvalue);
	return true;
}

/* Whether a token has to be made of an operand. */
static bool
takes_token(Node *operand, void *context)
{
	if (operand == NULL)
		return false;
	if ((IsA(operand, Const) && const_takes_token(context, (const Const *) operand)) ||
	    (IsA(operand, Param) && param_takes_token(context, (const Param *) operand)))
		return true;
	return expression_tree_walker(operand, takes_token, context);
}

/* By the type modifier of a column, or of a value that comes from one while the plan runs. */
static void
note_bucket(Search *search, Oid type, int32 typmod)
{
	if (typmod < 0 || sdes_type_by_oid(search->objects->types, type) < 0)
		return;
	search->noted = true;
	if (!(typmod & SDES_SEARCHABLE))
		search->opened = list_append_unique_int(search->opened, SDES_TYPMOD_HASH(typmod));
	else if (search->with_text)
		search->guessed = list_append_unique_int(search->guessed, SDES_TYPMOD_HASH(typmod));
}

static bool
note_buckets(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		note_bucket(context, ((Var *) node)->vartype, ((Var *) node)->vartypmod);
	else if (IsA(node, Param))
		note_bucket(context, ((Param *) node)->paramtype, ((Param *) node)->paramtypmod);
	return expression_tree_walker(node, note_buckets, context);
}

/* The audit is told before an index is searched, and before hashes are compared. */
static void
audit_guesses(const List *hashes, int64 opened)
{
	ListCell *cell;

	foreach (cell, hashes)
	{
		const SdesBucketRow *bucket = sdes_keyring_find_bucket(lfirst_int(cell));
		uint8 uuid[SDES_UUID_SIZE];

		if (bucket == NULL)
			continue;
		memcpy(uuid, bucket->uuid, SDES_UUID_SIZE);
		sdes_audit_expect(uuid, SDES_AUDIT_SEARCH, opened);
	}
}

/*
 * The type modifier of a column is lost on the way through some expressions. The values are
 * of one of the columns that the statement reads.
 */
static List *
buckets_read(const PlannedStmt *plan)
{
	List *hashes = NIL;
	ListCell *cell;

	foreach (cell, sdes_store_buckets())
	{
		int32 hash = ((const SdesBucketRow *) lfirst(cell))->hash;

		if (sdes_audit_reads(plan, hash))
			hashes = lappend_int(hashes, hash);
	}
	return hashes;
}

static bool
look_at_qual(Node *node, void *context)
{
	Search *search = context;
	const SdesComparison *comparison = NULL;
	List *operands = NIL;
	Oid function = InvalidOid;

	if (node == NULL)
		return false;
	if (IsA(node, OpExpr))
	{
		function = ((const OpExpr *) node)->opfuncid;
		operands = ((const OpExpr *) node)->args;
	}
	else if (IsA(node, ScalarArrayOpExpr))
	{
		function = ((const ScalarArrayOpExpr *) node)->opfuncid;
		operands = ((const ScalarArrayOpExpr *) node)->args;
	}
	if (OidIsValid(function))
		comparison = find_comparison(
		    GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function)), search->objects);
	if (comparison != NULL)
	{
		/* Of two values that carry tokens neither is a guess. */
		search->with_text = comparison->with_text || takes_token((Node *) operands, search);
		search->noted = false;
		note_buckets((Node *) operands, search);
		search->anywhere |= search->with_text && !search->noted;
		search->most =
		    search->with_text ? COMPARES_TEXT : Max(search->most, COMPARES_VALUES);
	}
	return expression_tree_walker(node, look_at_qual, context);
}

/* Partitions are chosen while it runs, in a parallel one under a lock. */
static bool
prunes(const Plan *plan)
{
#if PG_VERSION_NUM < 180000
	return (IsA(plan, Append) && ((const Append *) plan)->part_prune_info != NULL) ||
	       (IsA(plan, MergeAppend) &&
	        ((const MergeAppend *) plan)->part_prune_info != NULL);
#else
	return (IsA(plan, Append) && ((const Append *) plan)->part_prune_index >= 0) ||
	       (IsA(plan, MergeAppend) && ((const MergeAppend *) plan)->part_prune_index >= 0);
#endif
}

/* By what indexes are searched and partitions chosen, here and below. */
static bool
look_at_plan(PlanState *state, void *context)
{
	const Plan *plan = state->plan;
	Search *search = context;
	Comparing before;
	List *quals = NIL;

	if (prunes(plan))
		search->most = COMPARES_TEXT;

	if (IsA(plan, IndexScan))
		quals = ((const IndexScan *) plan)->indexqual;
	else if (IsA(plan, IndexOnlyScan))
		quals = ((const IndexOnlyScan *) plan)->indexqual;
	else if (IsA(plan, BitmapIndexScan))
		quals = ((const BitmapIndexScan *) plan)->indexqual;
	look_at_qual((Node *) quals, context);
	/* Only for the audit: by hashes nothing is compared that is not there. */
	before = search->most;
	if (IsA(plan, HashJoin))
		look_at_qual((Node *) ((const HashJoin *) plan)->hashclauses, context);
	look_at_qual((Node *) plan->qual, context);
	look_at_qual((Node *) plan->targetlist, context);
	if (IsA(plan, Result))
		look_at_qual(((const Result *) plan)->resconstantqual, context);
	search->most = before;
	return planstate_tree_walker(state, look_at_plan, context);
}

/*
 * Each time that rows are asked for: between two FETCHes role, grants and keys may
 * have become others.
 */
static void
run(SDES_RUN_PARAMETERS)
{
	if (may_compare(query->plannedstmt) && query->planstate != NULL)
	{
		Search search = {.objects = sdes_search_objects(), .params = query->params};

		look_at_plan(query->planstate, &search);
		if (search.most != COMPARES_NOTHING)
		{
			sdes_policy_prepare();
			sdes_keyring_prepare(search.most == COMPARES_TEXT);
		}
		if (search.anywhere)
			search.guessed =
			    list_concat_unique_int(search.guessed, buckets_read(query->plannedstmt));
		audit_guesses(search.guessed, 0);
		audit_guesses(search.opened, SDES_OPENED_UNDER_LOCK);
	}
	if (previous_run)
		previous_run(SDES_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(SDES_RUN_ARGUMENTS);
}

void
sdes_prepare_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
}
