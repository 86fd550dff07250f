/*
 * explain.c
 *		EXPLAIN tells where a plan decrypts row by row, which indexes are larger than
 *		they need be, and what would help.
 *
 * After a plan in text format there is a line for each condition, sort and group that
 * opens values of a column. What opens them only for the client, reveal(), is seen in
 * the select list of EXPLAIN VERBOSE and costs what the result costs.
 */
#include "postgres.h"

#include "search/explain.h"

#include "access/relation.h"
#include "catalog/pg_am.h"
#include "commands/explain.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "sdes_compat.h"
#include "search/objects.h"
#include "search/planner.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "value/value.h"

static ExplainOneQuery_hook_type previous_hook = NULL;

typedef struct Notes
{
	const SdesSearchObjects *objects;
	const PlannedStmt *plan;
	List *decrypting; /* lines, of char *, none twice */
	List *indexes;    /* the same of indexes */
} Notes;

static void
add(List **lines, char *line)
{
	ListCell *cell;

	foreach (cell, *lines)
		if (strcmp(lfirst(cell), line) == 0)
			return;
	*lines = lappend(*lines, line);
}

static void
note(Notes *notes, char *line)
{
	add(&notes->decrypting, line);
}

/* "orders.email", as the statement names them, where that is known. */
static const char *
name_of(const Notes *notes, const Node *node)
{
	const Var *var = (const Var *) node;
	RangeTblEntry *rte;

	if (!IsA(node, Var) || var->varnosyn == 0 ||
	    var->varnosyn > (Index) list_length(notes->plan->rtable) || var->varattnosyn <= 0)
		return "an expression";
	rte = rt_fetch(var->varnosyn, notes->plan->rtable);
	return psprintf("%s.%s", rte->eref->aliasname,
	                get_rte_attribute_name(rte, var->varattnosyn));
}

static int
encrypted_type(const Notes *notes, const Node *node, int32 *typmod)
{
	*typmod = exprTypmod(node);
	return sdes_type_by_oid(notes->objects->types,
	                        getBaseTypeAndTypmod(exprType(node), typmod));
}

/* An encrypted expression whose values carry no token; a constant is none. */
static bool
lacks_token(const Notes *notes, const Node *node)
{
	int32 typmod;

	return IsA(node, Var) && encrypted_type(notes, node, &typmod) >= 0 &&
	       (typmod < 0 || !(typmod & SDES_SEARCHABLE));
}

static bool
is_one_of(Oid oid, const Oid *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (OidIsValid(oid) && list[i] == oid)
			return true;
	return false;
}

static bool
is_opener(const Notes *notes, const Node *node)
{
	return IsA(node, FuncExpr) &&
	       is_one_of(((const FuncExpr *) node)->funcid, notes->objects->openers,
	                 lengthof(notes->objects->openers));
}

/* lower(column): there is something better. */
static void
note_lower(Notes *notes, const Node *column)
{
	int32 typmod;

	encrypted_type(notes, column, &typmod);
	note(notes,
	     psprintf("lower(%s) in a condition; %s", name_of(notes, column),
	              typmod >= 0 && (typmod & SDES_SEARCHABLE_CI)
	                  ? "= or IN with it, under this collation, could not use an index"
	                  : "= with it could use an index if the column were "
	                    "'searchable_ci'"));
}

static void
note_equal(Notes *notes, Oid operator, const List * arguments)
{
	ListCell *cell;

	if (!is_one_of(operator, notes->objects->equals, lengthof(notes->objects->equals)) &&
	    !is_one_of(operator, notes->objects->unequals, lengthof(notes->objects->unequals)))
		return;
	foreach (cell, arguments)
		if (lacks_token(notes, lfirst(cell)))
			note(notes, psprintf("%s in a comparison; it could use an index if the column "
			                     "were 'searchable'",
			                     name_of(notes, lfirst(cell))));
}

