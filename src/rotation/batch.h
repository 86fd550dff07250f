/*
 * batch.h
 *		One bounded step through the rows of a relation. Private to this room.
 */
#ifndef SDES_BATCH_H
#define SDES_BATCH_H

#include "postgres.h"

#include "rotation/relations.h"
#include "rotation/tracked.h"
#include "storage/block.h"

typedef struct SdesBatch
{
	int max_rows;       /* so many are re-encrypted, and those on the same page */
	BlockNumber next;   /* where to begin; then, where the next batch begins */
	BlockNumber blocks; /* that the relation has */
	bool end;           /* the last of them was seen */
	int64 found;        /* values under keys that are due */
	int64 rows;         /* re-encrypted */
	int64 bytes;        /* of those, without what is out of line */
	int64 skipped;      /* rows with values that are due, but locked or just changed */
} SdesBatch;

/*
 * Looks at some pages, counts in *set what values are under which keys, and seals
 * anew, in the current transaction, what is under keys that are due. Rows that others
 * have locked are left to a later pass: it waits for nobody. No trigger, rule, policy
 * or constraint of the relation comes into it, since no value changes but in its
 * ciphertext; replicas get the new ciphertext as that of an UPDATE.
 *
 * The caller holds RowExclusiveLock on the relation and has a snapshot pushed.
 */
extern void sdes_batch_run(Relation rel, const SdesRowShape *shape, SdesTrackedSet *set,
                           SdesBatch *batch);

/* The same without changing anything. */
extern void sdes_batch_count(Relation rel, const SdesRowShape *shape, SdesTrackedSet *set,
                             SdesBatch *batch);

#endif
