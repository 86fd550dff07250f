/*
 * store.h
 *		Rows of the sdes.* tables as C structs.
 *
 * Readers take no permission check: names of buckets and wrapped keys are no
 * secret, and type modifiers must print for every role. They see the newest
 * committed rows and their own, as catalog look-ups do.
 *
 * Writers are the only way rows change besides a restore. Each sends a
 * relcache invalidation for its table when its transaction commits, on which
 * the caches above this room (and on standbys, through WAL) rely; a trigger
 * does the same for changes by plain SQL.
 */
#ifndef SDES_STORE_H
#define SDES_STORE_H

#include "postgres.h"

#include "envelope/dek.h"
#include "access/attnum.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#define SDES_SYSTEM_BUCKET "#system"
#define SDES_NAME_MAX      63 /* bytes of a bucket's name, in UTF-8 and as stored */

typedef enum SdesTable
{
	SDES_TABLE_BUCKET,
	SDES_TABLE_KEK,
	SDES_TABLE_DEK,
	SDES_TABLE_ACCESS,
	SDES_TABLE_USAGE,
	SDES_TABLE_COPY,
	SDES_TABLE_SITE,
	SDES_TABLE_EXPORTED,
	SDES_TABLE_IMPORTED,
	SDES_TABLE_INSTANCE,
	SDES_TABLE_HONEY
} SdesTable;

#define SDES_NTABLES (SDES_TABLE_HONEY + 1)

/* The encrypted types; what else is to know of them is in types/types.h. */
typedef enum SdesEncType
{
	SDES_ENC_TEXT,
	SDES_ENC_PAN
} SdesEncType;

#define SDES_NTYPES (SDES_ENC_PAN + 1)

typedef enum SdesKeyState
{
	SDES_KEY_ACTIVE,       /* seals and opens */
	SDES_KEY_DECRYPT_ONLY, /* opens only */
	SDES_KEY_RETIRED,      /* opens for re-encryption only */
	SDES_KEY_DESTROYED,    /* its blob is gone */
	SDES_KEY_INCOMING      /* a search key whose tokens are being added to values */
} SdesKeyState;

typedef enum SdesKekState
{
	SDES_KEK_ACTIVE,     /* wraps keys */
	SDES_KEK_RETIRED,    /* wraps none that a row has; kept for backups */
	SDES_KEK_DESTROYING, /* is to be destroyed in the HSM */
	SDES_KEK_DESTROYED   /* is in no token any more */
} SdesKekState;

typedef struct SdesBucketRow
{
	uint8 uuid[SDES_UUID_SIZE];
	char name[SDES_NAME_MAX + 1];
	int32 hash; /* 26 bits of the name, what a type modifier holds */
	bool system;
	Interval rotation_period;
	bool rotation_paused;
	bool audit_async; /* values do not wait for their record */
} SdesBucketRow;

typedef struct SdesKekRow
{
	uint8 id[SDES_KEK_ID_SIZE];
	uint8 bucket[SDES_UUID_SIZE];
	const char *kind;      /* "aes-256", "rsa-4096" */
	const char *mechanism; /* what wraps DEKs under it */
	const char *token_label;
	const char *token_serial;
	SdesKekState state;     /* not for writers: a new one is active */
	TimestampTz ordered_at; /* its destruction; 0: never; not for writers */
	TransactionId xmin;     /* that wrote this row; not for writers */
} SdesKekRow;

typedef struct SdesDekRow
{
	SdesDekBinding binding;
	SdesKeyState state;
	uint8 commitment[SDES_COMMITMENT_SIZE];
	size_t wrapped_size;
	uint8 *wrapped; /* palloc'd by readers */
	bool pinned;    /* re-encryption leaves its values under it */
	bool foreign;   /* made by another database, which may go on sealing under it */

	/* Not for writers. */
	uint32 timeline; /* of the WAL when it was made */
	TimestampTz created_at;
	TimestampTz retired_at; /* 0: never */
	char *reason;           /* of a revocation, palloc'd; NULL: none */
	TimestampTz closed_at;  /* since when it seals nothing; 0: it does */
	bool clean;             /* a look at all places found no value under it */
	bool emptied;           /* and so did another, when nothing older was left */
	XLogRecPtr emptied_lsn; /* where the WAL was then */
	TransactionId xmin;     /* that wrote this row */
} SdesDekRow;

typedef struct SdesAccessRow
{
	uint8 bucket[SDES_UUID_SIZE];
	char role[NAMEDATALEN]; /* "public" for everybody */
	char privilege[NAMEDATALEN];
	Oid role_oid;    /* InvalidOid for public */
	int64 system_id; /* of the cluster that role_oid belongs to */
	bool forced;     /* meant in spite of what it adds up to, see policy/pan_grants.h */
} SdesAccessRow;

/* The schema's OID, InvalidOid in a database without the extension. */
extern Oid sdes_schema_oid(void);

/* A table's OID; an error in a database without the extension. */
extern Oid sdes_table_oid(SdesTable table);

/*
 * The encrypted types' OIDs, by SdesEncType; InvalidOid for one that the database
 * does not have, as none in a database without the extension.
 */
extern void sdes_type_oids(Oid oids[SDES_NTYPES]);

