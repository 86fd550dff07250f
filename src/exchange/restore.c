/*
 * restore.c
 *		sdes.restore_keys(): the keys of a backup, in a new HSM.
 *
 * Invariant: a key whose row is here takes that row's place only if it is the key that
 * the row commits to, and only where the row's own key encryption key is not in the
 * token. So a restore changes nothing where nothing was lost, may be run again after a
 * failure, and cannot bring in a key that somebody made up.
 */
#include "postgres.h"

#include "exchange/internal.h"

#include "audit/audit.h"
#include "catalog/pg_type.h"
#include "keyring/destroy.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "utils/array.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_restore_keys);

/* A bucket of the parcel, as it goes on here. */
typedef struct Place
{
	SdesBucketRow row;
	uint8 kind;
	SdesKekRow *kek; /* made for it; NULL as long as none was needed */
} Place;

typedef struct Restore
{
	SdesOpened *opened;
	Place *places; /* by their place in the parcel */
	List *rows;    /* SdesDekRow */
	List *present; /* ids of KEKs that are in the token */
	List *missing; /* and that are not */
	int restored;
} Restore;

/* ---- the content key ---- */

static void
read_shares(const SdesParcel *parcel, ArrayType *array, uint8 *numbers, uint8 *shares,
            int *count)
{
	Datum *elements;
	bool *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, count);
	if (*count < parcel->threshold || *count > SDES_SHARES_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("this backup is opened by %d share(s), and %d were given",
		                       parcel->threshold, *count)));
	for (int i = 0; i < *count; i++)
	{
		text *share = nulls[i] ? cstring_to_text("") : DatumGetTextPP(elements[i]);
		SdesStatus status = sdes_share_from_text(
		    sdes_bytes(VARDATA_ANY(share), VARSIZE_ANY_EXHDR(share)), parcel->id,
		    &numbers[i], shares + i * SDES_PARCEL_KEY_SIZE);

		if (status == SDES_OK)
			continue;
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("share %d is not a share of this backup", i + 1),
		                errhint("It is the line that openssl printed, which begins with "
		                        "\"sdes-share-1:\"."),
		                SDES_KEEP_OUT_OF_LOG));
	}
}

static void
combine(SdesOpened *opened, ArrayType *array, SdesSecret *shares)
{
	uint8 numbers[SDES_SHARES_MAX];
	SdesStatus status;
	int count;

	read_shares(&opened->parcel, array, numbers, shares->data, &count);
	status = sdes_share_combine(numbers, shares->data, count, opened->content_key.data,
	                            opened->content_key.size);
	if (status != SDES_OK)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("a share is given twice"), SDES_KEEP_OUT_OF_LOG));
	if (sdes_parcel_check_key(&opened->parcel, sdes_secret_bytes(&opened->content_key)) !=
	    SDES_OK)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("the shares do not open this backup"), SDES_KEEP_OUT_OF_LOG));
}

static void
open_content_key(SdesOpened *opened, ArrayType *array)
{
	volatile SdesSecret shares = {NULL, 0};

	sdes_check(sdes_secret_new(&opened->content_key, SDES_PARCEL_KEY_SIZE));
	sdes_check(
	    sdes_secret_new((SdesSecret *) &shares, SDES_SHARES_MAX * SDES_PARCEL_KEY_SIZE));
	PG_TRY();
	{
		combine(opened, array, (SdesSecret *) &shares);
	}
	PG_FINALLY();
	{
		sdes_secret_free((SdesSecret *) &shares);
	}
	PG_END_TRY();
}

/* ---- what is there ---- */

static bool
is_listed(const List *ids, const uint8 *id)
{
	ListCell *cell;

	foreach (cell, ids)
		if (memcmp(lfirst(cell), id, SDES_KEK_ID_SIZE) == 0)
			return true;
	return false;
}

