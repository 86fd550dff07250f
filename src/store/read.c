/*
 * read.c
 *		Rows to structs.
 *
 * A row that does not have the shape its table's constraints promise was
 * forged or damaged: an error, never a guess.
 */
#include "postgres.h"

#include "store/store.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef struct Row
{
	Datum values[SDES_MAX_COLUMNS];
	bool nulls[SDES_MAX_COLUMNS];
	TransactionId xmin;
} Row;

/* Takes a row; returns false to end the scan. */
typedef bool (*RowTaker)(const Row *row, void *to);

typedef struct Lookup
{
	SdesTable table;
	const char *index; /* NULL: scan the table */
	int nkeys;
	ScanKeyData key[2];
} Lookup;

static void
malformed(SdesTable table)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
	                errmsg("malformed row in table \"%s\"",
	                       table == SDES_TABLE_BUCKET ? "sdes.bucket"
	                       : table == SDES_TABLE_KEK  ? "sdes.kek"
	                       : table == SDES_TABLE_DEK  ? "sdes.dek"
	                       : table == SDES_TABLE_COPY ? "sdes.dek_copy"
	                                                  : "sdes.access"),
	                errhint("It was changed by hand or damaged. Restore it from a backup."),
	                SDES_KEEP_OUT_OF_LOG));
}

static void
scan(Lookup *lookup, RowTaker take, void *to)
{
	Relation rel = table_open(sdes_table_oid(lookup->table), AccessShareLock);
	Oid index = lookup->index ? sdes_index_oid(lookup->index) : InvalidOid;
	SysScanDesc sscan = systable_beginscan(rel, index, lookup->index != NULL, NULL,
	                                       lookup->nkeys, lookup->key);
	HeapTuple tuple;
	bool more = true;

	while (more && HeapTupleIsValid(tuple = systable_getnext(sscan)))
	{
		Row row;

		heap_deform_tuple(tuple, RelationGetDescr(rel), row.values, row.nulls);
		for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
			if (row.nulls[i] && TupleDescAttr(RelationGetDescr(rel), i)->attnotnull)
				malformed(lookup->table);
		row.xmin = HeapTupleHeaderGetXmin(tuple->t_data);
		more = take(&row, to);
	}
	systable_endscan(sscan);
	table_close(rel, AccessShareLock);
}

static void
copy_bytea(SdesTable table, Datum value, void *out, size_t size)
{
	bytea *bytes = DatumGetByteaPP(value);

	if (VARSIZE_ANY_EXHDR(bytes) != size)
		malformed(table);
	memcpy(out, VARDATA_ANY(bytes), size);
}

static void
copy_uuid(Datum value, uint8 *out)
{
	memcpy(out, DatumGetUUIDP(value)->data, SDES_UUID_SIZE);
}

static void
copy_text(Datum value, char *out, size_t size)
{
	text_to_cstring_buffer(DatumGetTextPP(value), out, size);
}

/* ---- sdes.bucket ---- */

static void
read_bucket(const Row *row, SdesBucketRow *out)
{
	copy_uuid(row->values[SDES_BUCKET_UUID - 1], out->uuid);
	copy_text(row->values[SDES_BUCKET_NAME - 1], out->name, sizeof(out->name));
	out->hash = DatumGetInt32(row->values[SDES_BUCKET_HASH - 1]);
	out->system = DatumGetBool(row->values[SDES_BUCKET_SYSTEM - 1]);
	out->rotation_period = *DatumGetIntervalP(row->values[SDES_BUCKET_PERIOD - 1]);
	out->rotation_paused = DatumGetBool(row->values[SDES_BUCKET_PAUSED - 1]);
	out->audit_async = DatumGetBool(row->values[SDES_BUCKET_ASYNC - 1]);
}

typedef struct OneRow
{
	void *out;
	bool found;
} OneRow;

static bool
take_bucket(const Row *row, void *to)
{
	OneRow *one = to;

	read_bucket(row, one->out);
	one->found = true;
	return false;
}

static bool
append_bucket(const Row *row, void *to)
{
	SdesBucketRow *bucket = palloc0(sizeof(SdesBucketRow));

	read_bucket(row, bucket);
	*(List **) to = lappend(*(List **) to, bucket);
	return true;
}

