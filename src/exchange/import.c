/*
 * import.c
 *		sdes.import_keys(): the keys of another site's bucket, under a key encryption
 *		key of this site.
 *
 * Invariant: nothing is ever sealed here under a key that came from elsewhere. Imported
 * data keys are decrypt-only, and the bucket gets a key of its own to seal under.
 *
 * The search key is the exception that proves nothing is sealed by it: a database that
 * has none yet goes on with the sender's, so that values of both are found by one index,
 * and brings in the one that succeeds it there. One that has another keeps it, and tokens
 * of the two do not compare (an error, see search/compare.c): they carry the version of
 * their key, by which they are told apart.
 */
#include "postgres.h"

#include "exchange/internal.h"

#include "audit/audit.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_import_keys);

typedef struct Import
{
	SdesOpened *opened;
	uint8 kind; /* of new KEKs */
	List *rows; /* SdesDekRow: what is in sdes.dek, and what was added */
} Import;

/* ---- is it for us, and new ---- */

static void
check_recipient(const SdesOpened *opened, const SdesSite *own)
{
	SdesParcelRecipient recipient;

	sdes_parcel_recipient(&opened->parcel, 0, &recipient);
	if (opened->sender->row.own)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("these keys were exported by this very site")));
	if (own == NULL ||
	    memcmp(recipient.fingerprint, own->row.fingerprint, SDES_FINGERPRINT_SIZE) != 0)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("these keys were exported for another site"),
		         errdetail("The recipient is \"%s\".", recipient.name),
		         errhint("Have the sender trust this site's certificate, and export the "
		                 "keys for it.")));
}

static void
check_replay(const SdesOpened *opened)
{
	if (sdes_store_is_imported(opened->parcel.id))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
		                errmsg("this parcel of keys was imported before"),
		                errhint("For newer keys have the sender export them again.")));
}

/* What the token unwraps: the content key, or the first secret of which it is made. */
static void
unwrap_secret(SdesOpened *opened, const SdesSite *own, SdesSecret *secret)
{
	SdesRequest request = {.op = SDES_OP_DEK_UNWRAP};
	SdesBytes wrapped = sdes_parcel_wrapped_secret(&opened->parcel);
	const SdesReply *reply;

	if (wrapped.size > sizeof(request.wrapped))
		sdes_report(ERROR, SDES_ERR_FORMAT, NULL);
	sdes_parcel_binding(&opened->parcel, own->row.encryption_key, &request.binding);
	request.wrapped_size = wrapped.size;
	memcpy(request.wrapped, wrapped.data, wrapped.size);
	sdes_check(sdes_secret_new(secret, SDES_PARCEL_KEY_SIZE));
	reply = sdes_agentlink_ask(&request);
	memcpy(secret->data, reply->dek.data, SDES_PARCEL_KEY_SIZE);
	sdes_agentlink_finish();
}

/* The content key out of what the token unwrapped and the site's ML-KEM key. */
static void
combine(SdesOpened *opened, const SdesSite *own)
{
	SdesSecret root = {NULL, 0};
	SdesStatus status;

	if (!own->row.hybrid || !sdes_kem_available())
		ereport(
		    ERROR,
		    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		     errmsg("these keys are encrypted by ML-KEM-768, too, which OpenSSL does not "
		            "have here"),
		     errhint("Import them on a server with OpenSSL 3.5 or later, as the one was "
		             "that made this site's certificate.")));
	sdes_site_kem_root(&own->row, &root);
	status =
	    sdes_parcel_hybrid_key(&opened->parcel, sdes_secret_bytes(&opened->content_key),
	                           sdes_secret_bytes(&root), opened->content_key.data);
	sdes_secret_free(&root);
	sdes_check(status);
}

static void
open_content_key(SdesOpened *opened, const SdesSite *own)
{
	unwrap_secret(opened, own, &opened->content_key);
	if (opened->parcel.wrap == SDES_WRAP_HYBRID)
		combine(opened, own);
	if (sdes_parcel_check_key(&opened->parcel, sdes_secret_bytes(&opened->content_key)) !=
	    SDES_OK)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("the parcel's content key is not the one it commits to")));
}

