/*
 * revoke.c
 *		sdes.revoke_key(): values under a version open for no client any more, from the
 *		commit on, in statements under way as well (keyring/keyring.c).
 *
 * Nothing is lost by it: the key stays wrapped in its row, and re-encryption brings the
 * values under the active key.
 */
#include "postgres.h"

#include "rotation/rotation.h"

#include "audit/audit.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "rotation/internal.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_revoke_key);

static bool
is_blank(const char *text)
{
	return text[strspn(text, " \t\r\n")] == '\0';
}

/* Literals are in statements under way, tokens in indexes: nothing would work. */
static void
refuse_system_bucket(const SdesBucketRow *bucket)
{
	if (bucket->system)
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("keys of the system bucket cannot be revoked"),
		         errdetail("Constants in views and plans are sealed under them, and search "
		                   "tokens in indexes are made with them."),
		         errhint("Rotate it: SELECT sdes.rotate_bucket('%s').", bucket->name)));
}

static const SdesDekRow *
find_version(const SdesBucketRow *bucket, int32 version)
{
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.bucket, bucket->uuid, SDES_UUID_SIZE) == 0 &&
		    row->binding.purpose == SDES_PURPOSE_DATA &&
		    row->binding.version == (uint32) version)
			return row;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
	                errmsg("bucket \"%s\" has no encryption key version %d", bucket->name,
	                       version),
	                errhint("See SELECT * FROM sdes.keys.")));
}

static void
revoke_version(const SdesBucketRow *bucket, const SdesDekRow *row, const char *reason)
{
	switch (row->state)
	{
		case SDES_KEY_ACTIVE:
			/* New values need a key. */
			sdes_rotation_make_version(bucket, SDES_PURPOSE_DATA);
			break;
		case SDES_KEY_DECRYPT_ONLY:
			break;
		default:
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			                errmsg("encryption key version %u of bucket \"%s\" is %s "
			                       "already",
			                       row->binding.version, bucket->name,
			                       sdes_state_name(row->state))));
	}
	sdes_store_set_dek_state(row->binding.key_id, SDES_KEY_RETIRED, reason);
	sdes_audit_event("revoke key", bucket->uuid, "version %u: %s", row->binding.version,
	                 reason);
	/* Only re-encryption can bring its values back. */
	if (row->pinned)
		sdes_store_set_dek_pinned(row->binding.key_id, false);
	sdes_rotation_wake();
}

Datum
sdes_revoke_key(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"bucket", "version", "reason"};
	const char *reason;
	SdesBucketRow bucket;

	sdes_refuse_nulls(fcinfo, arguments);
	reason = text_to_cstring(PG_GETARG_TEXT_PP(2));
	PreventCommandIfReadOnly("sdes.revoke_key()");
	PreventCommandDuringRecovery("sdes.revoke_key()");
	sdes_require_preload();
	sdes_policy_require_member("sdes_admin", "revoke encryption keys");
	if (is_blank(reason))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("reason must not be empty"),
		                errhint("Whoever meets a value under the key is told it.")));
	/* Who makes or revokes keys takes turns; a row is read after its last change. */
	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
	sdes_require_bucket(text_to_cstring(PG_GETARG_TEXT_PP(0)), &bucket);
	refuse_system_bucket(&bucket);
	revoke_version(&bucket, find_version(&bucket, PG_GETARG_INT32(1)), reason);
	PG_RETURN_VOID();
}