static bool
find_bucket(Lookup *lookup, SdesBucketRow *out)
{
	OneRow one = {out, false};

	scan(lookup, take_bucket, &one);
	return one.found;
}

bool
sdes_store_bucket_by_name(const char *name, SdesBucketRow *out)
{
	Lookup lookup = {.table = SDES_TABLE_BUCKET, .index = "bucket_name_key", .nkeys = 1};

	ScanKeyInit(&lookup.key[0], SDES_BUCKET_NAME, BTEqualStrategyNumber, F_TEXTEQ,
	            CStringGetTextDatum(name));
	return find_bucket(&lookup, out);
}

void
sdes_require_bucket(const char *name, SdesBucketRow *out)
{
	if (!sdes_store_bucket_by_name(name, out))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
		                errmsg("bucket \"%s\" does not exist", name),
		                errhint("See SELECT * FROM sdes.buckets.")));
}

bool
sdes_store_bucket_by_hash(int32 hash, SdesBucketRow *out)
{
	Lookup lookup = {.table = SDES_TABLE_BUCKET, .index = "bucket_hash_key", .nkeys = 1};

	ScanKeyInit(&lookup.key[0], SDES_BUCKET_HASH, BTEqualStrategyNumber, F_INT4EQ,
	            Int32GetDatum(hash));
	return find_bucket(&lookup, out);
}

bool
sdes_store_bucket_by_uuid(const uint8 *uuid, SdesBucketRow *out)
{
	Lookup lookup = {.table = SDES_TABLE_BUCKET, .index = "bucket_pkey", .nkeys = 1};
	pg_uuid_t key;

	memcpy(key.data, uuid, SDES_UUID_SIZE);
	ScanKeyInit(&lookup.key[0], SDES_BUCKET_UUID, BTEqualStrategyNumber, F_UUID_EQ,
	            UUIDPGetDatum(&key));
	return find_bucket(&lookup, out);
}

List *
sdes_store_buckets(void)
{
	Lookup lookup = {.table = SDES_TABLE_BUCKET};
	List *rows = NIL;

	scan(&lookup, append_bucket, &rows);
	return rows;
}

/* ---- sdes.kek ---- */

static TimestampTz
date_of(const Row *row, int column)
{
	return row->nulls[column - 1] ? 0 : DatumGetTimestampTz(row->values[column - 1]);
}

static bool
append_kek(const Row *row, void *to)
{
	SdesKekRow *kek = palloc0(sizeof(SdesKekRow));
	int state =
	    sdes_kek_state_by_name(TextDatumGetCString(row->values[SDES_KEK_STATE - 1]));

	copy_bytea(SDES_TABLE_KEK, row->values[SDES_KEK_ID - 1], kek->id, SDES_KEK_ID_SIZE);
	copy_uuid(row->values[SDES_KEK_BUCKET - 1], kek->bucket);
	kek->kind = TextDatumGetCString(row->values[SDES_KEK_KIND - 1]);
	kek->mechanism = TextDatumGetCString(row->values[SDES_KEK_MECHANISM - 1]);
	kek->token_label = TextDatumGetCString(row->values[SDES_KEK_TOKEN_LABEL - 1]);
	kek->token_serial = TextDatumGetCString(row->values[SDES_KEK_TOKEN_SERIAL - 1]);
	if (state < 0)
		malformed(SDES_TABLE_KEK);
	kek->state = (SdesKekState) state;
	kek->ordered_at = date_of(row, SDES_KEK_DESTROYING_AT);
	kek->xmin = row->xmin;
	*(List **) to = lappend(*(List **) to, kek);
	return true;
}

List *
sdes_store_keks(void)
{
	Lookup lookup = {.table = SDES_TABLE_KEK};
	List *rows = NIL;

	scan(&lookup, append_kek, &rows);
	return rows;
}

/* ---- sdes.dek ---- */

