/*
 * build.c
 *		Building parcels of keys.
 *
 * Invariant: a key is in the open in locked memory only, of the agent and of this
 * process, from where it is unwrapped to where it is sealed; so is the content key.
 */
#include "postgres.h"

#include "exchange/internal.h"

#include "crypto/kdf.h"
#include "keyring/fetch.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* Microseconds from 1970 to 2000, PostgreSQL's epoch. */
#define EPOCH_DIFFERENCE ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* By purpose and version. */
static int
compare_keys(const ListCell *a, const ListCell *b)
{
	const SdesDekBinding *left = &((const SdesDekRow *) lfirst(a))->binding;
	const SdesDekBinding *right = &((const SdesDekRow *) lfirst(b))->binding;

	if (left->purpose != right->purpose)
		return left->purpose < right->purpose ? -1 : 1;
	return left->version < right->version ? -1 : left->version > right->version;
}

List *
sdes_keys_to_send(const SdesBucketRow *bucket, int *stay)
{
	List *keys = NIL;
	ListCell *cell;

	*stay = 0;
	foreach (cell, sdes_store_deks())
	{
		SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.bucket, bucket->uuid, SDES_UUID_SIZE) != 0 ||
		    row->state == SDES_KEY_DESTROYED)
			continue;
		if (row->binding.mode == SDES_MODE_HSM)
			(*stay)++;
		else
			keys = lappend(keys, row);
	}
	list_sort(keys, compare_keys);
	return keys;
}

/* ---- the manifest ---- */

static int
place_of(const List *buckets, const uint8 *uuid)
{
	int place = 0;
	ListCell *cell;

	foreach (cell, buckets)
	{
		if (memcmp(((const SdesBucketRow *) lfirst(cell))->uuid, uuid, SDES_UUID_SIZE) == 0)
			return place;
		place++;
	}
	elog(ERROR, "a key of a bucket that is not in the parcel");
}

/* Kind of the KEK of the bucket's last key among those that are sent. */
static void
write_bucket(SdesWriter *w, const SdesBucketRow *bucket, const List *keys)
{
	SdesParcelBucket record = {.system = bucket->system, .kek_kind = SDES_KEK_AES_256};
	char *utf8 = pg_server_to_any(bucket->name, (int) strlen(bucket->name), PG_UTF8);
	ListCell *cell;

	memcpy(record.uuid, bucket->uuid, SDES_UUID_SIZE);
	record.months = bucket->rotation_period.month;
	record.days = bucket->rotation_period.day;
	record.microseconds = bucket->rotation_period.time;
	strlcpy(record.name, utf8, sizeof(record.name));
	foreach (cell, keys)
	{
		const SdesDekBinding *binding = &((const SdesDekRow *) lfirst(cell))->binding;

		if (memcmp(binding->bucket, bucket->uuid, SDES_UUID_SIZE) == 0)
			record.kek_kind = sdes_kek_kind(sdes_keyring_kek(binding->kek_id));
	}
	sdes_parcel_write_bucket(w, &record);
}

static void
write_key(SdesWriter *w, const SdesDekRow *row, const List *buckets)
{
	SdesParcelKey record = {.version = row->binding.version,
	                        .purpose = row->binding.purpose,
	                        .mode = row->binding.mode,
	                        .state = (uint8) row->state,
	                        .created = row->created_at + EPOCH_DIFFERENCE};

	memcpy(record.key_id, row->binding.key_id, SDES_KEY_ID_SIZE);
	record.bucket = (uint16) place_of(buckets, row->binding.bucket);
	sdes_parcel_write_key(w, &record);
}

static SdesWriter
new_records(SdesBytes *records, size_t size)
{
	*records = sdes_bytes(palloc(size), size);
	return sdes_writer((void *) (uintptr_t) records->data, size);
}

