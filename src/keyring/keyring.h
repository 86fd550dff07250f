/*
 * keyring.h
 *		The data encryption keys this backend has open.
 *
 * A key is fetched from the agent at its first use, checked against its row's
 * commitment, expanded, and kept until its row changes, it gets too old or the
 * backend ends. Pointers are valid until the next call into this room, and never
 * beyond the transaction: use the key at once.
 *
 * In mode hsm no key comes here. What is fetched then is the proof of the row,
 * which is checked in the same way and not kept; the values go to the HSM.
 *
 * Index comparisons call in here where nothing may be waited for (sdes_must_not_wait()):
 * what is known and at hand is given, changes of rows
 * are taken in at the next call without a lock. sdes_keyring_prepare() comes first.
 *
 * A row's change is noticed at the next use through relcache invalidation, in a
 * statement under way as well. A key that is gone from the HSM is noticed when the
 * cached one gets stale (sdes.key_cache_ttl).
 */
#ifndef SDES_KEYRING_H
#define SDES_KEYRING_H

#include "postgres.h"

#include "agentlink/agentlink.h"
#include "store/store.h"

typedef struct SdesKey
{
	uint8 key_id[SDES_KEY_ID_SIZE];
	uint8 bucket[SDES_UUID_SIZE];
	uint32 version;
	SdesDekPurpose purpose;
	SdesDekMode mode;
	SdesKeyState state;
	uint8 kek_id[SDES_KEK_ID_SIZE]; /* seals the values, in mode hsm */
	SdesAead *aead; /* under the sealing key; NULL in mode hsm and for a search key */
	SdesMac *mac;   /* of a search key */
} SdesKey;

/* What is known of a key without having it. */
typedef struct SdesKeyOwner
{
	uint8 bucket[SDES_UUID_SIZE];
	SdesDekPurpose purpose; /* tells a literal from a stored value */
	SdesDekMode mode;
} SdesKeyOwner;

extern void sdes_keyring_init(void);

/*
 * Has a bucket's key made in a transaction of another process, at once. False when
 * nobody will.
 */
typedef bool (*SdesKeyMaker)(const uint8 *bucket);

/* Who does that; once, from _PG_init of a preloaded library. */
extern void sdes_keyring_set_maker(SdesKeyMaker maker);

/*
 * The key new values of that bucket are sealed under; an error if there is none. One that
 * another database made is none: then one of this database's own is waited for, which
 * another process makes and commits.
 */
extern const SdesKey *sdes_keyring_active(const uint8 *bucket, SdesDekPurpose purpose);

/*
 * The key of an envelope, in a state that may open; an error if the id is
 * unknown here, the key is retired or it cannot be had.
 */
extern const SdesKey *sdes_keyring_by_id(const uint8 *key_id);

/*
 * The same for re-encryption, which opens what is under a retired key, too. What it
 * opens must not leave the server's memory.
 */
extern const SdesKey *sdes_keyring_for_renewal(const uint8 *key_id);

/*
 * The same for a restore: NULL when the id is unknown, the key opens nothing any more or
 * cannot be had now.
 */
extern const SdesKey *sdes_keyring_try(const uint8 *key_id);

/* Has sdes_keyring_try() return NULL for a while: the HSM did not open a value. */
extern void sdes_keyring_unreachable(const uint8 *key_id);

/* The key that makes search tokens; an error if there is none or it cannot be had. */
extern const SdesKey *sdes_keyring_search(void);

/* Whether it can be had, at once. */
extern bool sdes_keyring_can_search(void);

/*
 * The search key whose tokens values get besides, while one is to succeed the other;
 * NULL when there is none.
 */
extern const SdesKey *sdes_keyring_search_next(void);

/*
 * Numbers of the two, as tokens carry them; 0 for one that there is not. Right for as long
 * as a table with tokens is locked, also where nothing may be waited for.
 */
typedef struct SdesSearchKeys
{
	uint32 current;
	uint32 next;
} SdesSearchKeys;

extern SdesSearchKeys sdes_keyring_search_keys(void);

/*
 * Before a statement that compares under locks: reads what rows say and tries to have
 * the search key and the literal key at hand. What cannot be had is for the
 * comparison to report that needs it, but interrupts end it. likely: they will be
 * needed; else an agent or HSM that is not there is not waited for.
 */
extern void sdes_keyring_prepare(bool likely);

/*
 * Which bucket's key an envelope names, without fetching the key; false when
 * the id is unknown. As the row says, which is held against its commitment when the key
 * is fetched: that the key is of this bucket is to be seen then.
 */
