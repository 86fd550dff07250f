/*
 * leak_constants.c
 *		Constants of plain text that catalogs keep beside encrypted values.
 *
 * A literal that is compared with an encrypted column is sealed as it is read. One that is
 * text by itself ('x'::text), or that is compared with what a cast has opened
 * (email::text = 'x'), stays as it is in the catalog, and in every dump.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "sdes_compat.h"
#include "store/store.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

SDES_SQL_FUNCTION(sdes_keeps_plain_text);

/* text, varchar, char(n), or an array of them; of an encrypted type it is sealed. */
static bool
is_plain_text(Oid type)
{
	Oid element = get_element_type(type);
	Oid base = getBaseType(OidIsValid(element) ? element : type);

	return base == TEXTOID || base == VARCHAROID || base == BPCHAROID;
}

static bool
is_plain_constant(Node *node)
{
	ListCell *cell;

	if (node != NULL && IsA(node, RelabelType))
		return is_plain_constant((Node *) ((RelabelType *) node)->arg);
	if (node != NULL && IsA(node, ArrayExpr))
		foreach (cell, ((ArrayExpr *) node)->elements)
			if (is_plain_constant(lfirst(cell)))
				return true;
	return node != NULL && IsA(node, Const) && !((Const *) node)->constisnull &&
	       is_plain_text(((Const *) node)->consttype);
}

static bool
is_ours(Oid function)
{
	return OidIsValid(function) && get_func_namespace(function) == sdes_schema_oid();
}

/* Whether text comes of a function of ours in it: a cast, reveal(). */
static bool
opens(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && is_ours(((FuncExpr *) node)->funcid) &&
	    is_plain_text(((FuncExpr *) node)->funcresulttype))
		return true;
	return expression_tree_walker(node, opens, context);
}

/* =, <>, <, and so on: a pattern is no value. */
static bool
compares(Oid op)
{
	char *name = get_opname(op);

	return name != NULL && strspn(name, "<>=") == strlen(name);
}

/* Functions take a constant and seal it; operators compare it. */
static bool
is_beside_values(Oid function, Oid op, List *arguments)
{
	bool constant = false;
	bool opened = false;
	ListCell *cell;

	foreach (cell, arguments)
	{
		constant |= is_plain_constant(lfirst(cell));
		opened |= opens(lfirst(cell), NULL);
	}
	return constant && (is_ours(function) || (OidIsValid(op) && opened && compares(op)));
}

static bool
keeps_constant(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, keeps_constant, context, 0);
	if (IsA(node, FuncExpr) && is_beside_values(((FuncExpr *) node)->funcid, InvalidOid,
	                                            ((FuncExpr *) node)->args))
		return true;
	if ((IsA(node, OpExpr) || IsA(node, DistinctExpr) || IsA(node, NullIfExpr)) &&
	    is_beside_values(get_opcode(((OpExpr *) node)->opno), ((OpExpr *) node)->opno,
	                     ((OpExpr *) node)->args))
		return true;
	if (IsA(node, ScalarArrayOpExpr) &&
	    is_beside_values(get_opcode(((ScalarArrayOpExpr *) node)->opno),
	                     ((ScalarArrayOpExpr *) node)->opno,
	                     ((ScalarArrayOpExpr *) node)->args))
		return true;
	return expression_tree_walker(node, keeps_constant, context);
}

/* Of an expression, a query or lists of them, as a catalog keeps it. */
Datum
sdes_keeps_plain_text(PG_FUNCTION_ARGS)
{
	Node *tree = stringToNode(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_BOOL(keeps_constant(tree, NULL));
}
