/*
 * opened.c
 *		Follows text that an implicit cast has opened through a statement, from the
 *		encrypted value to where the text ends up.
 *
 * It goes through everything whose result can hold text: functions, operators,
 * aggregates, branches of CASE, columns of subqueries, WITH, VALUES, set operations,
 * joins and views. A number, a date or a truth value holds none (length(email),
 * email = 'x'), an encrypted value has it sealed again, and an explicit cast ends
 * the search: it is how the writer says that plaintext is meant.
 *
 * What cannot be seen in the tree is not followed: variables of procedural languages,
 * and what a function opens inside.
 */
#include "postgres.h"

#include "types/opened.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

/* ---- types ---- */

static bool can_hold_text(const SdesOpeners *openers, Oid type);

static bool
any_column_can(const SdesOpeners *openers, Oid type)
{
	TupleDesc columns = lookup_rowtype_tupdesc_noerror(type, -1, true);
	bool can = false;

	if (columns == NULL)
		return true;
	for (int i = 0; i < columns->natts && !can; i++)
		can = !TupleDescAttr(columns, i)->attisdropped &&
		      can_hold_text(openers, TupleDescAttr(columns, i)->atttypid);
	ReleaseTupleDesc(columns);
	return can;
}

static bool
category_can(const SdesOpeners *openers, Oid base)
{
	char category;
	bool preferred;

	get_type_category_preferred(base, &category, &preferred);
	switch (category)
	{
		case TYPCATEGORY_STRING:
		case TYPCATEGORY_UNKNOWN:
		case TYPCATEGORY_USER: /* json, xml, bytea, hstore */
			return true;
		case TYPCATEGORY_PSEUDOTYPE:
			return base == RECORDOID || base == CSTRINGOID;
		case TYPCATEGORY_RANGE:
			return can_hold_text(openers, type_is_multirange(base)
			                                  ? get_multirange_range(base)
			                                  : get_range_subtype(base));
		default:
			return false;
	}
}

/* What needs no look into the catalog, since every statement is full of them. */
static bool
is_number_or_date(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

/* Of an encrypted type the text is sealed, so that is none. */
static bool
can_hold_text(const SdesOpeners *openers, Oid type)
{
	Oid base;
	Oid element;

	check_stack_depth();
	if (type == TEXTOID || type == VARCHAROID)
		return true;
	if (is_number_or_date(type))
		return false;
	base = getBaseType(type);
	if (sdes_type_by_oid(openers->types, base) >= 0)
		return false;
	element = get_element_type(base);
	if (OidIsValid(element))
		return can_hold_text(openers, element);
	if (type_is_rowtype(base) && base != RECORDOID)
		return any_column_can(openers, base);
	return category_can(openers, base);
}

/* ---- casts ---- */

static bool
is_encrypted(const SdesOpeners *openers, Node *node)
{
	return sdes_type_by_oid(openers->types, getBaseType(exprType(node))) >= 0;
}

static bool
is_opener(const SdesOpeners *openers, const Node *node)
{
	if (node == NULL || !IsA(node, FuncExpr))
		return false;
	for (int i = 0; i < SDES_NTYPES; i++)
		for (int j = 0; j < SDES_NCASTS; j++)
			if (((const FuncExpr *) node)->funcid == openers->casts[i][j])
				return true;
	return false;
}

/* What a coercion of that form coerces; NULL for anything else. */
static Node *
coerced(Node *node, CoercionForm form)
{
	if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcformat == form &&
	    ((FuncExpr *) node)->args != NIL)
		return linitial(((FuncExpr *) node)->args);
	if (IsA(node, RelabelType) && ((RelabelType *) node)->relabelformat == form)
		return (Node *) ((RelabelType *) node)->arg;
	if (IsA(node, CoerceToDomain) && ((CoerceToDomain *) node)->coercionformat == form)
		return (Node *) ((CoerceToDomain *) node)->arg;
	return NULL;
}

/*
 * email::varchar(20), email::some_domain: the parser marks the outer step of such a cast
 * as explicit and hides the inner ones, of which one opens, by marking them as implicit.
 */
static bool
is_explicit_opening(const SdesOpeners *openers, Node *node)
{
	node = coerced(node, COERCE_EXPLICIT_CAST);
	while (node != NULL && !is_opener(openers, node))
		node = coerced(node, COERCE_IMPLICIT_CAST);
	return node != NULL;
}

/* ---- where a column comes from ---- */

static bool carries(Node *node, void *context);

typedef struct Column
{
	Query *query; /* with the number, the hash key */
	AttrNumber number;
} Column;

typedef struct View
{
	Oid relid;
	Query *query;
} View;

static bool
query_column(SdesPlace *up, SdesSearch *search, Query *query, AttrNumber number)
{
	SdesPlace place = {search, query, up};

	return sdes_column_carries_opened(&place, number);
}

