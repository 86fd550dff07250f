/*
 * export.c
 *		sdes.export_keys(): the keys of a bucket for a trusted site.
 *
 * The search key goes along, always: without it nobody finds a value by an index there.
 */
#include "postgres.h"

#include "exchange/internal.h"

#include "audit/audit.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_export_keys);

static SdesBucketRow *
find_bucket(const char *name)
{
	SdesBucketRow *bucket = palloc0(sizeof(SdesBucketRow));

	sdes_require_bucket(name, bucket);
	if (bucket->system)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("the system bucket cannot be exported"),
		         errdetail("Its search key goes along with every bucket; its literal "
		                   "key is of no use to another site.")));
	return bucket;
}

static List *
data_keys(const SdesBucketRow *bucket)
{
	int stay;
	List *keys = sdes_keys_to_send(bucket, &stay);

	if (keys == NIL && stay > 0)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		     errmsg("keys of bucket \"%s\" cannot be exported", bucket->name),
		     errdetail("In mode \"hsm\" values are encrypted by a key that never leaves "
		               "the HSM."),
		     errhint("Copy its values into a bucket of mode \"cached\", or have both "
		             "sites use one HSM.")));
	if (keys == NIL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("bucket \"%s\" has no keys", bucket->name),
		                errhint("See SELECT * FROM sdes.keys.")));
	if (stay > 0)
		ereport(NOTICE,
		        (errmsg("%d key(s) of mode \"hsm\" cannot leave the HSM and stay", stay)));
	return keys;
}

/* Adds the system bucket with its search keys. */
static void
add_search_keys(SdesParcelPlan *plan)
{
	SdesBucketRow *system = palloc0(sizeof(SdesBucketRow));
	int stay;
	ListCell *cell;

	if (!sdes_store_bucket_by_name(SDES_SYSTEM_BUCKET, system))
		return;
	foreach (cell, sdes_keys_to_send(system, &stay))
	{
		SdesDekRow *row = lfirst(cell);

		if (row->binding.purpose == SDES_PURPOSE_SEARCH)
			plan->keys = lappend(plan->keys, row);
	}
	plan->buckets = lappend(plan->buckets, system);
}

static SdesAddressee *
addressee(const SdesSite *site)
{
	SdesAddressee *to = palloc0(sizeof(SdesAddressee));

	memcpy(to->record.fingerprint, site->certificate.fingerprint, SDES_FINGERPRINT_SIZE);
	strlcpy(to->record.name, site->certificate.name, sizeof(to->record.name));
	to->site = &site->certificate;
	return to;
}

Datum
sdes_export_keys(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"bucket", "recipient"};
	SdesParcelPlan plan = {.kind = SDES_PARCEL_EXPORT};
	SdesBucketRow *bucket;

	sdes_refuse_nulls(fcinfo, arguments);
	sdes_exchange_begin("sdes.export_keys()", "sdes_admin", "export encryption keys");
	bucket = find_bucket(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	plan.addressees =
	    list_make1(addressee(sdes_site_by_name(text_to_cstring(PG_GETARG_TEXT_PP(1)))));
	plan.buckets = list_make1(bucket);
	plan.keys = data_keys(bucket);
	add_search_keys(&plan);
	sdes_audit_act("export keys", bucket->uuid, "%d keys for site %s",
	               list_length(plan.keys), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	PG_RETURN_BYTEA_P(sdes_build_parcel(&plan, sdes_site_own(true)));
}
