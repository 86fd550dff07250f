/*
 * door.h
 *		Which expressions of a query show encrypted values, and the calls of
 *		sdes.reveal() that show their text. Private to this room.
 */
#ifndef SDES_REVEAL_DOOR_H
#define SDES_REVEAL_DOOR_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "store/store.h"

/* How a type shows encrypted values. */
typedef enum SdesShape
{
	SDES_SHOWS_NONE,
	SDES_SHOWS_VALUE, /* is an encrypted type, or a domain over one */
	SDES_SHOWS_ARRAY, /* an array of them */
	SDES_SHOWS_ROW,   /* a composite type that has a column of these, or a record */
	SDES_SHOWS_ROWS   /* an array of those */
} SdesShape;

/* What a type is to clients; for any record it says that it may show values. */
extern SdesShape sdes_shape_of_type(const Oid types[SDES_NTYPES], Oid type);

/* The type of what reveal() gives for it. */
extern Oid sdes_shape_revealed_type(SdesShape shape);

/* What a rewrite needs to know, looked up once per statement. */
typedef struct SdesDoor
{
	Oid schema;
	Oid types[SDES_NTYPES]; /* by SdesEncType */
	List *queries;          /* that an expression stands in, the innermost first */
} SdesDoor;

/* False where there is no extension. */
extern bool sdes_door_find(SdesDoor *door);

/* Whether an expression of the innermost query shows encrypted values. */
extern bool sdes_door_shows(const SdesDoor *door, const Expr *value);

/*
 * What to put in place of such an expression: its text, for who may see it. It may
 * change the expression.
 */
extern Expr *sdes_door_reveal(const SdesDoor *door, Expr *value);

/* The same, but always one call around the whole. */
extern Expr *sdes_door_call(const SdesDoor *door, Expr *value);

/* Whether that is a call of reveal(); whether a query or expression has one in it. */
extern bool sdes_door_is_call(const SdesDoor *door, const Node *node);
extern bool sdes_door_is_in(const SdesDoor *door, const Node *node);

#endif