/* Both ways where the recipient has a key for both and OpenSSL here knows how. */
static SdesParcelWrap
wrapping(const SdesParcelPlan *plan)
{
	const SdesAddressee *first = linitial(plan->addressees);

	return plan->kind == SDES_PARCEL_EXPORT && first->site->hybrid && sdes_kem_available()
	           ? SDES_WRAP_HYBRID
	           : SDES_WRAP_RSA;
}

/* The records, and all else that the manifest says. */
static void
describe(const SdesParcelPlan *plan, const SdesSite *own, SdesParcel *parcel)
{
	SdesWriter w;
	ListCell *cell;

	memset(parcel, 0, sizeof(*parcel));
	parcel->kind = (uint8) plan->kind;
	parcel->wrap = (uint8) wrapping(plan);
	parcel->threshold = (uint8) plan->threshold;
	parcel->created = GetCurrentTimestamp() + EPOCH_DIFFERENCE;
	parcel->nrecipients = (uint8) list_length(plan->addressees);
	parcel->nbuckets = (uint16) list_length(plan->buckets);
	parcel->nkeys = (uint32) list_length(plan->keys);
	memcpy(parcel->sender, own->row.fingerprint, SDES_FINGERPRINT_SIZE);
	sdes_random_uuid(parcel->id);

	w = new_records(&parcel->recipients, parcel->nrecipients * SDES_PARCEL_RECIPIENT_SIZE);
	foreach (cell, plan->addressees)
		sdes_parcel_write_recipient(&w, &((const SdesAddressee *) lfirst(cell))->record);
	w = new_records(&parcel->buckets, parcel->nbuckets * SDES_PARCEL_BUCKET_SIZE);
	foreach (cell, plan->buckets)
		write_bucket(&w, lfirst(cell), plan->keys);
	w = new_records(&parcel->keys, parcel->nkeys * SDES_PARCEL_KEY_RECORD_SIZE);
	foreach (cell, plan->keys)
		write_key(&w, lfirst(cell), plan->buckets);
}

/* ---- what is secret ---- */

/* A DEK from the agent, checked against its row; until sdes_agentlink_finish(). */
static SdesBytes
unwrap(const SdesDekRow *row)
{
	SdesLinkFailure failure;
	const SdesReply *reply = sdes_fetch_raw(row, SDES_PATIENT, &failure);

	if (reply == NULL)
		sdes_report(ERROR, failure.status, failure.detail);
	return reply->dek;
}

/* What an error is about. */
typedef struct InHand
{
	const char *bucket;
	uint32 version;
} InHand;

static void
say_what_is_in_hand(void *arg)
{
	const InHand *in_hand = arg;

	errcontext("key version %u of bucket \"%s\"", in_hand->version, in_hand->bucket);
}

static void
seal_key(const SdesParcel *parcel, SdesBytes content_key, uint32 at, const SdesDekRow *row,
         SdesWriter *w)
{
	uint8 sealed[SDES_PARCEL_SEALED_SIZE];
	SdesStatus status = sdes_parcel_seal(parcel, content_key, at, unwrap(row), sealed);

	sdes_agentlink_finish();
	sdes_check(status);
	sdes_write_bytes(w, SDES_BYTES_OF(sealed));
}

static void
seal_keys(const SdesParcelPlan *plan, const SdesParcel *parcel, SdesBytes content_key,
          SdesWriter *w)
{
	ErrorContextCallback context = {.callback = say_what_is_in_hand};
	InHand in_hand;
	ListCell *cell;

	context.arg = &in_hand;
	context.previous = error_context_stack;
	error_context_stack = &context;
	foreach (cell, plan->keys)
	{
		const SdesDekRow *row = lfirst(cell);
		const SdesBucketRow *bucket =
		    list_nth(plan->buckets, place_of(plan->buckets, row->binding.bucket));

		in_hand = (InHand){bucket->name, row->binding.version};
		seal_key(parcel, content_key, (uint32) foreach_current_index(cell), row, w);
	}
	error_context_stack = context.previous;
}

