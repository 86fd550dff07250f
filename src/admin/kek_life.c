/*
 * kek_life.c
 *		The life of key encryption keys in SQL: sdes.rewrap_bucket(),
 *		sdes.destroy_kek(), sdes.destroy_keks().
 *
 * They take turns with all who make keys, until their transaction ends.
 */
#include "postgres.h"

#include "admin/admin.h"
#include "audit/audit.h"
#include "keyring/destroy.h"
#include "keyring/instance.h"
#include "keyring/keyring.h"
#include "policy/policy.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_rewrap_bucket);
SDES_SQL_FUNCTION(sdes_destroy_kek);
SDES_SQL_FUNCTION(sdes_destroy_keks);

void
sdes_admin_require(const char *command, const char *action)
{
	PreventCommandIfReadOnly(command);
	PreventCommandDuringRecovery(command);
	sdes_require_preload();
	sdes_policy_require_member("sdes_admin", action);
}

void
sdes_admin_take_turns(void)
{
	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
}

void
sdes_admin_find_bucket(const char *name, SdesBucketRow *bucket)
{
	if (!sdes_store_bucket_by_name(name, bucket))
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_OBJECT),
		         errmsg("bucket \"%s\" does not exist", name),
		         errhint("SELECT name FROM sdes.buckets lists those there are; literals "
		                 "and the search key are in \"%s\".",
		                 SDES_SYSTEM_BUCKET)));
}

static const char *
hex(const uint8 *id)
{
	char *out = palloc(2 * SDES_KEK_ID_SIZE + 1);

	hex_encode((const char *) id, SDES_KEK_ID_SIZE, out);
	out[2 * SDES_KEK_ID_SIZE] = '\0';
	return out;
}

/* ---- sdes.rewrap_bucket() ---- */

/*
 * The kind of the KEK that wraps a bucket's latest key. In mode hsm the KEK seals the
 * values: another one could not open them.
 */
static uint8
present_kind(const SdesBucketRow *bucket)
{
	const SdesDekRow *latest = NULL;
	ListCell *cell;

	foreach (cell, sdes_keyring_living_deks(bucket->uuid))
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->binding.mode == SDES_MODE_HSM)
			ereport(
			    ERROR,
			    (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			     errmsg("the keys of bucket \"%s\" cannot be wrapped anew", bucket->name),
			     errdetail("In mode \"hsm\" the key encryption key seals the values "
			               "themselves."),
			     errhint("They get a new one by rotation: SELECT "
			             "sdes.rotate_bucket(%s).",
			             quote_literal_cstr(bucket->name))));
		if (latest == NULL || row->binding.version > latest->binding.version)
			latest = row;
	}
	if (latest == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("bucket \"%s\" has no key to wrap", bucket->name),
		                errhint("See SELECT * FROM sdes.keys.")));
	return sdes_kek_kind(sdes_keyring_kek(latest->binding.kek_id));
}

Datum
sdes_rewrap_bucket(PG_FUNCTION_ARGS)
{
	SdesKeySpec spec = {.mode = SDES_MODE_CACHED, .purpose = SDES_PURPOSE_DATA};
	SdesBucketRow bucket;
	SdesKekRow kek = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
		                errmsg("argument \"%s\" must not be null",
		                       PG_ARGISNULL(0) ? "bucket" : "destroy_old")));
	if (!PG_ARGISNULL(1))
		spec.kind = sdes_parse_kek_kind(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	sdes_admin_require("sdes.rewrap_bucket()", "wrap encryption keys anew");
	sdes_admin_take_turns();
	if (PG_GETARG_BOOL(2))
		sdes_require_owner("destroy key encryption keys");
	sdes_admin_find_bucket(text_to_cstring(PG_GETARG_TEXT_PP(0)), &bucket);
	if (PG_ARGISNULL(1))
		spec.kind = present_kind(&bucket);
	else
		(void) present_kind(&bucket);
	sdes_keyring_rewrap(&bucket, &spec, PG_GETARG_BOOL(2), &kek);
	sdes_keyring_retire_keks(bucket.uuid,
	                         PG_GETARG_BOOL(2) ? SDES_KEK_DESTROYING : SDES_KEK_RETIRED);
	sdes_audit_event("rewrap keys", bucket.uuid, "under the KEK %s", hex(kek.id));
	PG_RETURN_TEXT_P(cstring_to_text(hex(kek.id)));
}

/* ---- sdes.destroy_kek(), sdes.destroy_keks() ---- */

/* The row of a KEK whose id stands in sdes.keys as hexadecimal digits. */
static const SdesKekRow *
parse_kek(const char *id)
{
	ListCell *cell;

	foreach (cell, sdes_store_keks())
	{
		const SdesKekRow *kek = lfirst(cell);

		if (pg_strcasecmp(hex(kek->id), id) == 0)
			return kek;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
	                errmsg("there is no key encryption key \"%s\"", id),
	                errhint("SELECT encode(id, 'hex'), state FROM sdes.kek lists them.")));
	return NULL;
}

Datum
sdes_destroy_kek(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"kek_id"};
	const SdesKekRow *kek;

	sdes_refuse_nulls(fcinfo, arguments);
	sdes_admin_require("sdes.destroy_kek()", "destroy key encryption keys");
	sdes_require_owner("destroy key encryption keys");
	sdes_admin_take_turns();
	sdes_require_owner("destroy key encryption keys");
	kek = parse_kek(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (sdes_keyring_kek_in_use(kek->id))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
		                errmsg("key encryption key \"%s\" wraps keys of this database",
		                       hex(kek->id)),
		                errhint("SELECT * FROM sdes.keys WHERE kek_id = '%s' lists them; "
		                        "sdes.rewrap_bucket() wraps them under another one.",
		                        hex(kek->id))));
	if (kek->state < SDES_KEK_DESTROYING)
		sdes_store_set_kek_state(kek->id, SDES_KEK_DESTROYING);
	sdes_audit_event("order destruction of KEK", kek->bucket, "%s", hex(kek->id));
	PG_RETURN_VOID();
}

static void
put_fate(ReturnSetInfo *result, const SdesKekFate *fate)
{
	Datum values[5];
	bool nulls[5] = {false};
	SdesBucketRow bucket;

	values[0] = CStringGetTextDatum(hex(fate->kek->id));
	nulls[1] = !sdes_store_bucket_by_uuid(fate->kek->bucket, &bucket);
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(bucket.name);
	values[2] = CStringGetTextDatum(fate->kek->token_label);
	values[3] = BoolGetDatum(fate->obstacle == NULL);
	nulls[4] = fate->obstacle == NULL;
	values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(fate->obstacle);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Nobody is held up, and no token asked, when there is nothing to destroy. */
Datum
sdes_destroy_keks(PG_FUNCTION_ARGS)
{
	ListCell *cell;

	sdes_admin_require("sdes.destroy_keks()", "destroy key encryption keys");
	sdes_require_owner("destroy key encryption keys");
	InitMaterializedSRF(fcinfo, 0);
	if (sdes_keyring_doomed_keks() == NIL)
		return (Datum) 0;
	sdes_admin_take_turns();
	foreach (cell, sdes_keyring_destroy_keks(DT_NOEND))
		put_fate((ReturnSetInfo *) fcinfo->resultinfo, lfirst(cell));
	return (Datum) 0;
}
