/*
 * rewrite.c
 *		Puts sdes.reveal() around the encrypted columns of what goes to a client:
 *		the select list, and RETURNING.
 *
 * It happens at parse analysis, so that the client is told of a text column
 * and drivers treat it as one. It never depends on role or settings (reveal()
 * checks those when it runs), so that a cached plan stays right for whoever
 * executes it.
 *
 * Sorting, grouping and DISTINCT are of the ciphertext, below reveal(): so is what
 * they write to disk. Rewriting twice is harmless: what was rewritten is text.
 */
#include "postgres.h"

#include "reveal/rewrite.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "reveal/below.h"
#include "tcop/utility.h"
#include "rewrite/rewriteManip.h"

/* pg_dump's, which wants ciphertext and is told apart by nothing else. */
#define DUMP_CURSOR "_pg_dump_cursor"

static bool
shows(const SdesDoor *door, const TargetEntry *entry)
{
	return !entry->resjunk && sdes_door_shows(door, entry->expr);
}

static bool
any_shows(const SdesDoor *door, const List *entries)
{
	ListCell *cell;

	foreach (cell, entries)
		if (shows(door, lfirst(cell)))
			return true;
	return false;
}

List *
sdes_keep_sorted(List *entries, TargetEntry *entry)
{
	TargetEntry *kept;

	if (entry->ressortgroupref == 0)
		return entries;
	kept = makeTargetEntry(copyObject(entry->expr), list_length(entries) + 1, NULL, true);
	kept->ressortgroupref = entry->ressortgroupref;
	entry->ressortgroupref = 0;
	return lappend(entries, kept);
}

static List *
wrap_in_place(const SdesDoor *door, List *entries)
{
	int n = list_length(entries);

	for (int i = 0; i < n; i++)
	{
		TargetEntry *entry = list_nth_node(TargetEntry, entries, i);

		if (!shows(door, entry))
			continue;
		entries = sdes_keep_sorted(entries, entry);
		entry->expr = sdes_door_reveal(door, entry->expr);
	}
	return entries;
}

/* Whether a query sorts by that entry, and does nothing else by it. */
static bool
is_only_sorted(const Query *query, const TargetEntry *entry)
{
	Index ref = entry->ressortgroupref;
	ListCell *cell;

	if (ref == 0 || get_sortgroupref_clause_noerr(ref, query->groupClause) != NULL)
		return false;
	foreach (cell, query->windowClause)
	{
		const WindowClause *window = lfirst_node(WindowClause, cell);

		if (get_sortgroupref_clause_noerr(ref, window->partitionClause) != NULL ||
		    get_sortgroupref_clause_noerr(ref, window->orderClause) != NULL)
			return false;
	}
	return true;
}

/*
 * Arrays and rows are compared element by element, which of encrypted ones is by
 * token. Who sorts by them is to get the order of what is shown.
 */
static void
sort_by_text(const SdesDoor *door, Query *query)
{
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Oid type = exprType((Node *) entry->expr);

		if (is_only_sorted(query, entry) && sdes_door_shows(door, entry->expr) &&
		    sdes_shape_of_type(door->types, type) != SDES_SHOWS_VALUE)
			entry->expr = sdes_door_reveal(door, entry->expr);
	}
}

/* ---- SELECT ... FROM (the query) ---- */

/* The select list over a query, with that one's names. */
static List *
select_list_over(const SdesDoor *door, Query *inner)
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
		if (shows(door, from))
			column = sdes_door_call(door, column);
		entry = makeTargetEntry(column, list_length(entries) + 1,
		                        from->resname ? pstrdup(from->resname) : NULL, false);
		entry->resorigtbl = from->resorigtbl;
		entry->resorigcol = from->resorigcol;
		entries = lappend(entries, entry);
	}
	return entries;
}

static RangeTblEntry *
subquery_entry(Query *inner)
{
	RangeTblEntry *rte = sdes_result_entry(RTE_SUBQUERY, inner);

	rte->subquery = inner;
	return rte;
}

/* DISTINCT, set operations: the query becomes a subquery of SELECT reveal(...). */
static void
wrap_as_subquery(SdesDoor *door, Query *query)
{
	Query *inner = sdes_move_below(query);

	if (inner->hasModifyingCTE)
		sdes_hoist_with(query, inner);
	query->rtable = list_make1(subquery_entry(inner));
	door->queries = list_make1(inner);
	query->targetList = select_list_over(door, inner);
}

/* ---- statements ---- */

/* Whether a copy of an expression would do something else, or do much a second time. */
static bool
stays_single(const SdesDoor *door, const TargetEntry *entry)
{
	Node *expr = (Node *) entry->expr;

	return entry->ressortgroupref != 0 && shows(door, entry) &&
	       (contain_volatile_functions(expr) || expression_returns_set(expr) ||
	        checkExprHasSubLink(expr));
}

static bool
can_be_wrapped_in_place(const SdesDoor *door, const Query *query)
{
	ListCell *cell;

	if (query->setOperations != NULL || query->distinctClause != NIL)
		return false;
	if (query->rowMarks != NIL)
		return true; /* a cursor over it may be for updates */
	foreach (cell, query->targetList)
		if (stays_single(door, lfirst_node(TargetEntry, cell)))
			return false;
	return true;
}

static void
rewrite_select(SdesDoor *door, Query *query)
{
	sdes_reveal_in_query(door, query);
	door->queries = list_make1(query);
	if (can_be_wrapped_in_place(door, query))
	{
		sort_by_text(door, query);
		query->targetList = wrap_in_place(door, query->targetList);
	}
	else if (any_shows(door, query->targetList))
		wrap_as_subquery(door, query);
}

static void
rewrite_with(SdesDoor *door, Query *query)
{
	sdes_open_own_constants(door, query);
	if (query->commandType == CMD_SELECT)
		rewrite_select(door, query);
	else
	{
		door->queries = list_make1(query);
		sdes_reveal_in_entries(door, query->returningList);
		query->returningList = wrap_in_place(door, query->returningList);
	}
}

/* EXPLAIN of CREATE TABLE AS stores nothing, but tells what that would do. */
static void
rewrite_held(Node *statement)
{
	if (IsA(statement, ExplainStmt))
		sdes_rewrite(castNode(Query, ((ExplainStmt *) statement)->query));
	else if (IsA(statement, DeclareCursorStmt) &&
	         strcmp(((DeclareCursorStmt *) statement)->portalname, DUMP_CURSOR) != 0)
		sdes_rewrite(castNode(Query, ((DeclareCursorStmt *) statement)->query));
}

void
sdes_rewrite(Query *query)
{
	SdesDoor door;

	if (query->commandType == CMD_UTILITY)
		rewrite_held(query->utilityStmt);
	else if (sdes_door_find(&door))
		rewrite_with(&door, query);
}

void
sdes_rewrite_inside(Query *query)
{
	Query *held = query->commandType == CMD_UTILITY
	                  ? UtilityContainsQuery(query->utilityStmt)
	                  : query;
	SdesDoor door;

	if (held != NULL && sdes_door_find(&door))
		sdes_open_own_constants(&door, held);
}
