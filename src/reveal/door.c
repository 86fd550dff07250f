/*
 * door.c
 *		Expressions that show encrypted values, and sdes.reveal() around them.
 *
 * Where a choice or a row mixes columns with constants, each part is revealed for
 * itself: a constant is sealed under a key that nobody may decrypt with, and is its
 * own text again here. What the query groups by stays whole, or it would not be
 * that any more.
 */
#include "postgres.h"

#include "reveal/door.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "reveal/parameters.h"
#include "sdes_compat.h"
#include "types/types.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

bool
sdes_door_find(SdesDoor *door)
{
	door->schema = sdes_schema_oid();
	door->queries = NIL;
	sdes_type_oids(door->types);
	return OidIsValid(door->types[SDES_ENC_TEXT]);
}

/* sdes.reveal() of that argument; invalid in an older script's extension. */
static Oid
find_reveal(const SdesDoor *door, Oid argument)
{
	oidvector *arguments = buildoidvector(&argument, 1);

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("reveal"),
	                       PointerGetDatum(arguments), ObjectIdGetDatum(door->schema));
}

/* ---- which expressions show values ---- */

static bool
any_shows(const SdesDoor *door, const List *values)
{
	ListCell *cell;

	foreach (cell, values)
		if (sdes_door_shows(door, lfirst(cell)))
			return true;
	return false;
}

/* A record that FROM has there: a row of it, or a column of a subquery's. */
static bool
record_var_shows(const SdesDoor *door, const Var *var)
{
	SdesDoor inside = *door;
	const RangeTblEntry *rte;
	List *columns;

	if (var->varlevelsup >= (Index) list_length(door->queries))
		return true;
	rte = rt_fetch(var->varno,
	               ((const Query *) list_nth(door->queries, var->varlevelsup))->rtable);
	if (var->varattno == 0)
	{
		SDES_EXPAND_RTE(unconstify(RangeTblEntry *, rte), var->varno, var->varlevelsup,
		                &columns);
		return any_shows(door, columns);
	}
	if (rte->rtekind != RTE_SUBQUERY)
		return true;
	inside.queries = list_copy_tail(door->queries, var->varlevelsup);
	inside.queries = lcons(rte->subquery, inside.queries);
	return sdes_door_shows(
	    &inside, get_tle_by_resno(rte->subquery->targetList, var->varattno)->expr);
}

/* A record: as far as it can be told, else it may. */
static bool
record_shows(const SdesDoor *door, Expr *value)
{
	TupleDesc desc;
	bool shows = false;

	if (IsA(value, Var))
		return record_var_shows(door, (Var *) value);
	if (IsA(value, RowExpr))
		return any_shows(door, ((RowExpr *) value)->args);
	if (IsA(value, Const))
		return false;
	if (!IsA(value, FuncExpr) ||
	    get_expr_result_type((Node *) value, NULL, &desc) != TYPEFUNC_COMPOSITE)
		return true;
	for (int i = 0; i < desc->natts && !shows; i++)
		shows = sdes_shape_of_type(door->types, TupleDescAttr(desc, i)->atttypid) !=
		        SDES_SHOWS_NONE;
	return shows;
}

bool
sdes_door_shows(const SdesDoor *door, const Expr *value)
{
	Oid type = exprType((const Node *) value);

	if (sdes_shape_of_type(door->types, type) == SDES_SHOWS_NONE ||
	    sdes_door_is_call(door, (const Node *) value))
		return false;
	return type != RECORDOID || record_shows(door, unconstify(Expr *, value));
}

/* ---- their text ---- */

/* Of a domain's value what it is made of. */
static Expr *
without_domain(Expr *value, Oid base)
{
	if (base == exprType((Node *) value))
		return value;
	return (Expr *) makeRelabelType(value, base, -1, exprCollation((Node *) value),
	                                COERCE_IMPLICIT_CAST);
}

Expr *
sdes_door_call(const SdesDoor *door, Expr *value)
{
	Oid collation = exprCollation((Node *) value);
	Oid type = exprType((Node *) value);
	SdesShape shape = sdes_shape_of_type(door->types, type);
	Oid base = getBaseType(type);
	Oid function;

	if (shape == SDES_SHOWS_ARRAY)
		base = get_array_type(getBaseType(get_element_type(base)));
	function = find_reveal(door, shape == SDES_SHOWS_VALUE || shape == SDES_SHOWS_ARRAY
	                                 ? base
	                                 : sdes_shape_revealed_type(shape));
	if (!OidIsValid(function))
		return value;
	return (Expr *) makeFuncExpr(function, sdes_shape_revealed_type(shape),
	                             list_make1(without_domain(value, base)), collation,
	                             collation, COERCE_EXPLICIT_CALL);
}

static List *
all_revealed(const SdesDoor *door, List *values)
{
	ListCell *cell;

	foreach (cell, values)
		if (sdes_door_shows(door, lfirst(cell)))
			lfirst(cell) = sdes_door_reveal(door, lfirst(cell));
	return values;
}

/* coalesce(email, 'n/a') */
static Expr *
reveal_coalesce(const SdesDoor *door, CoalesceExpr *coalesce)
{
	coalesce->args = all_revealed(door, coalesce->args);
	coalesce->coalescetype = TEXTOID;
	return (Expr *) coalesce;
}

