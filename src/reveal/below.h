/*
 * below.h
 *		A query that becomes the subquery, or the CTE, of another. Private to this
 *		room.
 */
#ifndef SDES_REVEAL_BELOW_H
#define SDES_REVEAL_BELOW_H

#include "postgres.h"

#include "nodes/parsenodes.h"

/*
 * Moves a query into a new one, which is returned, and leaves in its place a SELECT
 * over its first range table entry that has neither that nor a select list yet.
 */
extern Query *sdes_move_below(Query *query);

/* Such an entry with the names of the inner one's columns. */
extern RangeTblEntry *sdes_result_entry(RTEKind kind, const Query *inner);

/* Moves WITH up again: one that modifies data has to stay at the top. */
extern void sdes_hoist_with(Query *query, Query *inner);

#endif
