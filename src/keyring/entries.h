/*
 * entries.h
 *		What this backend knows of keys: of each its row, and the key itself once it was
 *		fetched. Private to this room.
 *
 * Pointers are valid until the next sdes_entries_ready().
 */
#ifndef SDES_ENTRIES_H
#define SDES_ENTRIES_H

#include "postgres.h"

#include "keyring/freshness.h"
#include "keyring/keyring.h"

typedef struct SdesKeyEntry
{
	uint8 key_id[SDES_KEY_ID_SIZE]; /* hash key */
	SdesKey key;
	bool held; /* fetched and proven; key.aead or key.mac is there in mode cached */
	uint8 commitment[SDES_COMMITMENT_SIZE];
	uint8 binding[SDES_DEK_BINDING_SIZE]; /* what the commitment covers */
	SdesFreshness freshness;
	bool expired;          /* let go of for its age, and not had since */
	TimestampTz failed_at; /* of the last fetch that failed */
	TimestampTz needed_in; /* the last statement that it was made ready for */
} SdesKeyEntry;

/* In place of a purpose: the incoming search key. */
#define SDES_INCOMING_SEARCH ((SdesDekPurpose) (0x80 | SDES_PURPOSE_SEARCH))

typedef struct ActiveSlot
{
	uint8 bucket[SDES_UUID_SIZE];
	SdesDekPurpose purpose;
} ActiveSlot;

typedef struct SdesActiveEntry
{
	ActiveSlot slot; /* hash key */
	uint8 key_id[SDES_KEY_ID_SIZE];
	bool foreign; /* made by another database: seals nothing here */
} SdesActiveEntry;

/* Invalidation, and the age of keys. */
extern void sdes_entries_init(void);

/*
 * To be called before any of the rest: takes in news of sdes.dek and lets go of keys that
 * are too old. Reads no catalog where nothing may be waited for; an error there when
 * nothing is known yet.
 */
extern void sdes_entries_ready(void);

/* Whether news that arrived are still to be taken in, or nothing was ever known. */
extern bool sdes_entries_stale(void);

/* Another search key is to succeed the one in use. */
extern bool sdes_entries_incoming(void);

/* NULL when nothing is known of that key. */
extern SdesKeyEntry *sdes_entry_find(const uint8 *key_id);

/* The same, from its row if need be; NULL when there is no row. */
extern SdesKeyEntry *sdes_entry_of(const uint8 *key_id);

/* The active key of a bucket, or the incoming one; NULL if it has none. Looks for news. */
extern const SdesActiveEntry *sdes_entry_active(const uint8 *bucket,
                                                SdesDekPurpose purpose);

/*
 * Puts what a row says into its entry. A key that was fetched for a row that said
 * anything else is let go of, and so is one that opens nothing any more.
 */
extern SdesKeyEntry *sdes_entry_remember(const SdesDekRow *row);

/* Wipes the key; what its row says stays. */
extern void sdes_entry_let_go(SdesKeyEntry *entry);

/* Whether its state is one in which a key opens values. */
extern bool sdes_entry_opens(const SdesKeyEntry *entry);

#endif
