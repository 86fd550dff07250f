/*
 * planner.h
 *		Rewriting of statements as they are planned. Private to this room.
 */
#ifndef SDES_PLANNER_H
#define SDES_PLANNER_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "search/objects.h"

extern void sdes_planner_init(void);

/* foreign.c */
extern void sdes_foreign_init(void);

/* Has the plan that is made next put into *plan, too; NULL: no more. For EXPLAIN. */
extern void sdes_planner_note(PlannedStmt **plan);

/*
 * Turns lower(column) = text, or = ANY of texts, into column =^ text where the column
 * is 'searchable_ci'. node is an OpExpr or a ScalarArrayOpExpr, changed in place.
 */
extern void sdes_rewrite_lower(const SdesSearchObjects *objects, Expr *node);

/*
 * Where one side of = or <> carries tokens and the other none, the other is made a text.
 * An error under a nondeterministic collation. node is of the same kinds.
 */
extern void sdes_rewrite_operands(const SdesSearchObjects *objects, Expr *node);

/*
 * Arrays and rows of encrypted values would be put in the order of tokens: an error, where
 * a query sorts by one, or an expression compares two by <, <=, > or >=, or takes the
 * greatest or least.
 */
extern void sdes_refuse_container_sorts(const SdesSearchObjects *objects,
                                        const Query *query);
extern void sdes_refuse_container_order(const SdesSearchObjects *objects, const Node *node);

#endif
