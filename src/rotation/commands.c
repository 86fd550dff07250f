/*
 * commands.c
 *		What an administrator says of rotation in SQL.
 */
#include "postgres.h"

#include "rotation/rotation.h"

#include "audit/audit.h"
#include "keyring/destroy.h"
#include "keyring/instance.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "rotation/horizon.h"
#include "rotation/internal.h"
#include "rotation/inventory.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

SDES_SQL_FUNCTION(sdes_rotate_bucket);
SDES_SQL_FUNCTION(sdes_set_rotation_period);
SDES_SQL_FUNCTION(sdes_pause_rotation);
SDES_SQL_FUNCTION(sdes_resume_rotation);
SDES_SQL_FUNCTION(sdes_cancel_rotation);
SDES_SQL_FUNCTION(sdes_destroy_key);

/* Checks who calls and finds the bucket of the first argument, locked against others. */
static void
begin(FunctionCallInfo fcinfo, const char *function, const char *const *arguments,
      SdesBucketRow *bucket)
{
	sdes_refuse_nulls(fcinfo, arguments);
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	sdes_require_preload();
	sdes_policy_require_member("sdes_admin", "rotate encryption keys");
	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
	sdes_require_bucket(text_to_cstring(PG_GETARG_TEXT_PP(0)), bucket);
	sdes_rotation_wake();
}

static SdesDekPurpose
purpose_of(const SdesBucketRow *bucket)
{
	return bucket->system ? SDES_PURPOSE_LITERAL : SDES_PURPOSE_DATA;
}

/* Keys of a bucket that values are sealed under, without the active one. */
static List *
older_keys(const SdesBucketRow *bucket)
{
	List *found = NIL;
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.bucket, bucket->uuid, SDES_UUID_SIZE) == 0 &&
		    row->binding.purpose == purpose_of(bucket) &&
		    (row->state == SDES_KEY_DECRYPT_ONLY || row->state == SDES_KEY_RETIRED))
			found = lappend(found, row);
	}
	return found;
}

/* A key that was imported is unpinned only by whoever resumes rotation by hand. */
static void
set_pinned(const SdesBucketRow *bucket, bool pinned, bool imported)
{
	ListCell *cell;

	foreach (cell, older_keys(bucket))
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->pinned != pinned && (imported || !sdes_dek_is_imported(row)))
			sdes_store_set_dek_pinned(row->binding.key_id, pinned);
	}
}

Datum
sdes_rotate_bucket(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"name"};
	SdesBucketRow bucket;

	begin(fcinfo, "sdes.rotate_bucket()", arguments, &bucket);
	set_pinned(&bucket, false, false);
	PG_RETURN_INT32((int32) sdes_rotation_make_version(&bucket, purpose_of(&bucket)));
}

static const char *
period_text(const SdesBucketRow *bucket)
{
	return DatumGetCString(
	    DirectFunctionCall1(interval_out, IntervalPGetDatum(&bucket->rotation_period)));
}

Datum
sdes_set_rotation_period(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"bucket", "period"};
	SdesBucketRow bucket;

	begin(fcinfo, "sdes.set_rotation_period()", arguments, &bucket);
	bucket.rotation_period = *PG_GETARG_INTERVAL_P(1);
	sdes_check_rotation_period(&bucket.rotation_period);
	sdes_store_set_rotation(&bucket);
	sdes_audit_event("set rotation period", bucket.uuid, "%s", period_text(&bucket));
	PG_RETURN_VOID();
}

Datum
sdes_pause_rotation(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"bucket"};
	SdesBucketRow bucket;

	begin(fcinfo, "sdes.pause_rotation()", arguments, &bucket);
	bucket.rotation_paused = true;
	sdes_store_set_rotation(&bucket);
	sdes_audit_event("pause rotation", bucket.uuid, "%s", "");
	PG_RETURN_VOID();
}

/* All values had been found to have tokens of the incoming search key. */
static void
look_for_tokens_again(void)
{
	const SdesDekRow *incoming = &sdes_tracked_read()->search.incoming;

	if (incoming->wrapped_size > 0 && incoming->emptied)
		sdes_store_set_dek_emptiness(incoming->binding.key_id, SDES_NOT_KNOWN);
}

Datum
sdes_resume_rotation(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"bucket"};
	SdesBucketRow bucket;
	ListCell *cell;

	begin(fcinfo, "sdes.resume_rotation()", arguments, &bucket);
	bucket.rotation_paused = false;
	sdes_store_set_rotation(&bucket);
	sdes_audit_event("resume rotation", bucket.uuid, "%s", "");
	set_pinned(&bucket, false, true);
	foreach (cell, older_keys(&bucket))
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->emptied)
			sdes_store_set_dek_emptiness(row->binding.key_id, SDES_NOT_KNOWN);
	}
	if (bucket.system)
		look_for_tokens_again();
	PG_RETURN_VOID();
}

Datum
sdes_cancel_rotation(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"bucket"};
	SdesBucketRow bucket;

	begin(fcinfo, "sdes.cancel_rotation()", arguments, &bucket);
	set_pinned(&bucket, true, true);
	sdes_audit_event("cancel rotation", bucket.uuid, "%s", "");
	PG_RETURN_VOID();
}

