/*
 * shred.c
 *		sdes.shred_bucket(): a bucket's values become unreadable for ever.
 *
 * All its keys are destroyed: data keys in their rows, at once; KEKs in the HSM, by
 * orders that sdes.destroy_keks() carries out. What opens values until then, or
 * does so where this server has no hand in, is listed and not hidden.
 */
#include "postgres.h"

#include "admin/admin.h"
#include "audit/audit.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "keyring/instance.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "store/store.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

SDES_SQL_FUNCTION(sdes_shred_bucket);

/*
 * What still opens: $1 is the bucket's UUID, $2 the hash of its name. Operators are
 * qualified: it runs with rights that its caller does not have.
 */
static const char *const remains =
    "SELECT 'key encryption key', token_label, "
    "'ordered to be destroyed; SELECT * FROM sdes.destroy_keks() tells what came of it' "
    "FROM sdes.kek WHERE bucket OPERATOR(pg_catalog.=) $1 "
    "AND state OPERATOR(pg_catalog.=) 'destroying' "
    "UNION ALL "
    "SELECT 'keys in memory', 'sessions of this server', "
    "'wiped at their next statement, at the latest after sdes.key_cache_max_age' "
    "UNION ALL "
    "SELECT 'standby', coalesce(nullif(application_name, ''), pid::text), "
    "'reads until it has replayed this transaction' "
    "FROM pg_catalog.pg_stat_replication "
    "UNION ALL "
    "SELECT 'replication slot', slot_name::text, "
    "'keeps WAL with wrapped keys, and lets its standby read until it has replayed this' "
    "FROM pg_catalog.pg_replication_slots WHERE NOT active "
    "UNION ALL "
    "SELECT 'base backups, dumps and archived WAL', 'wherever they are', "
    "'hold wrapped keys, which open until each key encryption key above is destroyed' "
    "UNION ALL "
    "SELECT CASE kind WHEN 'backup' THEN 'key backup' ELSE 'exported keys' END, recipient, "
    "'open as before; the last of them is of ' OPERATOR(pg_catalog.||) max(exported_at) "
    "FROM sdes.exported WHERE bucket OPERATOR(pg_catalog.=) $1 GROUP BY kind, recipient "
    "UNION ALL "
    "SELECT 'search tokens', 'indexed columns of this bucket', "
    "'tell which values are equal; and which one a guess is equal to, until "
    "sdes.rotate_search_key(), sdes.switch_search_key() and destroy_key() of the old one' "
    "WHERE EXISTS (SELECT FROM (SELECT atttypmod FROM pg_catalog.pg_attribute "
    "JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) atttypid "
    "LEFT JOIN pg_catalog.pg_type e ON e.oid OPERATOR(pg_catalog.=) t.typelem "
    "WHERE 'sdes'::regnamespace OPERATOR(pg_catalog.=) "
    "ANY (ARRAY[t.typnamespace, e.typnamespace]) "
    "UNION ALL SELECT typtypmod FROM pg_catalog.pg_type "
    "WHERE typtype OPERATOR(pg_catalog.=) 'd') AS m (typmod) "
    "WHERE typmod OPERATOR(pg_catalog.>=) 0 "
    "AND (typmod OPERATOR(pg_catalog.>>) 5) OPERATOR(pg_catalog.=) $2 "
    "AND (typmod OPERATOR(pg_catalog.&) 3) OPERATOR(pg_catalog.<>) 0)";

static void
append(ReturnSetInfo *result, Datum *args)
{
	Oid types[] = {UUIDOID, INT4OID};

	if (SPI_execute_with_args(remains, 2, types, args, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum values[3];
		bool nulls[3];

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

static void
list_remains(ReturnSetInfo *result, const SdesBucketRow *bucket)
{
	Datum args[2];
	pg_uuid_t uuid;
	Oid user;
	int context;

	memcpy(uuid.data, bucket->uuid, SDES_UUID_SIZE);
	args[0] = UUIDPGetDatum(&uuid);
	args[1] = Int32GetDatum(bucket->hash);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	SPI_connect();
	append(result, args);
	SPI_finish();
	SetUserIdAndSecContext(user, context);
}

static void
destroy_keys(const SdesBucketRow *bucket)
{
	ListCell *cell;

	foreach (cell, sdes_keyring_living_deks(bucket->uuid))
		sdes_store_set_dek_state(((SdesDekRow *) lfirst(cell))->binding.key_id,
		                         SDES_KEY_DESTROYED, "shredded");
	foreach (cell, sdes_store_keks())
	{
		const SdesKekRow *kek = lfirst(cell);

		if (memcmp(kek->bucket, bucket->uuid, SDES_UUID_SIZE) == 0 &&
		    kek->state < SDES_KEK_DESTROYING)
			sdes_store_set_kek_state(kek->id, SDES_KEK_DESTROYING);
	}
}

Datum
sdes_shred_bucket(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"name", "confirm"};
	const char *name;
	SdesBucketRow bucket;

	sdes_refuse_nulls(fcinfo, arguments);
	sdes_admin_require("sdes.shred_bucket()", "shred encryption buckets");
	sdes_require_owner("shred encryption buckets");
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (strcmp(name, text_to_cstring(PG_GETARG_TEXT_PP(1))) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("bucket \"%s\" is not shredded", name),
		                errdetail("\"confirm\" is not the bucket's name."),
		                errhint("No value of it can be read afterwards, by anybody.")));
	sdes_admin_take_turns();
	sdes_require_owner("shred encryption buckets");
	sdes_admin_find_bucket(name, &bucket);
	if (bucket.system)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("bucket \"%s\" cannot be shredded", name),
		                errdetail("Literals and searches in every bucket depend on it.")));
	InitMaterializedSRF(fcinfo, 0);
	destroy_keys(&bucket);
	sdes_audit_event("shred bucket", bucket.uuid, "all keys");
	list_remains((ReturnSetInfo *) fcinfo->resultinfo, &bucket);
	return (Datum) 0;
}