static bool
condition_walker(Node *node, void *context)
{
	Notes *notes = context;

	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_LOWER_TEXT &&
	    is_opener(notes, linitial(((FuncExpr *) node)->args)))
	{
		note_lower(notes,
		           linitial(linitial_node(FuncExpr, ((FuncExpr *) node)->args)->args));
		return false;
	}
	if (is_opener(notes, node))
		note(notes,
		     psprintf("%s in a condition on its text, for which no index can be used",
		              name_of(notes, linitial(((FuncExpr *) node)->args))));
	else if (IsA(node, OpExpr))
		note_equal(notes, ((OpExpr *) node)->opno, ((OpExpr *) node)->args);
	else if (IsA(node, ScalarArrayOpExpr))
		note_equal(notes, ((ScalarArrayOpExpr *) node)->opno,
		           ((ScalarArrayOpExpr *) node)->args);
	return expression_tree_walker(node, condition_walker, context);
}

/* A column of what is below a sort or group. */
static const Node *
input_column(const Plan *plan, AttrNumber number)
{
	return (const Node *) list_nth_node(TargetEntry, plan->targetlist, number - 1)->expr;
}

static void
note_sort(Notes *notes, const Sort *sort)
{
	for (int i = 0; i < sort->numCols; i++)
	{
		const Node *column = input_column(&sort->plan, sort->sortColIdx[i]);

		for (int type = 0; type < SDES_NTYPES; type++)
		{
			const SdesOrders *orders = &notes->objects->orders[type];

			if (sort->sortOperators[i] == orders->less ||
			    sort->sortOperators[i] == orders->greater)
				note(notes, psprintf("%s in a sort; encrypted columns have no index by "
				                     "order",
				                     name_of(notes, column)));
		}
	}
}

static void
note_groups(Notes *notes, const Plan *input, int n, const AttrNumber *columns)
{
	for (int i = 0; input != NULL && i < n; i++)
	{
		const Node *column = input_column(input, columns[i]);

		if (lacks_token(notes, column))
			note(notes, psprintf("%s in a grouping; it would not if the column were "
			                     "'searchable'",
			                     name_of(notes, column)));
	}
}

/*
 * What a hash index takes for a value, measured; docs/search.md. One of more than half
 * as much again is worth a word, unless the whole index is of a few pages.
 */
#define HASH_ENTRY 34
#define FEW_PAGES  100

/* A btree for lookups alone could be a hash index. Its keys' order means nothing. */
static bool
could_be_hash(const Notes *notes, Relation index)
{
	const FormData_pg_index *form = index->rd_index;
	const FormData_pg_attribute *key = TupleDescAttr(RelationGetDescr(index), 0);

	return index->rd_rel->relam == BTREE_AM_OID && !form->indisunique &&
	       form->indnatts == 1 &&
	       sdes_type_by_oid(notes->objects->types, getBaseType(key->atttypid)) >= 0;
}

static void
note_index(Notes *notes, Oid oid)
{
	/* One that an adviser imagines is in no catalog. */
	Relation index = try_relation_open(oid, AccessShareLock);
	float4 rows;
	BlockNumber pages;

	if (index == NULL)
		return;
	rows = index->rd_rel->reltuples;
	pages = (BlockNumber) index->rd_rel->relpages;
	if (rows > 0 && pages >= FEW_PAGES && could_be_hash(notes, index))
	{
		double entry = (double) pages * BLCKSZ / rows;

		if (entry > 1.5 * HASH_ENTRY)
			add(&notes->indexes,
			    psprintf("%s, a btree, takes %.0f bytes for each value; USING hash takes "
			             "about %d, for lookups alone",
			             RelationGetRelationName(index), entry, HASH_ENTRY));
	}
	relation_close(index, AccessShareLock);
}

static void look_at(Notes *notes, const Plan *plan);

static void
look_at_all(Notes *notes, const List *plans)
{
	ListCell *cell;

	foreach (cell, plans)
		look_at(notes, lfirst(cell));
}

