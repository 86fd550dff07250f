/*
 * sdes_recent.h
 *		A few entries of a hash table at hand.
 *
 * What is asked for per value (a key by its id, a bucket by its hash) is one of the same
 * few for millions of values. To compare with the entry had last costs a tenth of a
 * search. Who removes an entry from its table, or the table, forgets all of them first.
 */
#ifndef SDES_RECENT_H
#define SDES_RECENT_H

#include "postgres.h"

#include "utils/hsearch.h"

#define SDES_RECENT 16

typedef struct SdesRecent
{
	void *entries[SDES_RECENT]; /* each begins with its key; NULL: none */
} SdesRecent;

/*
 * An entry of a table by its key of that size; NULL if there is none. Different keys
 * should differ in the hint, but need not.
 */
static inline void *
sdes_recent_find(SdesRecent *recent, HTAB *table, const void *key, Size size, uint8 hint)
{
	void **entry = &recent->entries[hint % SDES_RECENT];

	if (*entry == NULL || memcmp(*entry, key, size) != 0)
		*entry = hash_search(table, key, HASH_FIND, NULL);
	return *entry;
}

static inline void
sdes_recent_forget(SdesRecent *recent)
{
	memset(recent, 0, sizeof(*recent));
}

#endif