/* Its query, copied, since the relation cache may let go of its own. */
static Query *
view_query(SdesSearch *search, Oid relid)
{
	View *view;
	Relation relation;
	ListCell *cell;

	foreach (cell, search->views)
		if (((View *) lfirst(cell))->relid == relid)
			return ((View *) lfirst(cell))->query;
	relation = relation_open(relid, AccessShareLock);
	view = palloc(sizeof(View));
	view->relid = relid;
	view->query = copyObject(get_view_query(relation));
	relation_close(relation, NoLock);
	search->views = lappend(search->views, view);
	return view->query;
}

static bool
cte_column(SdesPlace *place, const RangeTblEntry *rte, AttrNumber number)
{
	ListCell *cell;

	for (Index i = 0; i < rte->ctelevelsup && place != NULL; i++)
		place = place->up;
	if (place == NULL)
		return false;
	foreach (cell, place->query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, cell);

		if (strcmp(cte->ctename, rte->ctename) == 0 && IsA(cte->ctequery, Query))
			return query_column(place, place->search, (Query *) cte->ctequery, number);
	}
	return false;
}

static bool
values_column(SdesPlace *place, const RangeTblEntry *rte, AttrNumber number)
{
	ListCell *cell;

	foreach (cell, rte->values_lists)
		if (carries(list_nth(lfirst_node(List, cell), number - 1), place))
			return true;
	return false;
}

/* A function in FROM has one or more columns of the entry. */
static bool
function_column(SdesPlace *place, const RangeTblEntry *rte, AttrNumber number)
{
	int before = 0;
	ListCell *cell;

	foreach (cell, rte->functions)
	{
		RangeTblFunction *function = lfirst_node(RangeTblFunction, cell);

		before += function->funccolcount;
		if (number <= before)
			return carries(function->funcexpr, place);
	}
	return false;
}

static bool
nth_carries(SdesPlace *place, List *expressions, AttrNumber number)
{
	return number <= list_length(expressions) &&
	       carries(list_nth(expressions, number - 1), place);
}

static bool
is_table(const RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && rte->relkind != RELKIND_VIEW;
}

static bool
entry_column(SdesPlace *place, RangeTblEntry *rte, AttrNumber number)
{
	switch (rte->rtekind)
	{
		case RTE_RELATION:
			return !is_table(rte) &&
			       query_column(NULL, place->search, view_query(place->search, rte->relid),
			                    number);
		case RTE_SUBQUERY:
			return query_column(place, place->search, rte->subquery, number);
		case RTE_CTE:
			return cte_column(place, rte, number);
		case RTE_VALUES:
			return values_column(place, rte, number);
		case RTE_FUNCTION:
			return function_column(place, rte, number);
		case RTE_TABLEFUNC:
			return carries(rte->tablefunc->docexpr, place) ||
			       nth_carries(place, rte->tablefunc->coldefexprs, number);
		case RTE_JOIN:
			return nth_carries(place, rte->joinaliasvars, number);
#if PG_VERSION_NUM >= 180000
		case RTE_GROUP:
			return nth_carries(place, rte->groupexprs, number);
#endif
		default:
			return false;
	}
}

/* A column, or with number 0 any column of the row. */
static bool
var_carries(SdesPlace *place, const Var *var)
{
	RangeTblEntry *rte;

	for (Index i = 0; i < var->varlevelsup && place != NULL; i++)
		place = place->up;
	if (place == NULL || var->varattno < 0 || IS_SPECIAL_VARNO(var->varno))
		return false;
	rte = rt_fetch(var->varno, place->query->rtable);
	if (var->varattno > 0)
		return entry_column(place, rte, var->varattno);
	for (int i = 1; i <= list_length(rte->eref->colnames); i++)
		if (entry_column(place, rte, i))
			return true;
	return false;
}

/* UPDATE t SET (a, b) = (SELECT ...): a junk entry holds the subquery. */
static bool
multi_carries(SdesPlace *place, const Param *param)
{
	ListCell *cell;

	foreach (cell, place->query->targetList)
	{
		SubLink *link = (SubLink *) lfirst_node(TargetEntry, cell)->expr;

		if (IsA(link, SubLink) && link->subLinkType == MULTIEXPR_SUBLINK &&
		    link->subLinkId == param->paramid >> 16)
			return query_column(place, place->search, (Query *) link->subselect,
			                    param->paramid & 0xFFFF);
	}
	return false;
}

/*
 * Of a set operation's branches. One that is encrypted where the whole is not has its
 * cast put in by the planner.
 */
static bool
branch_carries(SdesPlace *place, Node *branch, AttrNumber number, Oid whole)
{
	SetOperationStmt *operation = (SetOperationStmt *) branch;
	const SdesOpeners *openers = place->search->openers;
	Query *query;
	TargetEntry *entry;

	check_stack_depth();
	if (IsA(branch, SetOperationStmt))
		return branch_carries(place, operation->larg, number, whole) ||
		       branch_carries(place, operation->rarg, number, whole);
	query = rt_fetch(((RangeTblRef *) branch)->rtindex, place->query->rtable)->subquery;
	entry = get_tle_by_resno(query->targetList, number);
	if (entry == NULL)
		return false;
	if (is_encrypted(openers, (Node *) entry->expr))
		return can_hold_text(openers, whole);
	return query_column(place, place->search, query, number);
}

