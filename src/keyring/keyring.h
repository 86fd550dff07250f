/*
 * keyring.h
 *		The data encryption keys this backend has open.
 *
 * A key is fetched from the agent at its first use, checked against its row's
 * commitment, expanded, and kept until its row changes or the backend ends.
 * Pointers are valid until the next call into this room: use the key at once.
 *
 * A row's change is noticed at the next use through relcache invalidation.
 */
#ifndef SDES_KEYRING_H
#define SDES_KEYRING_H

#include "postgres.h"

#include "store/store.h"

typedef struct SdesKey
{
	uint8 key_id[SDES_KEY_ID_SIZE];
	uint8 bucket[SDES_UUID_SIZE];
	uint32 version;
	SdesDekPurpose purpose;
	SdesKeyState state;
	SdesAead *aead; /* under the sealing key */
} SdesKey;

extern void sdes_keyring_init(void);

/* The key new values of that bucket are sealed under; an error if there is none. */
extern const SdesKey *sdes_keyring_active(const uint8 *bucket, SdesDekPurpose purpose);

/*
 * The key of an envelope, in a state that may open; an error if the id is
 * unknown here, the key is retired or it cannot be had.
 */
extern const SdesKey *sdes_keyring_by_id(const uint8 *key_id);

/*
 * The same for a restore: NULL when the id is unknown or the key cannot be had
 * now.
 */
extern const SdesKey *sdes_keyring_try(const uint8 *key_id);

/*
 * Which bucket's key an envelope names, without fetching the key; false when
 * the id is unknown. *purpose tells a literal from a stored value.
 */
extern bool sdes_keyring_owner(const uint8 *key_id, uint8 *bucket, SdesDekPurpose *purpose);

/* The bucket that a type modifier names, cached; NULL if there is none. */
extern const SdesBucketRow *sdes_keyring_find_bucket(int32 hash);

/* The same; an error if there is none. */
extern const SdesBucketRow *sdes_keyring_bucket(int32 hash);

/* The system bucket, cached; an error that says how to make it if there is none. */
extern const SdesBucketRow *sdes_keyring_system_bucket(void);

/*
 * Makes a KEK in the HSM for a bucket and inserts its row, which *kek becomes.
 * The KEK is destroyed again should the transaction abort.
 */
extern void sdes_keyring_make_kek(const SdesBucketRow *bucket, SdesKekRow *kek);

/* Has the HSM draw and wrap a DEK, version 1, and inserts its row. */
extern void sdes_keyring_make_dek(const SdesKekRow *kek, SdesDekPurpose purpose);

/* Unwraps the key of a row anew and checks it; for sdes.health(). */
extern SdesStatus sdes_keyring_round_trip(const SdesDekRow *row, char *detail, size_t size);

/*
 * What the labels of all KEKs of this database in a token begin with, by which
 * sdes.health() finds those that no row knows.
 */
extern void sdes_keyring_label_prefix(char *out, size_t size);

#endif