/* ---- rows ---- */

static SdesDekRow *
find_key(const Import *import, const uint8 *key_id)
{
	ListCell *cell;

	foreach (cell, import->rows)
	{
		SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.key_id, key_id, SDES_KEY_ID_SIZE) == 0)
			return row;
	}
	return NULL;
}

static const SdesDekRow *
find_version(const Import *import, const uint8 *bucket, uint8 purpose, uint32 version)
{
	ListCell *cell;

	foreach (cell, import->rows)
	{
		const SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.bucket, bucket, SDES_UUID_SIZE) == 0 &&
		    row->binding.purpose == purpose && row->binding.version == version)
			return row;
	}
	return NULL;
}

/* The key at that place, as a row of that bucket under that KEK. */
static void
add_key(Import *import, uint32 at, const SdesParcelKey *key, uint32 version,
        const SdesKekRow *kek, SdesKeyState state)
{
	SdesDekRow *row = palloc0(sizeof(SdesDekRow));

	memcpy(row->binding.key_id, key->key_id, SDES_KEY_ID_SIZE);
	memcpy(row->binding.bucket, kek->bucket, SDES_UUID_SIZE);
	row->binding.version = version;
	row->binding.purpose = key->purpose;
	row->binding.mode = key->mode;
	memcpy(row->binding.kek_id, kek->id, SDES_KEK_ID_SIZE);
	row->state = state;
	row->pinned = state == SDES_KEY_DECRYPT_ONLY;
	sdes_unpack_key(import->opened, at, NULL, row);
	sdes_store_insert_dek(row);
	if (state == SDES_KEY_DECRYPT_ONLY)
		sdes_store_set_dek_state(
		    row->binding.key_id, SDES_KEY_DECRYPT_ONLY,
		    psprintf("imported from site %s", import->opened->sender->row.name));
	sdes_keyring_spread(row);
	import->rows = lappend(import->rows, row);
}

/* The KEK under which a bucket's active key of a purpose is; NULL if it has none. */
static const SdesKekRow *
active_kek(const Import *import, const uint8 *bucket, uint8 purpose)
{
	ListCell *cell;

	foreach (cell, import->rows)
	{
		const SdesDekRow *row = lfirst(cell);
		SdesKekRow *kek;

		if (memcmp(row->binding.bucket, bucket, SDES_UUID_SIZE) != 0 ||
		    row->binding.purpose != purpose || row->state != SDES_KEY_ACTIVE)
			continue;
		kek = palloc0(sizeof(SdesKekRow));
		memcpy(kek->id, row->binding.kek_id, SDES_KEK_ID_SIZE);
		memcpy(kek->bucket, bucket, SDES_UUID_SIZE);
		return kek;
	}
	return NULL;
}

/* ---- the bucket ---- */

/* A row with the sender's UUID and name, if it is not there from an earlier import. */
static SdesBucketRow
receive_bucket(const SdesParcelBucket *bucket)
{
	SdesBucketRow row, mine;

	sdes_new_bucket_row(bucket, &row);
	if (!sdes_store_bucket_by_uuid(row.uuid, &mine))
	{
		sdes_check_name_is_free(&row, "import");
		sdes_store_insert_bucket(&row);
		return row;
	}
	if (strcmp(mine.name, row.name) != 0 || mine.system != row.system)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("bucket \"%s\" has the UUID of a bucket \"%s\" of this "
		                       "database",
		                       row.name, mine.name)));
	return mine;
}

