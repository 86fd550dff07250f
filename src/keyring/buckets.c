/*
 * buckets.c
 *		Which bucket a type modifier names, cached per backend.
 */
#include "postgres.h"

#include "keyring/buckets.h"

#include "agentlink/agentlink.h"
#include "keyring/keyring.h"
#include "keyring/search_keys.h"
#include "sdes_errors.h"
#include "sdes_recent.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

typedef struct BucketEntry
{
	int32 hash; /* hash key */
	SdesBucketRow row;
} BucketEntry;

static HTAB *buckets = NULL;
static SdesRecent recent;
static Oid bucket_table = InvalidOid;
static bool stale = false;

static void
invalidate(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == bucket_table)
		stale = true;
}

void
sdes_buckets_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

static void
ready(void)
{
	HASHCTL ctl = {0};

	if (buckets != NULL && stale && !sdes_must_not_wait())
	{
		sdes_recent_forget(&recent);
		hash_destroy(buckets);
		buckets = NULL;
	}
	if (buckets != NULL)
		return;
	if (!sdes_must_not_wait())
	{
		stale = false;
		bucket_table = sdes_table_oid(SDES_TABLE_BUCKET);
	}
	ctl.keysize = sizeof(int32);
	ctl.entrysize = sizeof(BucketEntry);
	ctl.hcxt = TopMemoryContext;
	buckets = hash_create("sdes buckets", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

const SdesBucketRow *
sdes_keyring_find_bucket(int32 hash)
{
	BucketEntry *entry;
	SdesBucketRow row;

	ready();
	entry = sdes_recent_find(&recent, buckets, &hash, sizeof(hash), (uint8) hash);
	if (entry == NULL)
	{
		if (sdes_must_not_wait() || !sdes_store_bucket_by_hash(hash, &row))
			return NULL;
		entry = hash_search(buckets, &hash, HASH_ENTER, NULL);
		entry->row = row;
	}
	return &entry->row;
}

const SdesBucketRow *
sdes_keyring_bucket(int32 hash)
{
	const SdesBucketRow *row = sdes_keyring_find_bucket(hash);

	if (row == NULL && sdes_must_not_wait())
		sdes_keyring_report_unprepared();
	if (row == NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_OBJECT),
		         errmsg("the bucket of this encrypted type does not exist"),
		         errdetail("No row of sdes.bucket has hash %d.", hash),
		         errhint("Bring the bucket's rows along from the database that the table "
		                 "came from."),
		         SDES_KEEP_OUT_OF_LOG));
	return row;
}

const SdesBucketRow *
sdes_keyring_find_system_bucket(void)
{
	static int32 hash = 0; /* of a digest, which every token would cost */

	if (hash == 0)
		hash = sdes_bucket_hash(SDES_SYSTEM_BUCKET);
	return sdes_keyring_find_bucket(hash);
}

const SdesBucketRow *
sdes_keyring_system_bucket(void)
{
	const SdesBucketRow *row = sdes_keyring_find_system_bucket();

	if (row == NULL && sdes_must_not_wait())
		sdes_keyring_report_unprepared();
	if (row == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("this database has no encryption bucket yet"),
		                errhint("Create one: SELECT sdes.create_bucket('customer_pii')."),
		                SDES_KEEP_OUT_OF_LOG));
	return row;
}