/* The SdesEncType of an OID out of that list, -1 for any other OID. */
extern int sdes_type_by_oid(const Oid oids[SDES_NTYPES], Oid oid);

/* "enc_text" */
extern const char *sdes_type_name(SdesEncType type);

/*
 * The first 26 bits of SHA-256 over the name in UTF-8: what type modifiers hold,
 * the same in a database of any encoding.
 */
extern int32 sdes_bucket_hash(const char *name);

/* The bits of a type modifier below the bucket's hash; value/value.h tells of them. */
#define SDES_HASH_SHIFT 5

/* Whether a column is of that bucket, by way of other types too. */
extern bool sdes_store_column_is_of(Oid relation, AttrNumber column, int32 hash);

/*
 * Whether a relation of this database has a column of that type and bucket, also by
 * way of domains, arrays, ranges and composite types. Reads pg_attribute from end to end.
 */
extern bool sdes_store_has_column(SdesEncType type, int32 hash);

/* False when there is no such row. */
extern bool sdes_store_bucket_by_name(const char *name, SdesBucketRow *out);
extern bool sdes_store_bucket_by_hash(int32 hash, SdesBucketRow *out);
extern bool sdes_store_bucket_by_uuid(const uint8 *uuid, SdesBucketRow *out);
/* The same, from memory until the table changes: for what is asked with each statement. */
extern bool sdes_store_known_bucket(const uint8 *uuid, SdesBucketRow *out);
extern bool sdes_store_dek_by_id(const uint8 *key_id, SdesDekRow *out);

/* The bucket of that name; an error when there is none. */
extern void sdes_require_bucket(const char *name, SdesBucketRow *out);

/* Lists of palloc'd rows. */
extern List *sdes_store_buckets(void);
extern List *sdes_store_keks(void);
extern List *sdes_store_deks(void);
extern List *sdes_store_access(void);

extern void sdes_store_insert_bucket(const SdesBucketRow *row);
extern void sdes_store_insert_kek(const SdesKekRow *row);
/* With its row of sdes.usage, of which no message is reserved. */
extern void sdes_store_insert_dek(const SdesDekRow *row);

/*
 * Moves a key on to a later state, as of now. A reason, if given, stays with it. A
 * destroyed key's row loses its blob.
 */
extern void sdes_store_set_dek_state(const uint8 *key_id, SdesKeyState state,
                                     const char *reason);

/* How far it is known that no value is under a key. */
typedef enum SdesEmptiness
{
	SDES_NOT_KNOWN,
	SDES_CLEAN,  /* found so, as of now */
	SDES_EMPTIED /* found so again, when nothing older than that was left */
} SdesEmptiness;

extern void sdes_store_set_dek_emptiness(const uint8 *key_id, SdesEmptiness emptiness);

/* Whether re-encryption leaves the values under a key where they are. */
extern void sdes_store_set_dek_pinned(const uint8 *key_id, bool pinned);

/* Replaces what wraps a key: its row's kek_id, wrapped and commitment. */
extern void sdes_store_set_dek_wrap(const SdesDekRow *row);

/*
 * Copies of keys, wrapped by other tokens' KEKs. A copy is its key's row with another
 * kek_id, wrapped and commitment.
 */
extern List *sdes_store_copies(const SdesDekRow *row);
extern void sdes_store_insert_copy(const SdesDekRow *copy);

/* Deletes those of a key, or only the one under a KEK unless that is NULL. */
extern void sdes_store_delete_copies(const uint8 *key_id, const uint8 *kek_id);

/* Whether there is a copy under that KEK. */
extern bool sdes_store_has_copy_under(const uint8 *kek_id);

/* Moves a KEK on to a later state, as of now. */
extern void sdes_store_set_kek_state(const uint8 *id, SdesKekState state);

/* How a bucket rotates: what of *row says so replaces what its row says. */
extern void sdes_store_set_rotation(const SdesBucketRow *row);

/* Whether its values wait for their audit record. */
extern void sdes_store_set_audit(const SdesBucketRow *row);

/* Replaces a grant that is there already. */
extern void sdes_store_put_access(const SdesAccessRow *row);
/* Returns false when there was no such grant. */
extern bool sdes_store_delete_access(const uint8 *bucket, const char *role,
                                     const char *privilege);

typedef enum SdesReservation
{
	SDES_RESERVED,
	SDES_USED_UP,   /* it would be more than the limit, which the row now says */
	SDES_UNRESERVED /* there is no row of that key */
} SdesReservation;

/*
 * Adds to the messages of a key, up to a limit: on disk when this returns, seen by
 * everybody, and there to stay whatever becomes of the transaction. Takes no
 * transaction id; also for parallel workers and transactions that only read, but not
 * during recovery.
 */
extern SdesReservation sdes_store_reserve(const uint8 *key_id, int64 messages, int64 limit);

/* What was reserved of a key so far; -1 when there is no row of it. */
extern int64 sdes_store_reserved(const uint8 *key_id);

extern const char *sdes_purpose_name(SdesDekPurpose purpose);
extern const char *sdes_mode_name(SdesDekMode mode);
extern const char *sdes_state_name(SdesKeyState state);
extern const char *sdes_kek_state_name(SdesKekState state);

#endif