static void
import_data_keys(Import *import, uint16 place, const SdesBucketRow *bucket)
{
	SdesKeySpec spec = {import->kind, SDES_MODE_CACHED, SDES_PURPOSE_DATA};
	const SdesKekRow *kek = active_kek(import, bucket->uuid, SDES_PURPOSE_DATA);
	bool fresh = kek == NULL;

	if (fresh)
	{
		SdesKekRow *made = palloc0(sizeof(SdesKekRow));

		sdes_keyring_make_kek(bucket, &spec, made);
		kek = made;
	}
	for (uint32 at = 0; at < import->opened->parcel.nkeys; at++)
	{
		SdesParcelKey key;
		uint32 version;

		sdes_parcel_key(&import->opened->parcel, at, &key);
		if (key.bucket != place || key.purpose != SDES_PURPOSE_DATA ||
		    find_key(import, key.key_id) != NULL)
			continue;
		/* Ids tell keys apart; a number that is taken here is of a key of our own. */
		version = key.version;
		if (find_version(import, bucket->uuid, key.purpose, version) != NULL)
			version = sdes_last_version(import->rows, bucket->uuid, SDES_PURPOSE_DATA) + 1;
		add_key(import, at, &key, version, kek, SDES_KEY_DECRYPT_ONLY);
	}
	if (fresh)
		sdes_keyring_make_dek(
		    kek, &spec,
		    sdes_last_version(import->rows, bucket->uuid, SDES_PURPOSE_DATA) + 1);
}

/* ---- the search key ---- */

/*
 * The system bucket of a database that has none yet: it takes the sender's search keys
 * as they are.
 */
static SdesKekRow *
make_system_bucket(const Import *import, const SdesParcelBucket *bucket)
{
	SdesKeySpec literals = {import->kind, SDES_MODE_CACHED, SDES_PURPOSE_LITERAL};
	SdesKekRow *kek = palloc0(sizeof(SdesKekRow));
	SdesBucketRow row;

	sdes_new_bucket_row(bucket, &row);
	/* Of a database: another one's is another bucket. */
	sdes_random_uuid(row.uuid);
	sdes_check_name_is_free(&row, "make");
	sdes_store_insert_bucket(&row);
	sdes_keyring_make_kek(&row, &literals, kek);
	sdes_keyring_make_dek(kek, &literals, 1);
	return kek;
}

static void
report_search_collision(uint32 version)
{
	ereport(ERROR,
	        (errcode(ERRCODE_DUPLICATE_OBJECT),
	         errmsg("search key %u of the sender has the number of another one of this "
	                "database",
	                version),
	         errdetail("Search tokens carry that number, and could not be told apart."),
	         errhint("Import the keys into a database that has no bucket yet: it takes the "
	                 "sender's search key over.")));
}

/* The search keys of a database that has some: what becomes of the sender's. */
typedef struct Line
{
	bool shared; /* our active one is of the sender's, and so those after it can be ours */
	uint32 version; /* of our active one */
	bool is_moving; /* values are getting or losing tokens */
} Line;

static bool
is_sent(const Import *import, uint16 place, const uint8 *key_id)
{
	for (uint32 at = 0; at < import->opened->parcel.nkeys; at++)
	{
		SdesParcelKey key;

		sdes_parcel_key(&import->opened->parcel, at, &key);
		if (key.bucket == place && memcmp(key.key_id, key_id, SDES_KEY_ID_SIZE) == 0)
			return true;
	}
	return false;
}

static Line
read_line(const Import *import, uint16 place)
{
	Line line = {0};
	ListCell *cell;

	foreach (cell, import->rows)
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->binding.purpose != SDES_PURPOSE_SEARCH)
			continue;
		if (row->state == SDES_KEY_ACTIVE)
		{
			line.version = row->binding.version;
			line.shared = is_sent(import, place, row->binding.key_id);
		}
		else if (row->state == SDES_KEY_INCOMING ||
		         (row->state == SDES_KEY_DECRYPT_ONLY && !row->pinned && !row->emptied))
			line.is_moving = true;
	}
	return line;
}

/* Values get tokens of it here as well: those of both sites go on being found together. */
static void
bring_in(Import *import, uint32 at, const SdesParcelKey *key, const SdesKekRow *kek,
         Line *line)
{
	const char *site = import->opened->sender->row.name;

	if (line->is_moving)
	{
		ereport(NOTICE,
		        (errmsg("search key %u of site \"%s\" cannot be brought in yet",
		                key->version, site),
		         errdetail("This database is in the midst of replacing its search key."),
		         errhint("Have the sender export the keys again when that is done; see "
		                 "SELECT * FROM sdes.rotation_progress.")));
		return;
	}
	add_key(import, at, key, key->version, kek, SDES_KEY_INCOMING);
	line->is_moving = true;
	ereport(
	    NOTICE,
	    (errmsg("search key %u of site \"%s\" is brought in here, too", key->version, site),
	     errhint("When all values have its tokens (sdes.rotation_progress), run CALL "
	             "sdes.switch_search_key() here, and at the sender after that.")));
}