/* Asks the token once for each. */
static bool
is_present(Restore *restore, const uint8 *kek)
{
	if (is_listed(restore->present, kek))
		return true;
	if (is_listed(restore->missing, kek))
		return false;
	if (!sdes_key_is_in_token(kek))
	{
		restore->missing = lappend(restore->missing, (void *) (uintptr_t) kek);
		return false;
	}
	restore->present = lappend(restore->present, (void *) (uintptr_t) kek);
	return true;
}

/* Whether a key, or a copy of it, can be unwrapped. */
static bool
is_at_hand(Restore *restore, const SdesDekRow *row)
{
	ListCell *cell;

	if (is_present(restore, row->binding.kek_id))
		return true;
	foreach (cell, sdes_store_copies(row))
		if (is_present(restore, ((const SdesDekRow *) lfirst(cell))->binding.kek_id))
			return true;
	return false;
}

static SdesDekRow *
find_key(const Restore *restore, const uint8 *key_id)
{
	ListCell *cell;

	foreach (cell, restore->rows)
	{
		SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.key_id, key_id, SDES_KEY_ID_SIZE) == 0)
			return row;
	}
	return NULL;
}

/* A system bucket of its own, or a bucket of that name, and the backup is another one's. */
static void
place_bucket(Place *place, const SdesParcelBucket *bucket)
{
	sdes_new_bucket_row(bucket, &place->row);
	place->kind = bucket->kek_kind;
	if (sdes_store_bucket_by_uuid(bucket->uuid, &place->row))
		return;
	sdes_check_name_is_free(&place->row, "restore");
	sdes_store_insert_bucket(&place->row);
}

/* ---- keys ---- */

static const SdesKekRow *
new_kek(Place *place, uint8 purpose)
{
	SdesKeySpec spec = {place->kind, SDES_MODE_CACHED, purpose};

	if (place->kek == NULL)
	{
		place->kek = palloc0(sizeof(SdesKekRow));
		sdes_keyring_make_kek(&place->row, &spec, place->kek);
	}
	return place->kek;
}

/* The row of a key whose KEK is gone. */
static void
rewrap(Restore *restore, uint32 at, const SdesDekRow *old, Place *place)
{
	SdesDekRow *row = palloc(sizeof(SdesDekRow));

	if (memcmp(old->binding.bucket, place->row.uuid, SDES_UUID_SIZE) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("a key in the backup is of another bucket than its row")));
	*row = *old;
	memcpy(row->binding.kek_id, new_kek(place, row->binding.purpose)->id, SDES_KEK_ID_SIZE);
	sdes_unpack_key(restore->opened, at, old, row);
	sdes_store_set_dek_wrap(row);
	sdes_keyring_spread(row);
	restore->restored++;
}

static bool
has_in_state(const Restore *restore, const SdesDekBinding *binding, SdesKeyState state)
{
	ListCell *cell;

	foreach (cell, restore->rows)
	{
		const SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.bucket, binding->bucket, SDES_UUID_SIZE) == 0 &&
		    row->binding.purpose == binding->purpose && row->state == state)
			return true;
	}
	return false;
}

/* A key that has no row here: of a database without its rows, or of an older dump. */
static void
add(Restore *restore, uint32 at, const SdesParcelKey *key, Place *place)
{
	SdesDekRow *row = palloc0(sizeof(SdesDekRow));

	memcpy(row->binding.key_id, key->key_id, SDES_KEY_ID_SIZE);
	memcpy(row->binding.bucket, place->row.uuid, SDES_UUID_SIZE);
	row->binding.version = key->version;
	row->binding.purpose = key->purpose;
	row->binding.mode = key->mode;
	row->state = (SdesKeyState) key->state;
	/* The database that was backed up may live on. */
	row->foreign = true;
	/* What this database seals under already, it goes on with. */
	if ((row->state == SDES_KEY_ACTIVE || row->state == SDES_KEY_INCOMING) &&
	    has_in_state(restore, &row->binding, row->state))
		row->state = SDES_KEY_DECRYPT_ONLY;
	memcpy(row->binding.kek_id, new_kek(place, key->purpose)->id, SDES_KEK_ID_SIZE);
	sdes_unpack_key(restore->opened, at, NULL, row);
	sdes_store_insert_dek(row);
	sdes_keyring_spread(row);
	restore->rows = lappend(restore->rows, row);
	restore->restored++;
}

