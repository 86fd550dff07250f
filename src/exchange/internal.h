/*
 * internal.h
 *		Shared by the files of this room: sites, and the building of parcels.
 */
#ifndef SDES_EXCHANGE_INTERNAL_H
#define SDES_EXCHANGE_INTERNAL_H

#include "postgres.h"

#include "agentlink/agentlink.h"
#include "keyring/keyring.h"
#include "parcel/parcel.h"
#include "store/sites.h"

/* ---- site.c ---- */

/* A row of sdes.site with its certificate, freed with the memory context it is in. */
typedef struct SdesSite
{
	SdesSiteRow row;
	SdesCertificate certificate;
	MemoryContextCallback callback;
} SdesSite;

/*
 * What every function here begins with: it may write, the current user is a member of
 * role, and nobody else makes, imports or exports keys until the transaction ends.
 */
extern void sdes_exchange_begin(const char *function, const char *role, const char *action);

/* This site. make: its keys and certificate are made if it has none; else NULL then. */
extern SdesSite *sdes_site_own(bool make);

/* A trusted site; an error if there is none of that name. */
extern SdesSite *sdes_site_by_name(const char *name);

/* This site or a trusted one; NULL if there is none. */
extern SdesSite *sdes_site_by_fingerprint(const uint8 *fingerprint);

/*
 * The root of this site's ML-KEM key, which the caller frees; its row has one. From the
 * agent, as any wrapped key.
 */
extern void sdes_site_kem_root(const SdesSiteRow *own, SdesSecret *root);

/* This site's signature over bytes. */
extern void sdes_site_sign(const SdesSite *own, SdesBytes bytes,
                           uint8 signature[SDES_RSA_4096_SIZE]);

/* Whether a key is in the token; an error if that cannot be found out. */
extern bool sdes_key_is_in_token(const uint8 *id);

/* ---- build.c ---- */

/* Who a parcel is for. */
typedef struct SdesAddressee
{
	SdesParcelRecipient record;
	SdesPublicKey *key;          /* of an officer */
	const SdesCertificate *site; /* NULL of an officer */
} SdesAddressee;

/* What goes into a parcel. */
typedef struct SdesParcelPlan
{
	SdesParcelKind kind;
	int threshold;
	List *addressees; /* SdesAddressee */
	List *buckets;    /* SdesBucketRow */
	List *keys;       /* SdesDekRow, of those buckets */
} SdesParcelPlan;

/*
 * Unwraps the keys, seals and signs them, and writes down in sdes.exported that they
 * left. An error for a key that cannot be had or does not fit its row.
 */
extern bytea *sdes_build_parcel(const SdesParcelPlan *plan, const SdesSite *own);

/*
 * The keys of a bucket that can leave the HSM, by purpose and version: not destroyed
 * and not of mode hsm, of which *stay becomes the number.
 */
extern List *sdes_keys_to_send(const SdesBucketRow *bucket, int *stay);

/* ---- unpack.c ---- */

/* A parcel that was opened. The content key is freed with the memory context it is in. */
typedef struct SdesOpened
{
	SdesParcel parcel;
	SdesSite *sender;
	SdesSecret content_key;
	MemoryContextCallback callback;
} SdesOpened;

/*
 * Takes a parcel of that kind apart and checks its signature: by a trusted site, of a
 * backup by this one, too. Errors say what is wrong.
 */
extern SdesOpened *sdes_open_parcel(bytea *bytes, SdesParcelKind kind);

/* Name of a bucket in the database's encoding. */
extern const char *sdes_parcel_bucket_name(const SdesParcelBucket *bucket);

/* A bucket of a parcel as a row of this database that is not there yet. */
extern void sdes_new_bucket_row(const SdesParcelBucket *bucket, SdesBucketRow *row);

/* An error if another bucket of this database has the row's name, or one like it. */
extern void sdes_check_name_is_free(const SdesBucketRow *row, const char *action);

/*
 * Wraps the key at that place of the parcel under row->binding.kek_id: sets wrapped and
 * commitment of *row, whose binding is set. Where old is not NULL, it must be the key
 * that that row commits to.
 */
extern void sdes_unpack_key(const SdesOpened *opened, uint32 at, const SdesDekRow *old,
                            SdesDekRow *row);

/* The rows of a bucket and purpose among rows; the greatest version of them, 0 if none. */
extern uint32 sdes_last_version(const List *rows, const uint8 *bucket,
                                SdesDekPurpose purpose);

/* A kind of KEK by its name; an error for an unknown one. */
extern uint8 sdes_kek_kind_by_name(const char *name);

#endif