/* CASE WHEN ... THEN email ELSE 'none' END */
static Expr *
reveal_case(const SdesDoor *door, CaseExpr *choice)
{
	ListCell *cell;

	foreach (cell, choice->args)
	{
		CaseWhen *when = lfirst_node(CaseWhen, cell);

		when->result = sdes_door_reveal(door, when->result);
	}
	choice->defresult = sdes_door_reveal(door, choice->defresult);
	choice->casetype = TEXTOID;
	return (Expr *) choice;
}

/* GREATEST(email, 'm'): of what the role may see */
static Expr *
reveal_extreme(const SdesDoor *door, MinMaxExpr *extreme)
{
	extreme->args = all_revealed(door, extreme->args);
	extreme->minmaxtype = TEXTOID;
	return (Expr *) extreme;
}

/* ARRAY[email, 'none'] */
static Expr *
reveal_array(const SdesDoor *door, ArrayExpr *array)
{
	array->elements = all_revealed(door, array->elements);
	array->array_typeid = TEXTARRAYOID;
	array->element_typeid = TEXTOID;
	return (Expr *) array;
}

/* ROW(id, email) */
static Expr *
reveal_row(const SdesDoor *door, RowExpr *row)
{
	row->args = all_revealed(door, row->args);
	return (Expr *) row;
}

/*
 * A constant of the statement is its own text again. (While ciphertext is taken
 * as input it may be the constant of somebody else.)
 */
static Expr *
reveal_constant(const SdesDoor *door, Const *constant)
{
	Oid collation = exprCollation((Node *) constant);
	const SdesType *type = sdes_types[sdes_type_by_oid(door->types, constant->consttype)];
	struct varlena *value = (struct varlena *) DatumGetPointer(constant->constvalue);
	Datum plain;

	if (constant->constisnull)
		return (Expr *) makeNullConst(TEXTOID, -1, collation);
	if (sdes_value_takes_ciphertext() || !sdes_value_is_literal(value))
		return sdes_door_call(door, (Expr *) constant);
	plain = PointerGetDatum(sdes_value_literal(value, type));
	return (Expr *) makeConst(TEXTOID, -1, collation, -1, plain, false, false);
}

/* Whether the innermost query groups by that expression. */
static bool
is_grouped(const SdesDoor *door, const Expr *value)
{
	const Query *query = door->queries == NIL ? NULL : linitial(door->queries);
	ListCell *cell;

	if (query == NULL)
		return false;
	foreach (cell, query->groupClause)
		if (equal(get_sortgroupclause_expr(lfirst(cell), query->targetList), value))
			return true;
	return false;
}

/* What a client sends of its own is text. */
static Expr *
reveal_parameter(const SdesDoor *door, Param *parameter)
{
	Expr *text = sdes_parameter_as_text(parameter);

	return text != NULL ? text : sdes_door_call(door, (Expr *) parameter);
}

/* Of one value: a choice, a constant, a parameter. (Views are not in the tree yet.) */
static Expr *
reveal_value(const SdesDoor *door, Expr *value)
{
	switch (nodeTag(value))
	{
		case T_CoalesceExpr:
			return reveal_coalesce(door, (CoalesceExpr *) value);
		case T_CaseExpr:
			return reveal_case(door, (CaseExpr *) value);
		case T_MinMaxExpr:
			return reveal_extreme(door, (MinMaxExpr *) value);
		case T_Const:
			return reveal_constant(door, (Const *) value);
		case T_Param:
			return reveal_parameter(door, (Param *) value);
		default:
			return sdes_door_call(door, value);
	}
}

Expr *
sdes_door_reveal(const SdesDoor *door, Expr *value)
{
	Oid type = exprType((Node *) value);

	if (is_grouped(door, value))
		return sdes_door_call(door, value);
	if (sdes_type_by_oid(door->types, type) >= 0)
		return reveal_value(door, value);
	if (IsA(value, RowExpr) && type == RECORDOID)
		return reveal_row(door, (RowExpr *) value);
	if (IsA(value, ArrayExpr) &&
	    sdes_type_by_oid(door->types, ((ArrayExpr *) value)->element_typeid) >= 0)
		return reveal_array(door, (ArrayExpr *) value);
	return sdes_door_call(door, value);
}

/* ---- what has been rewritten ---- */

bool
sdes_door_is_call(const SdesDoor *door, const Node *node)
{
	const char *name;

	if (!IsA(node, FuncExpr) || ((const FuncExpr *) node)->funcid < FirstNormalObjectId)
		return false;
	name = get_func_name(((const FuncExpr *) node)->funcid);
	return name != NULL && strcmp(name, "reveal") == 0 &&
	       get_func_namespace(((const FuncExpr *) node)->funcid) == door->schema;
}

static bool
has_call(Node *node, void *door)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_call, door, 0);
	return sdes_door_is_call(door, node) || expression_tree_walker(node, has_call, door);
}

bool
sdes_door_is_in(const SdesDoor *door, const Node *node)
{
	return has_call(unconstify(Node *, node), unconstify(SdesDoor *, door));
}
