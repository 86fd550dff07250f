/*
 * choices.c
 *		lower(coalesce(email, 'none')): a constant in a choice that is made a text.
 *
 * The parser takes the constant for one of the column's type, seals it as a literal, and
 * has the choice opened; but literals open for nobody. So the cast moves into the
 * branches, where the constant is its own text again: lower(coalesce(email::text, 'none')).
 *
 * Only constants that this very analysis has sealed are opened: they are text in the
 * statement. While ciphertext is taken as input they may be somebody else's.
 */
#include "postgres.h"

#include "types/choices.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/analyze.h"
#include "tcop/utility.h"
#include "types/types.h"
#include "utils/lsyscache.h"

static post_parse_analyze_hook_type previous_analyze = NULL;

typedef struct Choices
{
	Oid types[SDES_NTYPES];
	Oid schema;
	bool grouped; /* the query groups by one, which must stay whole */
} Choices;

static int
encrypted(const Choices *choices, const Node *node)
{
	return sdes_type_by_oid(choices->types, exprType(node));
}

static bool
is_choice(const Node *node)
{
	return IsA(node, CoalesceExpr) || IsA(node, CaseExpr) || IsA(node, MinMaxExpr);
}

/* A cast of a choice to text, varchar or char(n). */
static bool
opens_choice(const Choices *choices, const Node *node)
{
	const FuncExpr *cast = (const FuncExpr *) node;
	const Node *argument;

	if (!IsA(node, FuncExpr) || cast->funcid < FirstNormalObjectId ||
	    list_length(cast->args) != 1 || cast->funcformat == COERCE_EXPLICIT_CALL)
		return false;
	argument = linitial(cast->args);
	return is_choice(argument) && encrypted(choices, argument) >= 0 &&
	       get_func_namespace(cast->funcid) == choices->schema;
}

static Expr *opened(const Choices *choices, const FuncExpr *cast, Expr *branch);

static List *
all_opened(const Choices *choices, const FuncExpr *cast, List *branches)
{
	List *result = NIL;
	ListCell *cell;

	foreach (cell, branches)
		result = lappend(result, opened(choices, cast, lfirst(cell)));
	return result;
}

static Expr *
opened_case(const Choices *choices, const FuncExpr *cast, CaseExpr *choice)
{
	ListCell *cell;

	foreach (cell, choice->args)
	{
		CaseWhen *when = lfirst_node(CaseWhen, cell);

		when->result = opened(choices, cast, when->result);
	}
	choice->defresult = opened(choices, cast, choice->defresult);
	choice->casetype = cast->funcresulttype;
	return (Expr *) choice;
}

static Expr *
opened_constant(const Choices *choices, const FuncExpr *cast, const Const *constant)
{
	const SdesType *type = sdes_types[encrypted(choices, (const Node *) constant)];
	Datum plain = (Datum) 0;

	if (!constant->constisnull)
		plain = PointerGetDatum(sdes_value_literal(
		    (struct varlena *) DatumGetPointer(constant->constvalue), type));
	return (Expr *) makeConst(cast->funcresulttype, -1, constant->constcollid, -1, plain,
	                          constant->constisnull, false);
}

static bool
is_literal(const Expr *branch)
{
	const Const *constant = (const Const *) branch;

	return IsA(branch, Const) && (constant->constisnull ||
	                              sdes_value_is_literal((struct varlena *) DatumGetPointer(
	                                  constant->constvalue)));
}

/* A branch as the cast's result; each has a cast of its own, of the same form. */
static Expr *
opened(const Choices *choices, const FuncExpr *cast, Expr *branch)
{
	FuncExpr *own;

	if (is_literal(branch))
		return opened_constant(choices, cast, (const Const *) branch);
	switch (nodeTag(branch))
	{
		case T_CoalesceExpr:
			((CoalesceExpr *) branch)->args =
			    all_opened(choices, cast, ((CoalesceExpr *) branch)->args);
			((CoalesceExpr *) branch)->coalescetype = cast->funcresulttype;
			return branch;
		case T_MinMaxExpr:
			((MinMaxExpr *) branch)->args =
			    all_opened(choices, cast, ((MinMaxExpr *) branch)->args);
			((MinMaxExpr *) branch)->minmaxtype = cast->funcresulttype;
			return branch;
		case T_CaseExpr:
			return opened_case(choices, cast, (CaseExpr *) branch);
		default:
			own = makeNode(FuncExpr);
			*own = *cast;
			own->args = list_make1(branch);
			return (Expr *) own;
	}
}

static bool
groups_by_choice(const Choices *choices, const Query *query)
{
	ListCell *cell;

	foreach (cell, query->groupClause)
	{
		const Node *by = get_sortgroupclause_expr(lfirst(cell), query->targetList);

		if (is_choice(by) && encrypted(choices, by) >= 0)
			return true;
	}
	return false;
}

static Node *move_casts(Node *node, void *context);

static Query *
move_in_query(const Choices *choices, Query *query, int flags)
{
	Choices inner = *choices;

	inner.grouped = groups_by_choice(choices, query);
	return query_tree_mutator(query, move_casts, &inner, flags);
}

static Node *
move_casts(Node *node, void *context)
{
	const Choices *choices = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) move_in_query(choices, (Query *) node, 0);
	if (!choices->grouped && opens_choice(choices, node))
		node = (Node *) opened(context, (FuncExpr *) node,
		                       copyObject(linitial(((FuncExpr *) node)->args)));
	return expression_tree_mutator(node, move_casts, context);
}

static bool
has_one(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_one, context, 0);
	return opens_choice(context, node) || expression_tree_walker(node, has_one, context);
}

static void
move_all(Query *query)
{
	Choices choices = {.schema = sdes_schema_oid()};

	if (!OidIsValid(choices.schema) || sdes_value_takes_ciphertext())
		return;
	sdes_type_oids(choices.types);
	if (has_one((Node *) query, &choices))
		move_in_query(&choices, query, QTW_DONT_COPY_QUERY);
}

static void
analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	Query *held = query->commandType == CMD_UTILITY
	                  ? UtilityContainsQuery(query->utilityStmt)
	                  : query;

	if (held != NULL)
		move_all(held);
	if (previous_analyze)
		previous_analyze(pstate, query, jstate);
}

void
sdes_choices_init(void)
{
	previous_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze;
}
