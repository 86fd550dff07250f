/*
 * compare.h
 *		What operators and support functions are made of. Private to this room.
 */
#ifndef SDES_COMPARE_H
#define SDES_COMPARE_H

#include "fmgr.h"
#include "sdes_compat.h"
#include "types/types.h"

/* An SQL function in one line. */
#define SDES_FUNCTION(name, body)                                                          \
	SDES_SQL_FUNCTION(name);                                                               \
	Datum name(PG_FUNCTION_ARGS)                                                           \
	{                                                                                      \
		body;                                                                              \
	}

/* What an argument of an operator is. */
typedef enum SdesSide
{
	SDES_VALUE, /* encrypted */
	SDES_PLAIN  /* text */
} SdesSide;

/*
 * Compares the two arguments of a call by their tokens: negative, zero or positive, an
 * order without meaning. kind is SDES_TOKEN_EXACT, or SDES_TOKEN_LOWER: then a text on
 * the right counts as lower-cased already.
 *
 * Says that the result is NULL, and returns 0, in a constraint that cannot be judged while
 * a dump is restored.
 *
 * Raises errors that depend on what a value's header says and on the current user's
 * privileges, never on a plaintext (the operators are leakproof).
 */
extern int sdes_compare(const SdesType *type, SdesTokenKind kind, SdesSide left,
                        SdesSide right, PG_FUNCTION_ARGS);

/* Compares two values by their plaintext. */
extern int sdes_compare_order(const SdesType *type, PG_FUNCTION_ARGS);

/* Compares the tokens that two values carry; 0 when one carries none. */
extern int sdes_compare_carried(const SdesType *type, PG_FUNCTION_ARGS);

/*
 * Compares two values by their tokens of the search key that is to be; an error where one
 * has none. For indexes that are built for the time after a switch.
 */
extern int sdes_compare_next(SdesTokenKind kind, PG_FUNCTION_ARGS);

/* The token that goes with it. */
extern SdesToken sdes_next_token(SdesTokenKind kind, Datum argument);

/* The token by which an argument is hashed. */
extern SdesToken sdes_hash_token(const SdesType *type, SdesTokenKind kind, SdesSide side,
                                 Datum argument);

extern void sdes_compare_init(void);

#endif
