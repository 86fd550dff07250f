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

typedef struct SdesSearchObjects
{
	Oid types[SDES_NTYPES];
	SdesOrders orders[SDES_NTYPES];
	Oid enc_text_to_text; /* the cast's function */
	Oid ci_equal;         /* =^ of a value and a text */
	Oid ci_equal_function;
	int ncomparisons;
	uint32 *comparisons; /* syscache hash values of the functions that an index can need */
} SdesSearchObjects;

/* NULL in a database without the extension, or with half of it. */
extern const SdesSearchObjects *sdes_search_objects(void);

extern void sdes_objects_init(void);

#endif
