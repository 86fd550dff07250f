/*
 * lower.c
 *		lower(email) = $1, which shops use for logins, by token.
 *
 * A value of a 'searchable_ci' column carries a token of its lower-cased text.
 * lower(email) = $1 is whether that is the token of $1, lower-cased or not. Tokens
 * are made by the rules of value/lower.c; where the collation's lower() may follow
 * others, the statement is left as it is, and opens values row by row.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_database.h"
#include "catalog/pg_operator.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "search/planner.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"
#include "value/value.h"

/* Turkish, Azeri and Lithuanian have rules of their own; C knows ASCII only. */
static bool
is_plain_locale(const char *name)
{
	static const char *const others[] = {"tr_", "az_", "lt_"};

	if (strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0)
		return false;
	for (size_t i = 0; i < lengthof(others); i++)
		if (strncmp(name, others[i], strlen(others[i])) == 0)
			return false;
	return true;
}

/* A column of a catalog row as a C string; empty for NULL. */
static const char *
text_of(int cache, HeapTuple tuple, AttrNumber column)
{
	bool isnull;
	Datum value = SysCacheGetAttr(cache, tuple, column, &isnull);

	return isnull ? "" : TextDatumGetCString(value);
}

static bool
database_lowers_alike(void)
{
	HeapTuple tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	bool alike;

	if (!HeapTupleIsValid(tuple))
		return false;
#if PG_VERSION_NUM >= 150000
	alike = ((Form_pg_database) GETSTRUCT(tuple))->datlocprovider == COLLPROVIDER_LIBC &&
	        is_plain_locale(text_of(DATABASEOID, tuple, Anum_pg_database_datctype));
#else
	alike = is_plain_locale(NameStr(((Form_pg_database) GETSTRUCT(tuple))->datctype));
#endif
	ReleaseSysCache(tuple);
	return alike;
}

static bool
collation_lowers_alike(Oid collation)
{
	HeapTuple tuple;
	bool alike;

	if (collation == DEFAULT_COLLATION_OID)
		return database_lowers_alike();
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	if (!HeapTupleIsValid(tuple))
		return false;
#if PG_VERSION_NUM >= 150000
	alike = ((Form_pg_collation) GETSTRUCT(tuple))->collprovider == COLLPROVIDER_LIBC &&
	        is_plain_locale(text_of(COLLOID, tuple, Anum_pg_collation_collctype));
#else
	alike = ((Form_pg_collation) GETSTRUCT(tuple))->collprovider == COLLPROVIDER_LIBC &&
	        is_plain_locale(NameStr(((Form_pg_collation) GETSTRUCT(tuple))->collctype));
#endif
	ReleaseSysCache(tuple);
	return alike;
}

/* The column of lower(column::text), if it is 'searchable_ci'; else NULL. */
static Expr *
lowered_column(const SdesSearchObjects *objects, Expr *expr)
{
	const FuncExpr *lower = (const FuncExpr *) expr;
	const FuncExpr *cast;
	Expr *column;
	int32 typmod;

	/* In SQL_ASCII lower() knows bytes only, tokens know characters. */
	if (!IsA(expr, FuncExpr) || lower->funcid != F_LOWER_TEXT ||
	    GetDatabaseEncoding() == PG_SQL_ASCII)
		return NULL;
	cast = linitial(lower->args);
	if (!IsA(cast, FuncExpr) || cast->funcid != objects->enc_text_to_text)
		return NULL;
	column = linitial(cast->args);
	typmod = exprTypmod((Node *) column);
	if (typmod < 0 || !(typmod & SDES_SEARCHABLE_CI) ||
	    !collation_lowers_alike(lower->inputcollid))
		return NULL;
	return column;
}

static void
rewrite_equal(const SdesSearchObjects *objects, OpExpr *node)
{
	Expr *left;
	Expr *right;
	Expr *column;

	if (node->opno != TextEqualOperator)
		return;
	left = linitial(node->args);
	right = lsecond(node->args);
	column = lowered_column(objects, left);
	if (column == NULL)
	{
		column = lowered_column(objects, right);
		right = left;
	}
	if (column == NULL)
		return;
	node->opno = objects->ci_equal;
	node->opfuncid = objects->ci_equal_function;
	node->args = list_make2(column, right);
}

void
sdes_rewrite_lower(const SdesSearchObjects *objects, Expr *node)
{
	ScalarArrayOpExpr *any = (ScalarArrayOpExpr *) node;
	Expr *column;

	if (IsA(node, OpExpr))
	{
		rewrite_equal(objects, (OpExpr *) node);
		return;
	}
	if (any->opno != TextEqualOperator || !any->useOr)
		return;
	column = lowered_column(objects, linitial(any->args));
	if (column == NULL)
		return;
	any->opno = objects->ci_equal;
	any->opfuncid = objects->ci_equal_function;
	any->args = list_make2(column, lsecond(any->args));
}
