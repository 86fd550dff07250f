/*
 * rewrite.c
 *		Puts sdes.reveal() around the encrypted columns of what goes to a client:
 *		the select list of a top-level SELECT, and RETURNING.
 *
 * It happens at parse analysis, so that the client is told of a text column
 * and drivers treat it as one. It never depends on role or settings (reveal()
 * checks those when it runs), so that a cached plan stays right for whoever
 * executes it.
 *
 * Only the statement that the client itself sent is rewritten: the hook's text
 * must be the very string the session is executing, outside any utility
 * command. Views, functions, CREATE TABLE AS and the like keep ciphertext.
 * Rewriting twice is harmless: a rewritten column is text.
 */
#include "postgres.h"

#include "reveal/reveal.h"

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_node.h"
#include "policy/policy.h"
#include "reveal/batch.h"
#include "replication/walsender.h"
#include "store/store.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "types/types.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static post_parse_analyze_hook_type previous_analyze = NULL;
static ProcessUtility_hook_type previous_utility = NULL;
static int utility_depth = 0;

/* What a rewrite needs to know, looked up once per statement; by SdesEncType. */
typedef struct Door
{
	Oid types[SDES_NTYPES];
	Oid reveal[SDES_NTYPES]; /* sdes.reveal() of each */
} Door;

static bool
find_door(Door *door)
{
	Oid schema = sdes_schema_oid();

	sdes_type_oids(door->types);
	if (!OidIsValid(door->types[SDES_ENC_TEXT]))
		return false;
	for (int i = 0; i < SDES_NTYPES; i++)
	{
		oidvector *argument = buildoidvector(&door->types[i], 1);

		door->reveal[i] =
		    GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("reveal"),
		                    PointerGetDatum(argument), ObjectIdGetDatum(schema));
		if (!OidIsValid(door->reveal[i]))
			door->types[i] = InvalidOid; /* an older script's, or one half made */
	}
	return true;
}

/* The SdesEncType of an expression, or of what its domain is made of; else -1. */
static int
encrypted_type(const Door *door, const Expr *value)
{
	return sdes_type_by_oid(door->types, getBaseType(exprType((const Node *) value)));
}

static bool
is_encrypted(const Door *door, const TargetEntry *entry)
{
	return !entry->resjunk && encrypted_type(door, entry->expr) >= 0;
}

static bool
any_encrypted(const Door *door, const List *entries)
{
	ListCell *cell;

	foreach (cell, entries)
		if (is_encrypted(door, lfirst(cell)))
			return true;
	return false;
}

static Expr *
call_reveal(const Door *door, Expr *value)
{
	Oid collation = exprCollation((Node *) value);
	int type = encrypted_type(door, value);

	Assert(type >= 0);
	/* A domain's value is passed as what it is made of. */
	if (exprType((Node *) value) != door->types[type])
		value = (Expr *) makeRelabelType(value, door->types[type], -1, collation,
		                                 COERCE_IMPLICIT_CAST);
	return (Expr *) makeFuncExpr(door->reveal[type], TEXTOID, list_make1(value), collation,
	                             collation, COERCE_EXPLICIT_CALL);
}

static Expr *revealed(const Door *door, Expr *value);

static List *
all_revealed(const Door *door, List *values)
{
	List *result = NIL;
	ListCell *cell;

	foreach (cell, values)
		result = lappend(result, revealed(door, lfirst(cell)));
	return result;
}

/* coalesce(email, 'n/a') */
static Expr *
reveal_coalesce(const Door *door, CoalesceExpr *coalesce)
{
	coalesce->args = all_revealed(door, coalesce->args);
	coalesce->coalescetype = TEXTOID;
	return (Expr *) coalesce;
}

/* CASE WHEN ... THEN email ELSE 'none' END */
static Expr *
reveal_case(const Door *door, CaseExpr *choice)
{
	ListCell *cell;

	foreach (cell, choice->args)
	{
		CaseWhen *when = lfirst_node(CaseWhen, cell);

		when->result = revealed(door, when->result);
	}
	choice->defresult = revealed(door, choice->defresult);
	choice->casetype = TEXTOID;
	return (Expr *) choice;
}

/*
 * A constant of the statement is its own text again. (While ciphertext is taken
 * as input it may be the constant of somebody else.)
 */
static Expr *
reveal_constant(const Door *door, Const *constant)
{
	Oid collation = exprCollation((Node *) constant);
	const SdesType *type = sdes_types[encrypted_type(door, (Expr *) constant)];
	struct varlena *value = (struct varlena *) DatumGetPointer(constant->constvalue);
	Datum plain;

	if (constant->constisnull)
		return (Expr *) makeNullConst(TEXTOID, -1, collation);
	if (sdes_value_takes_ciphertext() || !sdes_value_is_literal(value))
		return call_reveal(door, (Expr *) constant);
	plain = PointerGetDatum(sdes_value_literal(value, type));
	return (Expr *) makeConst(TEXTOID, -1, collation, -1, plain, false, false);
}

/*
 * The text of an expression, for who may see it. Where a choice mixes columns
 * with constants, each branch is revealed for itself. (Constants of views and
 * defaults are not in the tree yet at parse analysis.)
 */
