/*
 * sites.h
 *		Rows of the tables about other sites: whom this one trusts, what went out and
 *		came in, and which database owns the keys.
 */
#ifndef SDES_STORE_SITES_H
#define SDES_STORE_SITES_H

#include "store/store.h"

#define SDES_FINGERPRINT_SIZE 32

typedef struct SdesSiteRow
{
	uint8 fingerprint[SDES_FINGERPRINT_SIZE];
	const char *name;        /* in the database's encoding */
	const char *certificate; /* PEM */
	bool own;
	uint8 signing_key[SDES_KEK_ID_SIZE]; /* of the own site only */
	uint8 encryption_key[SDES_KEK_ID_SIZE];
	bool hybrid; /* it has an ML-KEM key, whose root is wrapped: */
	uint8 kem_key[SDES_KEK_ID_SIZE];
	size_t kem_root_size;
	const uint8 *kem_root;
} SdesSiteRow;

/* A list of palloc'd rows. */
extern List *sdes_store_sites(void);
extern void sdes_store_insert_site(const SdesSiteRow *row);
extern void sdes_store_delete_site(const uint8 *fingerprint);

typedef struct SdesExportedRow
{
	uint8 parcel[SDES_UUID_SIZE];
	uint8 bucket[SDES_UUID_SIZE];
	const char *recipient;
	bool backup;
	int nkeys;
	const uint8 (*key_ids)[SDES_KEY_ID_SIZE];
} SdesExportedRow;

extern void sdes_store_insert_exported(const SdesExportedRow *row);

extern bool sdes_store_is_imported(const uint8 *parcel);
extern void sdes_store_insert_imported(const uint8 *parcel, const SdesSiteRow *sender);

typedef struct SdesInstanceRow
{
	int64 system_id;
	Oid database;
} SdesInstanceRow;

/*
 * A list of palloc'd rows. None: no key was made yet. One, but where a key was made in the
 * midst of a restore.
 */
extern List *sdes_store_instances(void);
/* Replaces what is there. */
extern void sdes_store_put_instance(const uint8 *id, const SdesInstanceRow *row);

#endif
