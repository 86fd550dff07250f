/*
 * opened.h
 *		Which expressions carry text that an implicit cast has opened. Private to
 *		this room.
 */
#ifndef SDES_OPENED_H
#define SDES_OPENED_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/parsenodes.h"
#include "store/store.h"
#include "utils/hsearch.h"

#define SDES_NCASTS 3 /* to text, varchar and char(n) */

/* The types of this database and the functions of their casts to text, by SdesEncType. */
typedef struct SdesOpeners
{
	Oid types[SDES_NTYPES];
	Oid casts[SDES_NTYPES][SDES_NCASTS];
} SdesOpeners;

/*
 * One look through a statement, which ends at the first value that carries such text.
 * What it holds lives in the current memory context.
 */
typedef struct SdesSearch
{
	const SdesOpeners *openers;
	HTAB *columns; /* of queries, that were looked into; NULL: none yet */
	List *views;   /* View structs: their queries */
} SdesSearch;

/* A query and those around it. */
typedef struct SdesPlace
{
	SdesSearch *search;
	Query *query;
	struct SdesPlace *up; /* NULL for the outermost */
} SdesPlace;

/*
 * Whether the value of an expression that stands in that query carries such text.
 * Under an explicit cast it does not: that is the writer's own decision.
 */
extern bool sdes_carries_opened(Node *node, SdesPlace *place);

/* The same for a column of what a query returns. */
extern bool sdes_column_carries_opened(SdesPlace *place, AttrNumber column);

#endif
