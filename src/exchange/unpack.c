/*
 * unpack.c
 *		Opening parcels of keys.
 *
 * Invariant: nothing of a parcel is used before its signature was verified, by a
 * certificate that an officer has trusted.
 */
#include "postgres.h"

#include "exchange/internal.h"

#include "mb/pg_wchar.h"
#include "sdes_compat.h"
#include "sdes_errors.h"

static void
free_content_key(void *content_key)
{
	sdes_secret_free(content_key);
}

static void
take_apart(SdesBytes bytes, SdesParcelKind kind, SdesParcel *parcel)
{
	if (sdes_parcel_parse(bytes, parcel) != SDES_OK)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("this is no parcel of keys, or a damaged one"),
		         errhint("Give exactly what sdes.export_keys() or sdes.backup_keys() "
		                 "returned. A newer version may have made it.")));
	if (parcel->kind != kind)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                kind == SDES_PARCEL_EXPORT ? errmsg("this is a backup of keys")
		                                           : errmsg("this is an export of keys"),
		                kind == SDES_PARCEL_EXPORT
		                    ? errhint("Backups are restored by sdes.restore_keys().")
		                    : errhint("Exports are imported by sdes.import_keys().")));
}

SdesOpened *
sdes_open_parcel(bytea *bytes, SdesParcelKind kind)
{
	SdesOpened *opened = palloc0(sizeof(SdesOpened));

	take_apart(sdes_bytes(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)), kind,
	           &opened->parcel);
	opened->sender = sdes_site_by_fingerprint(opened->parcel.sender);
	if (opened->sender == NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
		         errmsg("the site that sent these keys is not trusted"),
		         errhint("Have an officer trust it by sdes.trust_site(), after comparing "
		                 "its certificate's fingerprint.")));
	if (sdes_parcel_verify(&opened->parcel, opened->sender->certificate.key) != SDES_OK)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("the parcel of keys does not have its sender's signature"),
		                errdetail("It was changed on its way, or is not of site \"%s\".",
		                          opened->sender->row.name)));
	opened->callback.func = free_content_key;
	opened->callback.arg = &opened->content_key;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &opened->callback);
	return opened;
}

const char *
sdes_parcel_bucket_name(const SdesParcelBucket *bucket)
{
	char *copy = pstrdup(bucket->name);

	return pg_any_to_server(copy, (int) strlen(copy), PG_UTF8);
}

void
sdes_new_bucket_row(const SdesParcelBucket *bucket, SdesBucketRow *row)
{
	memset(row, 0, sizeof(*row));
	memcpy(row->uuid, bucket->uuid, SDES_UUID_SIZE);
	strlcpy(row->name, sdes_parcel_bucket_name(bucket), sizeof(row->name));
	row->hash = sdes_bucket_hash(row->name);
	row->system = bucket->system;
	row->rotation_period.month = bucket->months;
	row->rotation_period.day = bucket->days;
	row->rotation_period.time = bucket->microseconds;
	sdes_check_rotation_period(&row->rotation_period);
}

void
sdes_check_name_is_free(const SdesBucketRow *row, const char *action)
{
	SdesBucketRow other;

	if (!sdes_store_bucket_by_hash(row->hash, &other))
		return;
	ereport(ERROR,
	        (errcode(ERRCODE_DUPLICATE_OBJECT),
	         strcmp(other.name, row->name) == 0
	             ? errmsg("cannot %s bucket \"%s\": there is another bucket of that name",
	                      action, row->name)
	             : errmsg("cannot %s bucket \"%s\": its name collides with that of bucket "
	                      "\"%s\"",
	                      action, row->name, other.name),
	         errdetail("Buckets are the same only if their UUIDs are."),
	         errhint("Do that in another database.")));
}

/* Wraps a DEK of a parcel anew, in the agent. */
static void
wrap(SdesBytes dek, SdesDekRow *row)
{
	SdesRequest request = {.op = SDES_OP_DEK_WRAP, .binding = row->binding, .dek = dek};
	const SdesReply *reply = sdes_agentlink_ask(&request);

	memcpy(row->commitment, reply->commitment, SDES_COMMITMENT_SIZE);
	row->wrapped_size = reply->wrapped_size;
	row->wrapped = palloc(reply->wrapped_size);
	memcpy(row->wrapped, reply->wrapped, reply->wrapped_size);
	sdes_agentlink_finish();
}

void
sdes_unpack_key(const SdesOpened *opened, uint32 at, const SdesDekRow *old, SdesDekRow *row)
{
	volatile SdesSecret dek = {NULL, 0};
	SdesBytes content_key = sdes_secret_bytes(&opened->content_key);
	SdesStatus status =
	    sdes_parcel_open(&opened->parcel, content_key, at, (SdesSecret *) &dek);

	if (status == SDES_ERR_TAG)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("a key in the parcel is not authentic")));
	sdes_check(status);
	PG_TRY();
	{
		SdesBytes bytes = sdes_bytes(dek.data, dek.size);

		if (old != NULL)
			sdes_check(sdes_dek_check(bytes, &old->binding, old->commitment));
		wrap(bytes, row);
	}
	PG_FINALLY();
	{
		sdes_secret_free((SdesSecret *) &dek);
	}
	PG_END_TRY();
}

uint32
sdes_last_version(const List *rows, const uint8 *bucket, SdesDekPurpose purpose)
{
	uint32 last = 0;
	ListCell *cell;

	foreach (cell, rows)
	{
		const SdesDekBinding *binding = &((const SdesDekRow *) lfirst(cell))->binding;

		if (memcmp(binding->bucket, bucket, SDES_UUID_SIZE) == 0 &&
		    binding->purpose == purpose)
			last = Max(last, binding->version);
	}
	return last;
}

uint8
sdes_kek_kind_by_name(const char *name)
{
	for (uint8 kind = SDES_KEK_AES_256; sdes_kek_kind_name(kind) != NULL; kind++)
		if (strcmp(name, sdes_kek_kind_name(kind)) == 0)
			return kind;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("unrecognized kind of key encryption key: \"%s\"", name),
	                errhint("It is \"%s\" or \"%s\".", sdes_kek_kind_name(SDES_KEK_AES_256),
	                        sdes_kek_kind_name(SDES_KEK_RSA_4096))));
}
