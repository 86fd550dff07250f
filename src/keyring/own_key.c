/*
 * own_key.c
 *		A copy of a database gets a key of its own before it seals anything.
 *
 * The key is made and committed by another process: here a transaction may be under way
 * that is rolled back, or that only reads, and values sealed under the key are seen by
 * others, as literals in plans, before it ends.
 */
#include "postgres.h"

#include "keyring/own_key.h"

#include "access/xlog.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "sdes_errors.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define LONGEST_WAIT_MS 10000
#define LOOK_EVERY_MS   20
#define ASK_EVERY_MS    1000 /* it may have failed meanwhile */

static SdesKeyMaker make = NULL;

void
sdes_keyring_set_maker(SdesKeyMaker maker)
{
	make = maker;
}

static const char *
name_of(const uint8 *bucket)
{
	SdesBucketRow row;

	return sdes_store_bucket_by_uuid(bucket, &row) ? pstrdup(row.name) : "?";
}

static void
report_standby(const uint8 *bucket)
{
	ereport(ERROR,
	        (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
	         errmsg("bucket \"%s\" has no encryption key of this database's own yet",
	                name_of(bucket)),
	         errdetail("Its active key was made by the database that this one is a copy "
	                   "of, and no key can be made during recovery."),
	         errhint("The primary makes one before it first encrypts a value of the "
	                 "bucket, or by sdes.rotate_bucket()."),
	         SDES_KEEP_OUT_OF_LOG));
}

static void
report_none(const uint8 *bucket)
{
	ereport(ERROR,
	        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	         errmsg("bucket \"%s\" has no encryption key of this database's own yet",
	                name_of(bucket)),
	         errdetail("Its active key was made by the database that this one is a copy "
	                   "of, and no rotation worker has made another one in time."),
	         errhint("Try again. The server log and SELECT * FROM sdes.health() may tell "
	                 "why it failed; sdes.rotate_bucket() makes a key, too."),
	         SDES_KEEP_OUT_OF_LOG));
}

void
sdes_keyring_await_own(const uint8 *bucket, SdesDekPurpose purpose, SdesOwnKeyTest is_there)
{
	TimestampTz began = GetCurrentTimestamp();
	TimestampTz now = began;
	TimestampTz asked = 0;
	uint8 uuid[SDES_UUID_SIZE];

	/* A copy: it may be of a row that goes while we wait. */
	memcpy(uuid, bucket, SDES_UUID_SIZE);
	if (RecoveryInProgress())
		report_standby(uuid);
	while (!is_there(uuid, purpose))
	{
		if (TimestampDifferenceExceeds(began, now, LONGEST_WAIT_MS))
			report_none(uuid);
		if (asked == 0 || TimestampDifferenceExceeds(asked, now, ASK_EVERY_MS))
		{
			if (make == NULL || !IsUnderPostmaster || !make(uuid))
				report_none(uuid);
			asked = now;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
		                 LOOK_EVERY_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		now = GetCurrentTimestamp();
	}
}