extern bool sdes_keyring_owner(const uint8 *key_id, SdesKeyOwner *owner);

/* The state of a key; an error when its id is unknown. */
extern SdesKeyState sdes_keyring_state(const uint8 *key_id);

/* The system bucket; NULL before the first bucket is made. */
extern const SdesBucketRow *sdes_keyring_find_system_bucket(void);

/* The bucket that a type modifier names, cached; NULL if there is none. */
extern const SdesBucketRow *sdes_keyring_find_bucket(int32 hash);

/* The same; an error if there is none. */
extern const SdesBucketRow *sdes_keyring_bucket(int32 hash);

/* The system bucket, cached; an error that says how to make it if there is none. */
extern const SdesBucketRow *sdes_keyring_system_bucket(void);

/* A random UUID: RFC 4122, section 4.4. */
extern void sdes_random_uuid(uint8 *uuid);

/* What keys a bucket is to have. */
typedef struct SdesKeySpec
{
	uint8 kind; /* SdesKekKind */
	SdesDekMode mode;
	SdesDekPurpose purpose;
	SdesKeyState state; /* of the first moment; SDES_KEY_ACTIVE unless it is set */
} SdesKeySpec;

/* Of SdesKekKind; NULL for an unknown number. */
extern const char *sdes_kek_kind_name(uint8 kind);

/*
 * Makes a KEK for a bucket in the first HSM token that can be reached and inserts its
 * row, which *kek becomes. The KEK is destroyed again should the transaction abort.
 */
extern void sdes_keyring_make_kek(const SdesBucketRow *bucket, const SdesKeySpec *spec,
                                  SdesKekRow *kek);

/*
 * Has the HSM draw a DEK of that version, active at once, and wrap it under the KEK;
 * inserts its row, and in mode cached a copy for each other token that can be reached.
 */
extern void sdes_keyring_make_dek(const SdesKekRow *kek, const SdesKeySpec *spec,
                                  uint32 version);

/* Wraps a key that has a row in each other token that can be reached, likewise. */
extern void sdes_keyring_spread(const SdesDekRow *row);

/* An error for a cryptoperiod of less than an hour or more than 100 years. */
extern void sdes_check_rotation_period(const Interval *period);

/*
 * The successor of a bucket's active key of that purpose: active when the transaction
 * commits, the present one opens values only from then on. In mode hsm it has a KEK of
 * its own. Returns its version: the next one, or the next thousand where the present key
 * was made by another database, whose numbers go on as well and may arrive here. Takes
 * turns with all who make keys, until the transaction ends. An error where there is none
 * to succeed.
 */
extern uint32 sdes_keyring_new_version(const SdesBucketRow *bucket, SdesDekPurpose purpose);

/* ---- new KEKs for keys that there are ---- */

/* A KEK and the link to the token it is in. */
typedef struct SdesPlace
{
	int link;
	SdesKekRow kek;
} SdesPlace;

/* Rows of a bucket's keys that are not destroyed. */
extern List *sdes_keyring_living_deks(const uint8 *bucket);

/*
 * Wraps the key of a row under n KEKs: wrapped[i] becomes the row as it is under
 * places[i], or failures[i] why it could not be.
 */
extern void sdes_keyring_wrap_again(const SdesDekRow *row, const SdesPlace *places, int n,
                                    SdesDekRow *wrapped, SdesLinkFailure *failures);

/*
 * Makes a KEK for a bucket in each token that can be reached, *kek in the first of them,
 * and wraps all its keys under them. A token out of reach keeps the copies it has,
 * unless drop_all. What becomes of the KEKs there were is for keyring/destroy.h.
 */
extern void sdes_keyring_rewrap(const SdesBucketRow *bucket, const SdesKeySpec *spec,
                                bool drop_all, SdesKekRow *kek);

/* Of a KEK's row: SdesKekKind. */
extern uint8 sdes_kek_kind(const SdesKekRow *kek);

/* The row of a KEK; an error if there is none. */
extern const SdesKekRow *sdes_keyring_kek(const uint8 *id);

/* The same for the search key: the new one does not compare yet, but is incoming. */
extern uint32 sdes_keyring_new_search_key(const SdesBucketRow *system);

/* Unwraps the key of a row anew and checks it; for sdes.health(). */
extern SdesStatus sdes_keyring_round_trip(const SdesDekRow *row, char *detail, size_t size);

/*
 * What the labels of all KEKs of this database in a token begin with, by which
 * sdes.health() finds those that no row knows.
 */
extern void sdes_keyring_label_prefix(char *out, size_t size);

#endif
