/*
 * known_bucket.c
 *		Rows of sdes.bucket by uuid, kept until the table changes: each statement that opens
 *		a value asks for one, and a point read is not much more than that.
 */
#include "postgres.h"

#include "store/store.h"

#include "utils/inval.h"

#define KNOWN 8 /* buckets; a statement uses one or two */

static SdesBucketRow known[KNOWN];
static int nknown = 0;
static int next = 0;       /* to be replaced when all are taken */
static uint64 changes = 0; /* of the table, as far as this backend was told */
static Oid bucket_table = InvalidOid;

static void
forget(Datum arg, Oid relid)
{
	if (relid != InvalidOid && relid != bucket_table)
		return;
	nknown = next = 0;
	changes++;
}

static void
keep(const SdesBucketRow *row)
{
	known[next] = *row;
	next = (next + 1) % KNOWN;
	nknown = Max(nknown, next == 0 ? KNOWN : next);
}

bool
sdes_store_known_bucket(const uint8 *uuid, SdesBucketRow *out)
{
	static bool registered = false;
	uint64 before;

	for (int i = 0; i < nknown; i++)
		if (memcmp(known[i].uuid, uuid, SDES_UUID_SIZE) == 0)
		{
			*out = known[i];
			return true;
		}
	if (!registered)
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	registered = true;
	bucket_table = sdes_table_oid(SDES_TABLE_BUCKET);
	before = changes;
	if (!sdes_store_bucket_by_uuid(uuid, out))
		return false;
	/* What changed while it was read is for the next time. */
	if (changes == before)
		keep(out);
	return true;
}