static void
write_wrapped(SdesWriter *w, const uint8 *wrapped, size_t size)
{
	sdes_write_u16(w, (uint16) size);
	sdes_write_bytes(w, sdes_bytes(wrapped, size));
}

/* Makes the content key, and wraps it for a site. */
static SdesStatus
address_site(const SdesParcel *parcel, const SdesCertificate *to, SdesSecret *content_key,
             SdesWriter *w)
{
	uint8 wrapped[SDES_PARCEL_WRAPPED_MAX];
	SdesStatus status;
	size_t size = 0;

	if (parcel->wrap == SDES_WRAP_HYBRID)
		status = sdes_parcel_wrap_hybrid(parcel, to, content_key->data, wrapped, &size);
	else
	{
		status = sdes_random(content_key->data, content_key->size);
		if (status == SDES_OK)
			status = sdes_parcel_wrap(parcel, sdes_secret_bytes(content_key), to->encrypts,
			                          to->key_id, wrapped, &size);
	}
	write_wrapped(w, wrapped, size);
	return status;
}

/* Makes the content key, and encrypts to each officer his share of it. */
static SdesStatus
address_officers(const SdesParcelPlan *plan, const SdesParcel *parcel,
                 SdesSecret *content_key, SdesWriter *w)
{
	uint8 wrapped[SDES_PARCEL_WRAPPED_MAX];
	SdesSecret shares;
	SdesStatus status =
	    sdes_secret_new(&shares, (size_t) parcel->nrecipients * SDES_PARCEL_KEY_SIZE);
	uint8 number = 0;
	ListCell *cell;

	if (status == SDES_OK)
		status = sdes_random(content_key->data, content_key->size);
	if (status == SDES_OK)
		status = sdes_share_split(sdes_secret_bytes(content_key), plan->threshold,
		                          parcel->nrecipients, shares.data);
	foreach (cell, plan->addressees)
	{
		const SdesAddressee *to = lfirst(cell);
		const uint8 *share = shares.data + number * SDES_PARCEL_KEY_SIZE;
		size_t size = 0;

		number++;
		if (status == SDES_OK)
			status = sdes_parcel_wrap_share(parcel, number, share, to->key, wrapped, &size);
		write_wrapped(w, wrapped, size);
	}
	sdes_secret_free(&shares);
	return status;
}

static void
write_secrets(const SdesParcelPlan *plan, const SdesParcel *parcel, SdesSecret *content_key,
              SdesWriter *w)
{
	const SdesAddressee *first = linitial(plan->addressees);
	size_t room = (size_t) parcel->nrecipients * (2 + SDES_PARCEL_WRAPPED_MAX);
	uint8 *wrapped = palloc(room);
	SdesWriter aside = sdes_writer(wrapped, room);
	uint8 commitment[SDES_DIGEST_SIZE];

	sdes_check(plan->kind == SDES_PARCEL_EXPORT
	               ? address_site(parcel, first->site, content_key, &aside)
	               : address_officers(plan, parcel, content_key, &aside));
	sdes_check(sdes_parcel_commitment(parcel, sdes_secret_bytes(content_key), commitment));
	sdes_write_bytes(w, SDES_BYTES_OF(commitment));
	sdes_write_bytes(w, sdes_bytes(wrapped, room - aside.left));
	seal_keys(plan, parcel, sdes_secret_bytes(content_key), w);
}

/* Everything after the manifest but the signature. */
static void
write_contents(const SdesParcelPlan *plan, const SdesParcel *parcel, SdesWriter *w)
{
	volatile SdesSecret content_key = {NULL, 0};

	sdes_check(sdes_secret_new((SdesSecret *) &content_key, SDES_PARCEL_KEY_SIZE));
	PG_TRY();
	{
		write_secrets(plan, parcel, (SdesSecret *) &content_key, w);
	}
	PG_FINALLY();
	{
		sdes_secret_free((SdesSecret *) &content_key);
	}
	PG_END_TRY();
}