static void
read_dek(const Row *row, SdesDekRow *out)
{
	SdesDekBinding *binding = &out->binding;
	int purpose =
	    sdes_purpose_by_name(TextDatumGetCString(row->values[SDES_DEK_PURPOSE - 1]));
	int state = sdes_state_by_name(TextDatumGetCString(row->values[SDES_DEK_STATE - 1]));
	int mode = sdes_mode_by_name(TextDatumGetCString(row->values[SDES_DEK_MODE - 1]));
	bytea *wrapped = DatumGetByteaPP(row->values[SDES_DEK_WRAPPED - 1]);

	if (purpose < 0 || state < 0 || mode < 0 || VARSIZE_ANY_EXHDR(wrapped) > 1024)
		malformed(SDES_TABLE_DEK);
	copy_bytea(SDES_TABLE_DEK, row->values[SDES_DEK_KEY_ID - 1], binding->key_id,
	           SDES_KEY_ID_SIZE);
	copy_uuid(row->values[SDES_DEK_BUCKET - 1], binding->bucket);
	binding->version = (uint32) DatumGetInt32(row->values[SDES_DEK_VERSION - 1]);
	binding->purpose = (uint8) purpose;
	binding->mode = (uint8) mode;
	copy_bytea(SDES_TABLE_DEK, row->values[SDES_DEK_KEK - 1], binding->kek_id,
	           SDES_KEK_ID_SIZE);
	copy_bytea(SDES_TABLE_DEK, row->values[SDES_DEK_COMMITMENT - 1], out->commitment,
	           SDES_COMMITMENT_SIZE);
	out->state = (SdesKeyState) state;
	out->pinned = DatumGetBool(row->values[SDES_DEK_PINNED - 1]);
	out->foreign = DatumGetInt64(row->values[SDES_DEK_SYSTEM_ID - 1]) !=
	                   (int64) GetSystemIdentifier() ||
	               DatumGetObjectId(row->values[SDES_DEK_DATABASE - 1]) != MyDatabaseId;
	out->timeline = (uint32) DatumGetInt32(row->values[SDES_DEK_TIMELINE - 1]);
	out->clean = !row->nulls[SDES_DEK_CLEAN_AT - 1];
	out->emptied = !row->nulls[SDES_DEK_EMPTIED_AT - 1];
	out->emptied_lsn = row->nulls[SDES_DEK_EMPTIED_LSN - 1]
	                       ? InvalidXLogRecPtr
	                       : DatumGetLSN(row->values[SDES_DEK_EMPTIED_LSN - 1]);
	out->xmin = row->xmin;
	out->closed_at = date_of(row, SDES_DEK_DECRYPT_ONLY_AT);
	if (out->closed_at == 0)
		out->closed_at = date_of(row, SDES_DEK_RETIRED_AT);
	out->created_at = DatumGetTimestampTz(row->values[SDES_DEK_CREATED_AT - 1]);
	out->retired_at = row->nulls[SDES_DEK_RETIRED_AT - 1]
	                      ? 0
	                      : DatumGetTimestampTz(row->values[SDES_DEK_RETIRED_AT - 1]);
	out->reason = row->nulls[SDES_DEK_REASON - 1]
	                  ? NULL
	                  : TextDatumGetCString(row->values[SDES_DEK_REASON - 1]);
	out->wrapped_size = VARSIZE_ANY_EXHDR(wrapped);
	out->wrapped = palloc(out->wrapped_size + 1);
	memcpy(out->wrapped, VARDATA_ANY(wrapped), out->wrapped_size);
}

static bool
take_dek(const Row *row, void *to)
{
	OneRow *one = to;

	read_dek(row, one->out);
	one->found = true;
	return false;
}

static bool
append_dek(const Row *row, void *to)
{
	SdesDekRow *dek = palloc0(sizeof(SdesDekRow));

	read_dek(row, dek);
	*(List **) to = lappend(*(List **) to, dek);
	return true;
}

bool
sdes_store_dek_by_id(const uint8 *key_id, SdesDekRow *out)
{
	Lookup lookup = {.table = SDES_TABLE_DEK, .index = "dek_pkey", .nkeys = 1};
	bytea *id = palloc(VARHDRSZ + SDES_KEY_ID_SIZE);
	OneRow one = {out, false};

	SET_VARSIZE(id, VARHDRSZ + SDES_KEY_ID_SIZE);
	memcpy(VARDATA(id), key_id, SDES_KEY_ID_SIZE);
	ScanKeyInit(&lookup.key[0], SDES_DEK_KEY_ID, BTEqualStrategyNumber, F_BYTEAEQ,
	            PointerGetDatum(id));
	scan(&lookup, take_dek, &one);
	return one.found;
}

