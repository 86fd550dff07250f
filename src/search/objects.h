/*
 * objects.h
 *		The operators and functions that statements are rewritten with. Private to
 *		this room.
 */
#ifndef SDES_OBJECTS_H
#define SDES_OBJECTS_H

#include "store/store.h"

/* The two orders of a type. */
typedef struct SdesOrders
{
	Oid token_less;
	Oid token_greater;
	Oid less; /* of plaintext */
	Oid greater;
	Oid equal; /* that goes with these two */
} SdesOrders;

typedef struct SdesComparison
{
	uint32 function; /* its hash value in the syscache, as plans remember it */
	bool with_text;  /* one side is a text, of which a token has to be made */
} SdesComparison;

typedef struct SdesSearchObjects
{
	Oid types[SDES_NTYPES];
	SdesOrders orders[SDES_NTYPES];
	Oid enc_text_to_text;         /* the cast's function */
	Oid openers[3 * SDES_NTYPES]; /* the functions of all casts that open values */
	Oid equals[3 * SDES_NTYPES]; /* = of two values, of one and a text, of a text and one */
	Oid unequals[3 * SDES_NTYPES]; /* <>, likewise */
	Oid ci_equal;                  /* =^ of a value and a text */
	Oid ci_equal_function;
	int ncomparisons;
	SdesComparison *comparisons; /* the functions by which an index is searched */
} SdesSearchObjects;

/* NULL in a database without the extension, or with half of it. */
extern const SdesSearchObjects *sdes_search_objects(void);

extern void sdes_objects_init(void);

#endif