static void
report_other_search_key(const Import *import)
{
	ereport(NOTICE,
	        (errmsg("this database has another search key than site \"%s\"",
	                import->opened->sender->row.name),
	         errdetail("Values from there are read here, but not found by an index, nor "
	                   "compared with values from here: that is an error."),
	         errhint("A database that imports keys before it creates a bucket takes the "
	                 "sender's search key over.")));
}

static void
import_search_keys(Import *import, uint16 place, const SdesParcelBucket *bucket)
{
	SdesBucketRow system;
	const SdesKekRow *kek;
	bool first = !sdes_store_bucket_by_name(SDES_SYSTEM_BUCKET, &system);
	Line line = read_line(import, place);
	bool kept = false;

	kek = first ? make_system_bucket(import, bucket)
	            : active_kek(import, system.uuid, SDES_PURPOSE_SEARCH);
	if (kek == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("this database has no active search key"),
		                errhint("See SELECT * FROM sdes.keys.")));
	for (uint32 at = 0; at < import->opened->parcel.nkeys; at++)
	{
		SdesParcelKey key;
		bool counts;

		sdes_parcel_key(&import->opened->parcel, at, &key);
		if (key.bucket != place || key.purpose != SDES_PURPOSE_SEARCH ||
		    find_key(import, key.key_id) != NULL)
			continue;
		if (find_version(import, kek->bucket, SDES_PURPOSE_SEARCH, key.version) != NULL)
			report_search_collision(key.version);
		counts = key.state == SDES_PARCEL_ACTIVE || key.state == SDES_PARCEL_INCOMING;
		if (counts && (first || (line.shared && key.version > line.version)))
		{
			if (first && key.state == SDES_PARCEL_ACTIVE)
				add_key(import, at, &key, key.version, kek, SDES_KEY_ACTIVE);
			else
				bring_in(import, at, &key, kek, &line);
			continue;
		}
		add_key(import, at, &key, key.version, kek, SDES_KEY_DECRYPT_ONLY);
		kept = true;
	}
	if (!first && !line.shared && kept)
		report_other_search_key(import);
}

/* ---- all of it ---- */

/* The search key first: whether there is a system bucket decides what comes of it. */
static const char *
import_all(Import *import)
{
	const SdesParcel *parcel = &import->opened->parcel;
	SdesParcelBucket bucket;
	SdesBucketRow row = {0};

	for (uint16 place = 0; place < parcel->nbuckets; place++)
	{
		sdes_parcel_bucket(parcel, place, &bucket);
		if (bucket.system)
			import_search_keys(import, place, &bucket);
	}
	for (uint16 place = 0; place < parcel->nbuckets; place++)
	{
		sdes_parcel_bucket(parcel, place, &bucket);
		if (bucket.system)
			continue;
		row = receive_bucket(&bucket);
		import_data_keys(import, place, &row);
	}
	return pstrdup(row.name);
}

Datum
sdes_import_keys(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"parcel", "kek"};
	Import import = {0};
	SdesSite *own;
	const char *name;

	sdes_refuse_nulls(fcinfo, arguments);
	sdes_exchange_begin("sdes.import_keys()", "sdes_admin", "import encryption keys");
	import.kind = sdes_kek_kind_by_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	import.opened = sdes_open_parcel(PG_GETARG_BYTEA_PP(0), SDES_PARCEL_EXPORT);
	own = sdes_site_own(false);
	check_recipient(import.opened, own);
	check_replay(import.opened);
	open_content_key(import.opened, own);
	import.rows = sdes_store_deks();
	name = import_all(&import);
	sdes_store_insert_imported(import.opened->parcel.id, &import.opened->sender->row);
	sdes_audit_event("import keys", NULL, "bucket %s from site %s", name,
	                 import.opened->sender->row.name);
	PG_RETURN_TEXT_P(cstring_to_text(name));
}