static void
restore_key(Restore *restore, uint32 at)
{
	SdesParcelKey key;
	SdesDekRow *row;

	sdes_parcel_key(&restore->opened->parcel, at, &key);
	row = find_key(restore, key.key_id);
	if (row == NULL)
		add(restore, at, &key, &restore->places[key.bucket]);
	else if (row->state != SDES_KEY_DESTROYED && !is_at_hand(restore, row))
		rewrap(restore, at, row, &restore->places[key.bucket]);
}

/* ---- what remains ---- */

/* KEKs that are lost, and that nothing is under any more, are in no token any more. */
static void
give_up_lost_keks(const Restore *restore)
{
	ListCell *cell;

	foreach (cell, restore->missing)
	{
		const uint8 *id = lfirst(cell);

		if (!sdes_keyring_kek_in_use(id))
			sdes_store_set_kek_state(id, SDES_KEK_DESTROYED);
	}
}

/* Keys that need a KEK that is gone and that the backup does not have. */
static void
report_lost_keys(Restore *restore)
{
	int lost = 0;
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->state != SDES_KEY_DESTROYED && !is_at_hand(restore, row))
			lost++;
	}
	if (lost > 0)
		ereport(WARNING,
		        (errmsg("%d key(s) of this database are neither in the HSM nor in this "
		                "backup",
		                lost),
		         errdetail("They are of mode \"hsm\", or newer than the backup."),
		         errhint("Restore a newer backup, too. See SELECT * FROM sdes.health().")));
}

/* The keys of this site were lost with the HSM, too: it gets new ones at the next need. */
static void
forget_lost_site(void)
{
	SdesSite *own = sdes_site_own(false);
	SdesRequest request = {.op = SDES_OP_PUBLIC_KEY};
	SdesLinkFailure failure;

	if (own == NULL)
		return;
	memcpy(request.kek_id, own->row.signing_key, SDES_KEK_ID_SIZE);
	if (sdes_agentlink_try(&request, SDES_PATIENT, &failure) != NULL)
	{
		sdes_agentlink_finish();
		return;
	}
	if (failure.status != SDES_ERR_HSM_KEY_MISSING)
		sdes_report(ERROR, failure.status, failure.detail);
	sdes_store_delete_site(own->row.fingerprint);
	ereport(NOTICE,
	        (errmsg("this site's own keys were lost with the HSM"),
	         errdetail("It was known to others as \"%s\".", own->row.name),
	         errhint("Other sites have to trust its new certificate: SELECT "
	                 "sdes.site_certificate(). For another backup of the old one to be "
	                 "restored, an officer has to trust the old certificate.")));
}

Datum
sdes_restore_keys(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"backup", "shares"};
	const SdesParcel *parcel;
	Restore restore = {0};

	sdes_refuse_nulls(fcinfo, arguments);
	sdes_exchange_begin("sdes.restore_keys()", "sdes_admin", "restore encryption keys");
	restore.opened = sdes_open_parcel(PG_GETARG_BYTEA_PP(0), SDES_PARCEL_BACKUP);
	parcel = &restore.opened->parcel;
	open_content_key(restore.opened, PG_GETARG_ARRAYTYPE_P(1));
	restore.rows = sdes_store_deks();
	restore.places = palloc0(parcel->nbuckets * sizeof(Place));
	for (uint16 i = 0; i < parcel->nbuckets; i++)
	{
		SdesParcelBucket bucket;

		sdes_parcel_bucket(parcel, i, &bucket);
		place_bucket(&restore.places[i], &bucket);
	}
	for (uint32 at = 0; at < parcel->nkeys; at++)
		restore_key(&restore, at);
	give_up_lost_keks(&restore);
	report_lost_keys(&restore);
	forget_lost_site();
	sdes_audit_event("restore keys", NULL, "%d keys of a backup", restore.restored);
	PG_RETURN_INT32(restore.restored);
}
