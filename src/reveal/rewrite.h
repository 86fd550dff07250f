/*
 * rewrite.h
 *		The rewrite of a query whose result goes to a client. Private to this
 *		room.
 */
#ifndef SDES_REVEAL_REWRITE_H
#define SDES_REVEAL_REWRITE_H

#include "reveal/door.h"

/*
 * Puts sdes.reveal() around what a client's query shows, in place; for EXPLAIN and
 * DECLARE, in the query they hold. To do so twice is harmless.
 */
extern void sdes_rewrite(Query *query);

/*
 * The same around the arguments of functions that print any type, in a SELECT and
 * all queries within, or in the expressions of some entries of door's innermost one.
 */
extern void sdes_reveal_in_query(SdesDoor *door, Query *query);
extern void sdes_reveal_in_entries(SdesDoor *door, List *entries);

/* The same for one that a function, view or the like runs: its constants only. */
extern void sdes_rewrite_inside(Query *query);

/*
 * Where a cast to text opens a choice between encrypted values and constants, has the
 * constants be their own text.
 */
extern void sdes_open_own_constants(SdesDoor *door, Query *query);

/*
 * Before an entry that a sort or group clause refers to is changed: adds a copy that
 * nobody sees, to which it refers from now on. Returns the entries.
 */
extern List *sdes_keep_sorted(List *entries, TargetEntry *entry);

#endif
