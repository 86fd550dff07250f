/*
 * planner.h
 *		Rewriting of statements as they are planned. Private to this room.
 */
#ifndef SDES_PLANNER_H
#define SDES_PLANNER_H

#include "nodes/primnodes.h"
#include "search/objects.h"

extern void sdes_planner_init(void);

/*
 * Turns lower(column) = text, or = ANY of texts, into column =^ text where the column
 * is 'searchable_ci'. node is an OpExpr or a ScalarArrayOpExpr, changed in place.
 */
extern void sdes_rewrite_lower(const SdesSearchObjects *objects, Expr *node);

#endif