static bool
look_into_column(SdesPlace *place, AttrNumber number)
{
	Query *query = place->query;
	List *entries =
	    query->commandType == CMD_SELECT ? query->targetList : query->returningList;
	TargetEntry *entry = get_tle_by_resno(entries, number);

	if (entry == NULL)
		return false;
	if (query->setOperations != NULL)
		return branch_carries(place, query->setOperations, number,
		                      exprType((Node *) entry->expr));
	return carries((Node *) entry->expr, place);
}

/* Notes that a column is looked into; true when it was before. */
static bool
is_old(SdesPlace *place, AttrNumber number)
{
	Column key;
	bool found;

	if (place->search->columns == NULL)
	{
		HASHCTL ctl = {0};

		ctl.keysize = ctl.entrysize = sizeof(Column);
		ctl.hcxt = CurrentMemoryContext;
		place->search->columns =
		    hash_create("sdes columns", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	memset(&key, 0, sizeof(key));
	key.query = place->query;
	key.number = number;
	hash_search(place->search->columns, &key, HASH_ENTER, &found);
	return found;
}

/*
 * Each column is looked into once, or queries nested in each other would take for ever,
 * and WITH RECURSIVE too. If one had carried anything, the search would have ended.
 */
bool
sdes_column_carries_opened(SdesPlace *place, AttrNumber number)
{
	return !is_old(place, number) && look_into_column(place, number);
}

/* ---- expressions ---- */

/* What an aggregate sorts its input by does not get into the result. */
static bool
arguments_carry(SdesPlace *place, List *arguments)
{
	ListCell *cell;

	foreach (cell, arguments)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (!entry->resjunk && carries((Node *) entry->expr, place))
			return true;
	}
	return false;
}

/* Conditions decide which branch it is, and are no part of it. */
static bool
case_carries(SdesPlace *place, CaseExpr *choice)
{
	ListCell *cell;

	foreach (cell, choice->args)
		if (carries((Node *) lfirst_node(CaseWhen, cell)->result, place))
			return true;
	return carries((Node *) choice->defresult, place);
}

static bool
sublink_carries(SdesPlace *place, SubLink *link)
{
	return (link->subLinkType == EXPR_SUBLINK || link->subLinkType == ARRAY_SUBLINK) &&
	       query_column(place, place->search, (Query *) link->subselect, 1);
}

/* An encrypted value that gets into another string type by way of its output. */
static bool
is_implicit_output(const SdesOpeners *openers, const CoerceViaIO *cast)
{
	return cast->coerceformat == COERCE_IMPLICIT_CAST &&
	       is_encrypted(openers, (Node *) cast->arg);
}

static bool
expression_carries(Node *node, SdesPlace *place)
{
	switch (nodeTag(node))
	{
		case T_Var:
			return var_carries(place, (Var *) node);
		case T_Param:
			return ((Param *) node)->paramkind == PARAM_MULTIEXPR &&
			       multi_carries(place, (Param *) node);
		case T_Aggref:
			return arguments_carry(place, ((Aggref *) node)->args);
		case T_WindowFunc:
			return carries((Node *) ((WindowFunc *) node)->args, place);
		case T_CaseExpr:
			return case_carries(place, (CaseExpr *) node);
		case T_SubLink:
			return sublink_carries(place, (SubLink *) node);
		case T_CoerceViaIO:
			return is_implicit_output(place->search->openers, (CoerceViaIO *) node) ||
			       carries((Node *) ((CoerceViaIO *) node)->arg, place);
		default:
			return expression_tree_walker(node, carries, place);
	}
}

/* Constants, and columns of tables: nothing was opened on the way to these. */
static bool
is_beginning(Node *node, const SdesPlace *place)
{
	const Var *var = (Var *) node;

	if (IsA(node, Const))
		return true;
	return IsA(node, Var) && var->varlevelsup == 0 && !IS_SPECIAL_VARNO(var->varno) &&
	       is_table(rt_fetch(var->varno, place->query->rtable));
}

static bool
carries(Node *node, void *context)
{
	SdesPlace *place = context;
	const SdesOpeners *openers = place->search->openers;

	if (node == NULL || is_beginning(node, place))
		return false;
	check_stack_depth();
	if (IsA(node, List))
		return expression_tree_walker(node, carries, place);
	if (is_opener(openers, node))
		return ((FuncExpr *) node)->funcformat == COERCE_IMPLICIT_CAST;
	return can_hold_text(openers, exprType(node)) && !is_explicit_opening(openers, node) &&
	       expression_carries(node, place);
}

bool
sdes_carries_opened(Node *node, SdesPlace *place)
{
	return carries(node, place);
}
