/*
 * keks.c
 *		The worker carries out orders to destroy KEKs, so that nobody has to ask for it.
 *
 * Not at once: who orders a destruction can see what comes of it by
 * sdes.destroy_keks(), and what is left after a while is seen to here.
 */
#include "postgres.h"

#include "rotation/rotation.h"

#include "keyring/destroy.h"
#include "keyring/instance.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "utils/timestamp.h"

static bool
any_ordered_until(TimestampTz time)
{
	ListCell *cell;

	foreach (cell, sdes_keyring_doomed_keks())
		if (((SdesKekRow *) lfirst(cell))->ordered_at <= time)
			return true;
	return false;
}

/* What stands in the way is told by sdes.health(); the log has it for who looks closely. */
static void
log_fate(const SdesKekFate *fate)
{
	SdesBucketRow bucket;

	if (!sdes_store_bucket_by_uuid(fate->kek->bucket, &bucket))
		strlcpy(bucket.name, "?", sizeof(bucket.name));
	if (fate->obstacle == NULL)
		ereport(LOG, (errmsg("sdes: a key encryption key of bucket \"%s\" is destroyed",
		                     bucket.name)));
	else
		ereport(DEBUG1,
		        (errmsg_internal("sdes: a key encryption key of bucket \"%s\" is to be "
		                         "destroyed: %s",
		                         bucket.name, fate->obstacle)));
}

SdesRotationNext
sdes_rotation_destroy_keks(void)
{
	TimestampTz time =
	    TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -1000L * sdes_rotation_naptime);
	ListCell *cell;

	if (!any_ordered_until(time) || !sdes_instance_is_owner())
		return SDES_ROTATION_IDLE;
	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
	foreach (cell, sdes_keyring_destroy_keks(time))
		log_fate(lfirst(cell));
	return SDES_ROTATION_IDLE;
}