/* ---- the record of what left ---- */

static void
record_bucket(const SdesParcelPlan *plan, const SdesParcel *parcel,
              const SdesBucketRow *bucket)
{
	SdesExportedRow row = {.backup = plan->kind == SDES_PARCEL_BACKUP};
	uint8(*ids)[SDES_KEY_ID_SIZE] = palloc((parcel->nkeys + 1) * sizeof(*ids));
	ListCell *cell;

	memcpy(row.parcel, parcel->id, SDES_UUID_SIZE);
	memcpy(row.bucket, bucket->uuid, SDES_UUID_SIZE);
	foreach (cell, plan->keys)
	{
		const SdesDekBinding *binding = &((const SdesDekRow *) lfirst(cell))->binding;

		if (memcmp(binding->bucket, bucket->uuid, SDES_UUID_SIZE) == 0)
			memcpy(ids[row.nkeys++], binding->key_id, SDES_KEY_ID_SIZE);
	}
	row.key_ids = (const uint8(*)[SDES_KEY_ID_SIZE]) ids;
	foreach (cell, plan->addressees)
	{
		const char *name = ((const SdesAddressee *) lfirst(cell))->record.name;

		row.recipient = pg_any_to_server(name, (int) strlen(name), PG_UTF8);
		/* Two officers of one name are told apart by their place. */
		if (row.backup)
			row.recipient =
			    psprintf("%s (%d)", row.recipient, foreach_current_index(cell) + 1);
		sdes_store_insert_exported(&row);
	}
}

/*
 * The row of sdes.exported goes when the transaction is rolled back; the client may have
 * the parcel then. So the log is told at once.
 */
static void
log_departure(const SdesParcelPlan *plan, const SdesParcel *parcel)
{
	StringInfoData to;
	ListCell *cell;

	initStringInfo(&to);
	foreach (cell, plan->addressees)
	{
		const char *name = ((const SdesAddressee *) lfirst(cell))->record.name;

		appendStringInfo(&to, "%s\"%s\"", to.len > 0 ? ", " : "",
		                 pg_any_to_server(name, (int) strlen(name), PG_UTF8));
	}
	ereport(LOG,
	        (errmsg("%u encryption key(s) leave this database, in %s for %s", parcel->nkeys,
	                plan->kind == SDES_PARCEL_BACKUP ? "a backup" : "an export", to.data),
	         errdetail("Role \"%s\" does that.", GetUserNameFromId(GetUserId(), false))));
}

static size_t
wrapped_size(const SdesParcelPlan *plan)
{
	return (size_t) list_length(plan->addressees) * SDES_PARCEL_WRAPPED_MAX;
}

bytea *
sdes_build_parcel(const SdesParcelPlan *plan, const SdesSite *own)
{
	uint8 signature[SDES_RSA_4096_SIZE];
	SdesParcel parcel;
	bytea *bytes;
	size_t size;
	SdesWriter w;
	ListCell *cell;

	describe(plan, own, &parcel);
	size = sdes_parcel_size(&parcel, wrapped_size(plan));
	if (size > SDES_PARCEL_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("there are too many keys for one parcel")));
	bytes = palloc(VARHDRSZ + size);
	w = sdes_writer(VARDATA(bytes), size);
	sdes_check(sdes_parcel_write_manifest(&w, &parcel));
	write_contents(plan, &parcel, &w);
	log_departure(plan, &parcel);
	sdes_site_sign(own, sdes_bytes(VARDATA(bytes), size - w.left), signature);
	sdes_write_u16(&w, sizeof(signature));
	sdes_write_bytes(&w, SDES_BYTES_OF(signature));
	if (w.failed)
		elog(ERROR, "a parcel does not fit where it must");
	SET_VARSIZE(bytes, VARHDRSZ + size - w.left);
	foreach (cell, plan->buckets)
		record_bucket(plan, &parcel, lfirst(cell));
	return bytes;
}