static Expr *
revealed(const Door *door, Expr *value)
{
	if (sdes_type_by_oid(door->types, exprType((Node *) value)) < 0)
		return call_reveal(door, value);
	switch (nodeTag(value))
	{
		case T_CoalesceExpr:
			return reveal_coalesce(door, (CoalesceExpr *) value);
		case T_CaseExpr:
			return reveal_case(door, (CaseExpr *) value);
		case T_Const:
			return reveal_constant(door, (Const *) value);
		default:
			return call_reveal(door, value);
	}
}

static void
wrap_in_place(const Door *door, List *entries)
{
	ListCell *cell;

	foreach (cell, entries)
	{
		TargetEntry *entry = lfirst(cell);

		if (is_encrypted(door, entry))
			entry->expr = revealed(door, entry->expr);
	}
}

/* The select list of SELECT ... FROM (inner), with the inner one's names. */
static List *
select_list_over(const Door *door, Query *inner)
{
	List *entries = NIL;
	ListCell *cell;

	foreach (cell, inner->targetList)
	{
		TargetEntry *from = lfirst(cell);
		Node *expr = (Node *) from->expr;
		Expr *column;
		TargetEntry *entry;

		if (from->resjunk)
			continue;
		column = (Expr *) makeVar(1, from->resno, exprType(expr), exprTypmod(expr),
		                          exprCollation(expr), 0);
		if (is_encrypted(door, from))
			column = call_reveal(door, column);
		entry = makeTargetEntry(column, list_length(entries) + 1,
		                        from->resname ? pstrdup(from->resname) : NULL, false);
		entries = lappend(entries, entry);
	}
	return entries;
}

static RangeTblEntry *
subquery_entry(Query *inner)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	ListCell *cell;
	List *names = NIL;

	foreach (cell, inner->targetList)
	{
		TargetEntry *entry = lfirst(cell);

		if (!entry->resjunk)
			names = lappend(
			    names, makeString(pstrdup(entry->resname ? entry->resname : "?column?")));
	}
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = inner;
	rte->alias = makeAlias("result", NIL);
	rte->eref = makeAlias("result", names);
	rte->inFromCl = true;
#if PG_VERSION_NUM < 160000
	rte->requiredPerms = 0;
#endif
	return rte;
}

/* Set operations: the whole query becomes a subquery of SELECT reveal(...). */
static void
wrap_as_subquery(const Door *door, Query *query)
{
	Query *inner = makeNode(Query);
	RangeTblRef *ref = makeNode(RangeTblRef);

	*inner = *query;
	inner->canSetTag = true;
	ref->rtindex = 1;

	memset(query, 0, sizeof(*query));
	query->type = T_Query;
	query->commandType = CMD_SELECT;
	query->querySource = inner->querySource;
	query->queryId = inner->queryId;
	query->canSetTag = inner->canSetTag;
	query->stmt_location = inner->stmt_location;
	query->stmt_len = inner->stmt_len;
	query->rtable = list_make1(subquery_entry(inner));
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	query->targetList = select_list_over(door, inner);
}

/*
 * Columns of UNION, INTERSECT and EXCEPT cannot be wrapped where they stand. A
 * data-modifying WITH has to stay at the top level; its set operation keeps
 * its ciphertext.
 */
static void
rewrite(Query *query)
{
	Door door;

	if (query->commandType == CMD_UTILITY || !find_door(&door))
		return;
	if (query->commandType != CMD_SELECT)
		wrap_in_place(&door, query->returningList);
	else if (query->setOperations == NULL)
		wrap_in_place(&door, query->targetList);
	else if (any_encrypted(&door, query->targetList) && !query->hasModifyingCTE)
		wrap_as_subquery(&door, query);
}

/*
 * A client's Describe of a kept statement may analyse it anew; the server has
 * then no current statement text. So it is when deferred triggers run at a
 * Sync; but whatever a function runs has a context that errors would tell of.
 */
static bool
is_described(void)
{
	return debug_query_string == NULL && ActivePortal == NULL && IsTransactionState() &&
	       error_context_stack == NULL;
}

static bool
is_for_client(const ParseState *pstate)
{
	return MyBackendType == B_BACKEND && utility_depth == 0 && !am_walsender &&
	       (pstate->p_sourcetext == debug_query_string || is_described());
}

static void
analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	if (previous_analyze)
		previous_analyze(pstate, query, jstate);
	sdes_policy_remember_login();
	if (is_for_client(pstate))
		rewrite(query);
}

static void
utility(PlannedStmt *pstmt, const char *source, bool read_only,
        ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *env,
        DestReceiver *dest, QueryCompletion *qc)
{
	utility_depth++;
	PG_TRY();
	{
		if (previous_utility)
			previous_utility(pstmt, source, read_only, context, params, env, dest, qc);
		else
			standard_ProcessUtility(pstmt, source, read_only, context, params, env, dest,
			                        qc);
	}
	PG_FINALLY();
	{
		utility_depth--;
	}
	PG_END_TRY();
}

void
sdes_reveal_init(void)
{
	previous_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
	sdes_batch_init();
}
