/*
 * honey.h
 *		Rows of sdes.honey: values that nobody has a reason to open.
 */
#ifndef SDES_STORE_HONEY_H
#define SDES_STORE_HONEY_H

#include "store/store.h"

/* By its nonce a value is known, as no other one has the same. */
typedef struct SdesHoneyRow
{
	uint8 nonce[SDES_NONCE_SIZE];
	uint8 bucket[SDES_UUID_SIZE];
	char label[SDES_NAME_MAX + 1]; /* what an officer calls it */
} SdesHoneyRow;

/* All of them, in an array in the current memory context; how many. */
extern int sdes_store_read_honey(SdesHoneyRow **rows);

/* An error when there is one of that nonce. */
extern void sdes_store_insert_honey(const SdesHoneyRow *row);

/* Those of a label, or of a nonce; the other one is NULL. How many there were. */
extern int sdes_store_delete_honey(const char *label, const uint8 *nonce);

#endif