static void
look_at(Notes *notes, const Plan *plan)
{
	if (plan == NULL)
		return;
	check_stack_depth();
	condition_walker((Node *) plan->qual, notes);
	switch (nodeTag(plan))
	{
		case T_Sort:
		case T_IncrementalSort:
			note_sort(notes, (const Sort *) plan);
			break;
		case T_Agg:
			note_groups(notes, plan->lefttree, ((const Agg *) plan)->numCols,
			            ((const Agg *) plan)->grpColIdx);
			break;
		case T_Group:
			note_groups(notes, plan->lefttree, ((const Group *) plan)->numCols,
			            ((const Group *) plan)->grpColIdx);
			break;
		case T_NestLoop:
			condition_walker((Node *) ((const NestLoop *) plan)->join.joinqual, notes);
			break;
		case T_MergeJoin:
			condition_walker((Node *) ((const MergeJoin *) plan)->join.joinqual, notes);
			condition_walker((Node *) ((const MergeJoin *) plan)->mergeclauses, notes);
			break;
		case T_HashJoin:
			condition_walker((Node *) ((const HashJoin *) plan)->join.joinqual, notes);
			condition_walker((Node *) ((const HashJoin *) plan)->hashclauses, notes);
			break;
		case T_Result:
			condition_walker(((const Result *) plan)->resconstantqual, notes);
			break;
		case T_Append:
			look_at_all(notes, ((const Append *) plan)->appendplans);
			break;
		case T_MergeAppend:
			look_at_all(notes, ((const MergeAppend *) plan)->mergeplans);
			break;
		case T_SubqueryScan:
			look_at(notes, ((const SubqueryScan *) plan)->subplan);
			break;
		case T_IndexScan:
			note_index(notes, ((const IndexScan *) plan)->indexid);
			break;
		case T_IndexOnlyScan:
			note_index(notes, ((const IndexOnlyScan *) plan)->indexid);
			break;
		case T_BitmapIndexScan:
			note_index(notes, ((const BitmapIndexScan *) plan)->indexid);
			break;
		case T_BitmapAnd:
			look_at_all(notes, ((const BitmapAnd *) plan)->bitmapplans);
			break;
		case T_BitmapOr:
			look_at_all(notes, ((const BitmapOr *) plan)->bitmapplans);
			break;
		default:
			break;
	}
	look_at(notes, plan->lefttree);
	look_at(notes, plan->righttree);
}

/* Behind the plan; other formats are for programs, which expect no more than plans. */
static void
print_notes(const PlannedStmt *plan, ExplainState *es)
{
	Notes notes = {.objects = sdes_search_objects(), .plan = plan};
	ListCell *cell;

	if (plan == NULL || notes.objects == NULL || plan->commandType == CMD_UTILITY ||
	    es->format != EXPLAIN_FORMAT_TEXT)
		return;
	look_at(&notes, plan->planTree);
	look_at_all(&notes, plan->subplans);
	foreach (cell, notes.decrypting)
		ExplainPropertyText("Decrypts row by row", lfirst(cell), es);
	foreach (cell, notes.indexes)
		ExplainPropertyText("Larger than need be", lfirst(cell), es);
}

#if PG_VERSION_NUM < 170000
/* What the server does itself where there is no such hook. */
static void
standard_ExplainOneQuery(Query *query, int options, IntoClause *into, ExplainState *es,
                         const char *source, ParamListInfo params, QueryEnvironment *env)
{
	PlannedStmt *plan;
	instr_time start;
	instr_time duration;
	BufferUsage before = {0};
	BufferUsage used = {0};

	if (es->buffers)
		before = pgBufferUsage;
	INSTR_TIME_SET_CURRENT(start);
	plan = pg_plan_query(query, source, options, params);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	if (es->buffers)
		BufferUsageAccumDiff(&used, &pgBufferUsage, &before);
	ExplainOnePlan(plan, into, es, source, params, env, &duration,
	               es->buffers ? &used : NULL);
}
#endif

static void
explain(Query *query, int options, IntoClause *into, ExplainState *es, const char *source,
        ParamListInfo params, QueryEnvironment *env)
{
	PlannedStmt *plan = NULL;

	sdes_planner_note(&plan);
	PG_TRY();
	{
		if (previous_hook)
			previous_hook(query, options, into, es, source, params, env);
		else
			standard_ExplainOneQuery(query, options, into, es, source, params, env);
	}
	PG_FINALLY();
	{
		sdes_planner_note(NULL);
	}
	PG_END_TRY();
	print_notes(plan, es);
}

void
sdes_explain_init(void)
{
	previous_hook = ExplainOneQuery_hook;
	ExplainOneQuery_hook = explain;
}