List *
sdes_store_deks(void)
{
	Lookup lookup = {.table = SDES_TABLE_DEK};
	List *rows = NIL;

	scan(&lookup, append_dek, &rows);
	return rows;
}

/* ---- sdes.dek_copy ---- */

typedef struct Copies
{
	const SdesDekRow *of;
	List *rows;
} Copies;

static bool
append_copy(const Row *row, void *to)
{
	Copies *copies = to;
	SdesDekRow *copy = palloc(sizeof(SdesDekRow));
	bytea *wrapped = DatumGetByteaPP(row->values[SDES_COPY_WRAPPED - 1]);

	if (VARSIZE_ANY_EXHDR(wrapped) > 1024)
		malformed(SDES_TABLE_COPY);
	*copy = *copies->of;
	copy_bytea(SDES_TABLE_COPY, row->values[SDES_COPY_KEK - 1], copy->binding.kek_id,
	           SDES_KEK_ID_SIZE);
	copy_bytea(SDES_TABLE_COPY, row->values[SDES_COPY_COMMITMENT - 1], copy->commitment,
	           SDES_COMMITMENT_SIZE);
	copy->wrapped_size = VARSIZE_ANY_EXHDR(wrapped);
	copy->wrapped = palloc(copy->wrapped_size + 1);
	memcpy(copy->wrapped, VARDATA_ANY(wrapped), copy->wrapped_size);
	copies->rows = lappend(copies->rows, copy);
	return true;
}

List *
sdes_store_copies(const SdesDekRow *row)
{
	Lookup lookup = {.table = SDES_TABLE_COPY, .index = "dek_copy_pkey", .nkeys = 1};
	Copies copies = {row, NIL};
	bytea *id = palloc(VARHDRSZ + SDES_KEY_ID_SIZE);

	SET_VARSIZE(id, VARHDRSZ + SDES_KEY_ID_SIZE);
	memcpy(VARDATA(id), row->binding.key_id, SDES_KEY_ID_SIZE);
	ScanKeyInit(&lookup.key[0], SDES_COPY_KEY_ID, BTEqualStrategyNumber, F_BYTEAEQ,
	            PointerGetDatum(id));
	scan(&lookup, append_copy, &copies);
	return copies.rows;
}

typedef struct KekSought
{
	const uint8 *id;
	bool found;
} KekSought;

static bool
is_under(const Row *row, void *to)
{
	KekSought *sought = to;
	uint8 id[SDES_KEK_ID_SIZE];

	copy_bytea(SDES_TABLE_COPY, row->values[SDES_COPY_KEK - 1], id, SDES_KEK_ID_SIZE);
	sought->found = memcmp(id, sought->id, SDES_KEK_ID_SIZE) == 0;
	return !sought->found;
}

bool
sdes_store_has_copy_under(const uint8 *kek_id)
{
	Lookup lookup = {.table = SDES_TABLE_COPY};
	KekSought sought = {kek_id, false};

	scan(&lookup, is_under, &sought);
	return sought.found;
}

/* ---- sdes.access ---- */

static bool
append_access(const Row *row, void *to)
{
	SdesAccessRow *access = palloc0(sizeof(SdesAccessRow));

	copy_uuid(row->values[SDES_ACCESS_BUCKET - 1], access->bucket);
	copy_text(row->values[SDES_ACCESS_ROLE - 1], access->role, sizeof(access->role));
	copy_text(row->values[SDES_ACCESS_PRIVILEGE - 1], access->privilege,
	          sizeof(access->privilege));
	access->role_oid = DatumGetObjectId(row->values[SDES_ACCESS_ROLE_OID - 1]);
	access->system_id = DatumGetInt64(row->values[SDES_ACCESS_SYSTEM_ID - 1]);
	access->forced = DatumGetBool(row->values[SDES_ACCESS_FORCED - 1]);
	*(List **) to = lappend(*(List **) to, access);
	return true;
}

List *
sdes_store_access(void)
{
	Lookup lookup = {.table = SDES_TABLE_ACCESS};
	List *rows = NIL;

	scan(&lookup, append_access, &rows);
	return rows;
}
