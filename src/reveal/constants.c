/*
 * constants.c
 *		coalesce(email, '') ~* 'ada': a constant that was taken for one of an encrypted
 *		type, and is opened again by a cast to text.
 *
 * It is sealed as a literal, which opens for nobody. But it is text in the statement
 * that is being analysed, be it a client's, a function's or a view's: the cast moves into the
 * choice, to each of its values, and the constant is its own text again. All of the
 * statement is treated alike, so that equal expressions stay equal. What a query groups by
 * stays whole.
 */
#include "postgres.h"

#include "reveal/rewrite.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "reveal/parameters.h"
#include "types/types.h"
#include "utils/lsyscache.h"

static bool
is_choice(const Node *node)
{
	return IsA(node, CoalesceExpr) || IsA(node, CaseExpr) || IsA(node, MinMaxExpr);
}

/* A cast of an encrypted value to text, varchar or char. */
static bool
is_cast(const SdesDoor *door, const Node *node)
{
	const FuncExpr *call = (const FuncExpr *) node;

	return IsA(node, FuncExpr) && call->funcid >= FirstNormalObjectId &&
	       list_length(call->args) == 1 &&
	       sdes_type_by_oid(door->types, exprType(linitial(call->args))) >= 0 &&
	       get_func_namespace(call->funcid) == door->schema &&
	       strncmp(get_func_name(call->funcid), "to_", 3) == 0;
}

static bool
is_cast_choice(const SdesDoor *door, const Node *node)
{
	return is_cast(door, node) && is_choice(linitial(((const FuncExpr *) node)->args));
}

static Expr *cast_each(const SdesDoor *door, const FuncExpr *cast, Expr *value);

static List *
cast_all(const SdesDoor *door, const FuncExpr *cast, List *values)
{
	List *result = NIL;
	ListCell *cell;

	foreach (cell, values)
		result = lappend(result, cast_each(door, cast, lfirst(cell)));
	return result;
}

static Expr *
cast_case(const SdesDoor *door, const FuncExpr *cast, CaseExpr *choice)
{
	ListCell *cell;

	foreach (cell, choice->args)
	{
		CaseWhen *when = lfirst_node(CaseWhen, cell);

		when->result = cast_each(door, cast, when->result);
	}
	choice->defresult = cast_each(door, cast, choice->defresult);
	choice->casetype = cast->funcresulttype;
	return (Expr *) choice;
}

static Expr *
cast_constant(const SdesDoor *door, const FuncExpr *cast, Const *constant)
{
	const SdesType *type = sdes_types[sdes_type_by_oid(door->types, constant->consttype)];
	Datum plain = (Datum) 0;

	if (!constant->constisnull)
	{
		struct varlena *value = (struct varlena *) DatumGetPointer(constant->constvalue);

		if (sdes_value_takes_ciphertext() || !sdes_value_is_literal(value))
			return NULL;
		plain = PointerGetDatum(sdes_value_literal(value, type));
	}
	return (Expr *) makeConst(cast->funcresulttype, -1, cast->funccollid, -1, plain,
	                          constant->constisnull, false);
}

static Expr *
cast_each(const SdesDoor *door, const FuncExpr *cast, Expr *value)
{
	Expr *own = NULL;
	FuncExpr *call;

	switch (nodeTag(value))
	{
		case T_CoalesceExpr:
			((CoalesceExpr *) value)->args =
			    cast_all(door, cast, ((CoalesceExpr *) value)->args);
			((CoalesceExpr *) value)->coalescetype = cast->funcresulttype;
			return value;
		case T_MinMaxExpr:
			((MinMaxExpr *) value)->args =
			    cast_all(door, cast, ((MinMaxExpr *) value)->args);
			((MinMaxExpr *) value)->minmaxtype = cast->funcresulttype;
			return value;
		case T_CaseExpr:
			return cast_case(door, cast, (CaseExpr *) value);
		case T_Const:
			own = cast_constant(door, cast, (Const *) value);
			break;
		case T_Param:
			if (cast->funcresulttype == TEXTOID)
				own = sdes_parameter_as_text((Param *) value);
			break;
		default:
			break;
	}
	if (own != NULL)
		return own;
	call = copyObject((FuncExpr *) cast);
	call->args = list_make1(value);
	return (Expr *) call;
}

typedef struct Moving
{
	const SdesDoor *door;
	bool grouped; /* the query groups by a choice */
} Moving;

static bool
groups_by_choice(const SdesDoor *door, const Query *query)
{
	ListCell *cell;

	foreach (cell, query->groupClause)
	{
		const Node *by = get_sortgroupclause_expr(lfirst(cell), query->targetList);

		if (is_choice(by) && sdes_type_by_oid(door->types, exprType(by)) >= 0)
			return true;
	}
	return false;
}

static Node *with_own_constants(Node *node, void *moving);

static Query *
in_query(const SdesDoor *door, Query *query, int flags)
{
	Moving moving = {door, groups_by_choice(door, query)};

	return query_tree_mutator(query, with_own_constants, &moving, flags);
}

static Node *
with_own_constants(Node *node, void *context)
{
	const Moving *moving = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) in_query(moving->door, (Query *) node, 0);
	node = expression_tree_mutator(node, with_own_constants, context);
	if (!moving->grouped && is_cast_choice(moving->door, node))
		return (Node *) cast_each(moving->door, (FuncExpr *) node,
		                          linitial(((FuncExpr *) node)->args));
	return node;
}

static bool
has_cast_choice(Node *node, void *door)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_cast_choice, door, 0);
	return is_cast_choice(door, node) ||
	       expression_tree_walker(node, has_cast_choice, door);
}

void
sdes_open_own_constants(SdesDoor *door, Query *query)
{
	if (query_tree_walker(query, has_cast_choice, door, 0))
		in_query(door, query, QTW_DONT_COPY_QUERY);
}
