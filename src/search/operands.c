/*
 * operands.c
 *		The two sides of = and <>.
 *
 * A value without a token that is compared with one of a searchable column is opened
 * for it. That must not happen where an index compares, so it is made a text before: column
 * = other becomes column = other::text, which finds the same rows, by the same index.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "search/planner.h"
#include "utils/lsyscache.h"
#include "value/value.h"

/* What an operand's type says of its values. */
typedef enum Tokens
{
	TOKENS_UNKNOWN, /* any value, or a constant, which is a literal */
	TOKENS_NONE,
	TOKENS_CARRIED
} Tokens;

static Tokens
tokens_of(const Node *operand)
{
	int32 typmod = exprTypmod(operand);

	if (IsA(operand, Const))
		return TOKENS_UNKNOWN;
	if (typmod < 0)
		getBaseTypeAndTypmod(exprType(operand), &typmod);
	if (typmod < 0)
		return TOKENS_UNKNOWN;
	return typmod & SDES_SEARCHABLE ? TOKENS_CARRIED : TOKENS_NONE;
}

static Node *
opened(const SdesSearchObjects *objects, int type, Node *operand)
{
	return (Node *) makeFuncExpr(objects->openers[3 * type], TEXTOID, list_make1(operand),
	                             exprCollation(operand), InvalidOid, COERCE_IMPLICIT_CAST);
}

/* Which of the types' = or <> of two values an operator is; -1: none. */
static int
type_of_operator(const Oid *operators, Oid opno)
{
	for (int i = 0; i < SDES_NTYPES; i++)
		if (OidIsValid(opno) && operators[3 * i] == opno)
			return i;
	return -1;
}

static void
open_tokenless(const SdesSearchObjects *objects, const Oid *operators, OpExpr *node)
{
	int type = type_of_operator(operators, node->opno);
	Node *left;
	Node *right;

	if (type < 0)
		return;
	left = linitial(node->args);
	right = lsecond(node->args);
	if (tokens_of(left) == TOKENS_CARRIED && tokens_of(right) == TOKENS_NONE)
	{
		node->opno = operators[3 * type + 1];
		right = opened(objects, type, right);
	}
	else if (tokens_of(left) == TOKENS_NONE && tokens_of(right) == TOKENS_CARRIED)
	{
		node->opno = operators[3 * type + 2];
		left = opened(objects, type, left);
	}
	else
		return;
	node->opfuncid = get_opcode(node->opno);
	node->args = list_make2(left, right);
}

static bool
is_ours(const SdesSearchObjects *objects, Oid opno)
{
	for (size_t i = 0; i < lengthof(objects->equals); i++)
		if (OidIsValid(opno) &&
		    (objects->equals[i] == opno || objects->unequals[i] == opno))
			return true;
	return false;
}

static void
refuse_nondeterministic(const SdesSearchObjects *objects, Oid opno, Oid collation)
{
	if (!OidIsValid(collation) || collation == DEFAULT_COLLATION_OID ||
	    !is_ours(objects, opno) || get_collation_isdeterministic(collation))
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("encrypted values cannot be compared under a nondeterministic "
	                       "collation"),
	                errdetail("Equality of encrypted values is equality of their bytes."),
	                errhint("Compare the text, as in email::text = $1.")));
}

void
sdes_rewrite_operands(const SdesSearchObjects *objects, Expr *node)
{
	if (IsA(node, ScalarArrayOpExpr))
	{
		const ScalarArrayOpExpr *any = (const ScalarArrayOpExpr *) node;

		refuse_nondeterministic(objects, any->opno, any->inputcollid);
		return;
	}
	refuse_nondeterministic(objects, ((OpExpr *) node)->opno,
	                        ((OpExpr *) node)->inputcollid);
	open_tokenless(objects, objects->equals, (OpExpr *) node);
	open_tokenless(objects, objects->unequals, (OpExpr *) node);
}