/* ---- destroying a key ---- */

typedef struct Obstacles
{
	const SdesDekRow *row;
	StringInfoData text;
} Obstacles;

static void
add(Obstacles *obstacles, const char *text)
{
	if (obstacles->text.len > 0)
		appendStringInfoString(&obstacles->text, "; ");
	appendStringInfoString(&obstacles->text, text);
}

static void
take_place(const char *place, const char *object, const SdesTrackedSet *set, void *arg)
{
	Obstacles *obstacles = arg;

	if (set == NULL)
		add(obstacles, psprintf("%s %s may hold some", place, object));
	for (int i = 0; set != NULL && i < set->n; i++)
		if (set->keys[i].found > 0 &&
		    memcmp(set->keys[i].row.binding.key_id, obstacles->row->binding.key_id,
		           SDES_KEY_ID_SIZE) == 0)
			add(obstacles, psprintf(INT64_FORMAT " in %s%s%s", set->keys[i].found, place,
			                        object ? " " : "", object ? object : ""));
}

static void
find_obstacles(Obstacles *obstacles)
{
	const char *waits;

	sdes_inventory_count(sdes_tracked_read(), take_place, obstacles);
	waits = sdes_horizon_transactions(obstacles->row);
	if (waits != NULL)
		add(obstacles, waits);
	waits = sdes_horizon_replicas(obstacles->row->emptied_lsn);
	if (waits != NULL)
		add(obstacles, waits);
}

/* Of the system bucket, a version of the literal key or else of the search key. */
static const SdesDekRow *
version_of(const SdesBucketRow *bucket, int32 version)
{
	const SdesDekRow *found = NULL;
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.bucket, bucket->uuid, SDES_UUID_SIZE) == 0 &&
		    row->binding.version == (uint32) version &&
		    (row->binding.purpose == purpose_of(bucket) || found == NULL))
			found = row;
	}
	if (found != NULL)
		return found;
	ereport(ERROR,
	        (errcode(ERRCODE_UNDEFINED_OBJECT),
	         errmsg("bucket \"%s\" has no version %d of its key", bucket->name, version),
	         errhint("See SELECT * FROM sdes.keys.")));
}

/*
 * In mode hsm the key encryption key seals the values, of one version alone. It is
 * ordered to be destroyed, unless somebody has put another key under it.
 */
static bool
order_values_key(const SdesDekRow *row)
{
	const uint8 *id = row->binding.kek_id;

	if (row->binding.mode != SDES_MODE_HSM || sdes_keyring_kek_in_use(id))
		return false;
	if (sdes_keyring_kek(id)->state < SDES_KEK_DESTROYING)
		sdes_store_set_kek_state(id, SDES_KEK_DESTROYING);
	return true;
}

static void
tell_what_is_left(const SdesBucketRow *bucket, const SdesDekRow *row, bool physical)
{
	ereport(
	    NOTICE,
	    (errmsg("version %u of the key of bucket \"%s\" is gone from this database",
	            row->binding.version, bucket->name),
	     physical ? errdetail(
	                    "That is physical: the key that sealed its values is ordered to be "
	                    "destroyed in the HSM. Then no backup opens them.")
	              : errdetail(
	                    "That is logical: backups and archived WAL still hold it, wrapped. "
	                    "They can be opened as long as the key encryption key exists."),
	     physical ? errhint("SELECT * FROM sdes.destroy_keks() tells what came of it.")
	              : errhint("SELECT sdes.rewrap_bucket(%s, destroy_old => true) ends that, "
	                        "too.",
	                        quote_literal_cstr(bucket->name))));
}

Datum
sdes_destroy_key(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"bucket", "version"};
	SdesBucketRow bucket;
	Obstacles obstacles;

	begin(fcinfo, "sdes.destroy_key()", arguments, &bucket);
	sdes_require_owner("destroy encryption keys");
	obstacles.row = version_of(&bucket, PG_GETARG_INT32(1));
	if (obstacles.row->state != SDES_KEY_RETIRED || !obstacles.row->emptied)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		     errmsg("version %d of the key of bucket \"%s\" is %s, not retired and empty",
		            PG_GETARG_INT32(1), bucket.name, sdes_state_name(obstacles.row->state)),
		     errhint("A version retires when no value is left under it: see SELECT * "
		             "FROM sdes.rotation_progress.")));
	initStringInfo(&obstacles.text);
	find_obstacles(&obstacles);
	if (obstacles.text.len > 0)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_IN_USE),
		         errmsg("version %d of the key of bucket \"%s\" may still be needed",
		                PG_GETARG_INT32(1), bucket.name),
		         errdetail("What stands in the way: %s.", obstacles.text.data),
		         errhint("Values are moved on by SELECT sdes.resume_rotation(%s); the rest "
		                 "has to end or to catch up.",
		                 quote_literal_cstr(bucket.name))));
	sdes_store_set_dek_state(obstacles.row->binding.key_id, SDES_KEY_DESTROYED, NULL);
	sdes_audit_event("destroy key", bucket.uuid, "version %u",
	                 obstacles.row->binding.version);
	tell_what_is_left(&bucket, obstacles.row, order_values_key(obstacles.row));
	PG_RETURN_VOID();
}
