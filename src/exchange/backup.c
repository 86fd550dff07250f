/*
 * backup.c
 *		sdes.backup_keys() and sdes.backup_shares(): a sealed copy of all keys, for
 *		officers who open it together.
 *
 * The officers' keys are no business of this database: it gets their certificates with
 * each backup. Whoever makes a backup decides who can open it, and so could read
 * everything: that is for security officers, who can grant themselves as much anyway, and
 * not for administrators of keys. It is recorded in sdes.exported and in the log.
 */
#include "postgres.h"

#include "exchange/internal.h"

#include "audit/audit.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "utils/array.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_backup_keys);
SDES_SQL_FUNCTION(sdes_backup_shares);

static void
free_certificate(void *certificate)
{
	sdes_certificate_free(certificate);
}

static SdesAddressee *
read_officer(const char *pem, int number)
{
	SdesAddressee *officer = palloc0(sizeof(SdesAddressee));
	SdesCertificate *certificate = palloc0(sizeof(SdesCertificate));
	MemoryContextCallback *callback = palloc0(sizeof(*callback));

	if (sdes_certificate_read_officer(sdes_bytes(pem, strlen(pem)), certificate) != SDES_OK)
		ereport(
		    ERROR,
		    (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		     errmsg("certificate %d cannot be used", number),
		     errhint("It is a text of one certificate in PEM, with a common name and an "
		             "RSA key of %d bits or more.",
		             SDES_RSA_BITS_MIN)));
	callback->func = free_certificate;
	callback->arg = certificate;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	memcpy(officer->record.fingerprint, certificate->fingerprint, SDES_FINGERPRINT_SIZE);
	strlcpy(officer->record.name, certificate->name, sizeof(officer->record.name));
	officer->key = certificate->key;
	return officer;
}

/* Each officer has one share: two in one hand would undo the threshold. */
static void
refuse_twice(const List *officers, const SdesAddressee *officer)
{
	ListCell *cell;

	foreach (cell, officers)
	{
		const SdesAddressee *other = lfirst(cell);

		if (memcmp(other->record.fingerprint, officer->record.fingerprint,
		           SDES_FINGERPRINT_SIZE) == 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			                errmsg("a certificate is given twice"),
			                errdetail("It is that of \"%s\".", officer->record.name)));
	}
}

static List *
read_officers(ArrayType *array)
{
	List *officers = NIL;
	Datum *elements;
	bool *nulls;
	int n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n < 1 || n > SDES_SHARES_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("a backup is for 1 to %d officers", SDES_SHARES_MAX)));
	for (int i = 0; i < n; i++)
	{
		SdesAddressee *officer =
		    read_officer(nulls[i] ? "" : TextDatumGetCString(elements[i]), i + 1);

		refuse_twice(officers, officer);
		officers = lappend(officers, officer);
	}
	return officers;
}

/* All buckets with keys that can leave the HSM, and those keys. */
static void
plan_keys(SdesParcelPlan *plan)
{
	ListCell *cell;

	foreach (cell, sdes_store_buckets())
	{
		SdesBucketRow *bucket = lfirst(cell);
		int stay;
		List *keys = sdes_keys_to_send(bucket, &stay);

		if (stay > 0)
			ereport(WARNING,
			        (errmsg("keys of bucket \"%s\" are not in the backup", bucket->name),
			         errdetail("In mode \"hsm\" values are encrypted by keys that never "
			                   "leave the HSM, and are lost with it."),
			         errhint("Have the HSM itself backed up.")));
		if (keys == NIL)
			continue;
		plan->buckets = lappend(plan->buckets, bucket);
		plan->keys = list_concat(plan->keys, keys);
	}
	if (plan->keys == NIL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("this database has no encryption keys yet")));
}

Datum
sdes_backup_keys(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"certificates", "threshold"};
	SdesParcelPlan plan = {.kind = SDES_PARCEL_BACKUP};

	sdes_refuse_nulls(fcinfo, arguments);
	sdes_exchange_begin("sdes.backup_keys()", "sdes_officer", "back up encryption keys");
	plan.addressees = read_officers(PG_GETARG_ARRAYTYPE_P(0));
	plan.threshold = PG_GETARG_INT32(1);
	if (plan.threshold < 1 || plan.threshold > list_length(plan.addressees))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("threshold must be from 1 to the number of certificates, %d",
		                       list_length(plan.addressees))));
	plan_keys(&plan);
	sdes_audit_act("back up keys", NULL, "%d keys for %d officers, of whom %d are needed",
	               list_length(plan.keys), list_length(plan.addressees), plan.threshold);
	PG_RETURN_BYTEA_P(sdes_build_parcel(&plan, sdes_site_own(true)));
}

/*
 * Needs no HSM, no key and no trust, and asks for no role: it only takes apart what the
 * caller has.
 */
Datum
sdes_backup_shares(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	ReturnSetInfo *result;
	SdesParcel parcel;

	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (sdes_parcel_parse(sdes_bytes(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)),
	                      &parcel) != SDES_OK ||
	    parcel.kind != SDES_PARCEL_BACKUP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("this is no backup of keys, or a damaged one"),
		                errhint("Give exactly what sdes.backup_keys() returned.")));
	for (int i = 0; i < parcel.nrecipients; i++)
	{
		SdesParcelRecipient officer;
		Datum values[4];
		bool nulls[4] = {false};
		bytea *share = palloc(VARHDRSZ + parcel.wrapped[i].size);
		char digits[2 * SDES_FINGERPRINT_SIZE + 1];

		sdes_parcel_recipient(&parcel, (size_t) i, &officer);
		hex_encode((char *) officer.fingerprint, SDES_FINGERPRINT_SIZE, digits);
		digits[2 * SDES_FINGERPRINT_SIZE] = '\0';
		SET_VARSIZE(share, VARHDRSZ + parcel.wrapped[i].size);
		memcpy(VARDATA(share), parcel.wrapped[i].data, parcel.wrapped[i].size);
		values[0] = Int32GetDatum(i + 1);
		values[1] = CStringGetTextDatum(
		    pg_any_to_server(officer.name, (int) strlen(officer.name), PG_UTF8));
		values[2] = CStringGetTextDatum(digits);
		values[3] = PointerGetDatum(share);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
