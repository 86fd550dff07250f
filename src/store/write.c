/*
 * write.c
 *		Structs to rows.
 *
 * Rows are written straight to heap and indexes: no privilege of the caller
 * on the tables is needed (whoever calls these has checked the right that
 * matters) and none is lent to SQL that could be diverted.
 */
#include "postgres.h"

#include "store/store.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_datum.h"
#include "store/tables.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

static Datum
current_user_datum(void)
{
	return CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
}

static Datum
now_datum(void)
{
	return TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
}

void
sdes_table_insert(SdesTable table, Datum *values)
{
	Relation rel = table_open(sdes_table_oid(table), RowExclusiveLock);
	TupleDesc desc = RelationGetDescr(rel);
	bool nulls[SDES_MAX_COLUMNS];
	HeapTuple tuple;

	for (int i = 0; i < desc->natts; i++)
		nulls[i] = !TupleDescAttr(desc, i)->attnotnull;
	tuple = heap_form_tuple(desc, values, nulls);

	CatalogTupleInsert(rel, tuple);
	CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

void
sdes_store_insert_bucket(const SdesBucketRow *row)
{
	Datum values[SDES_BUCKET_NCOLUMNS];

	values[SDES_BUCKET_UUID - 1] = sdes_uuid_datum(row->uuid);
	values[SDES_BUCKET_NAME - 1] = CStringGetTextDatum(row->name);
	values[SDES_BUCKET_HASH - 1] = Int32GetDatum(row->hash);
	values[SDES_BUCKET_SYSTEM - 1] = BoolGetDatum(row->system);
	values[SDES_BUCKET_PERIOD - 1] = IntervalPGetDatum(&row->rotation_period);
	values[SDES_BUCKET_PAUSED - 1] = BoolGetDatum(row->rotation_paused);
	values[SDES_BUCKET_ASYNC - 1] = BoolGetDatum(row->audit_async);
	values[SDES_BUCKET_CREATED_AT - 1] = now_datum();
	values[SDES_BUCKET_CREATED_BY - 1] = current_user_datum();
	sdes_table_insert(SDES_TABLE_BUCKET, values);
}

void
sdes_store_insert_kek(const SdesKekRow *row)
{
	Datum values[SDES_KEK_NCOLUMNS];

	values[SDES_KEK_ID - 1] = sdes_bytea_datum(row->id, SDES_KEK_ID_SIZE);
	values[SDES_KEK_BUCKET - 1] = sdes_uuid_datum(row->bucket);
	values[SDES_KEK_KIND - 1] = CStringGetTextDatum(row->kind);
	values[SDES_KEK_MECHANISM - 1] = CStringGetTextDatum(row->mechanism);
	values[SDES_KEK_TOKEN_LABEL - 1] = CStringGetTextDatum(row->token_label);
	values[SDES_KEK_TOKEN_SERIAL - 1] = CStringGetTextDatum(row->token_serial);
	values[SDES_KEK_CREATED_AT - 1] = now_datum();
	values[SDES_KEK_STATE - 1] = CStringGetTextDatum(sdes_kek_state_name(SDES_KEK_ACTIVE));
	sdes_table_insert(SDES_TABLE_KEK, values);
}

static void
insert_usage(const uint8 *key_id)
{
	Datum values[SDES_USAGE_NCOLUMNS];

	values[SDES_USAGE_MESSAGES - 1] = Int64GetDatum(0);
	values[SDES_USAGE_KEY_ID - 1] = sdes_bytea_datum(key_id, SDES_KEY_ID_SIZE);
	sdes_table_insert(SDES_TABLE_USAGE, values);
}

void
sdes_store_insert_dek(const SdesDekRow *row)
{
	Datum values[SDES_DEK_NCOLUMNS];

	values[SDES_DEK_KEY_ID - 1] = sdes_bytea_datum(row->binding.key_id, SDES_KEY_ID_SIZE);
	values[SDES_DEK_BUCKET - 1] = sdes_uuid_datum(row->binding.bucket);
	values[SDES_DEK_VERSION - 1] = Int32GetDatum((int32) row->binding.version);
	values[SDES_DEK_PURPOSE - 1] =
	    CStringGetTextDatum(sdes_purpose_name(row->binding.purpose));
	values[SDES_DEK_MODE - 1] = CStringGetTextDatum(sdes_mode_name(row->binding.mode));
	values[SDES_DEK_STATE - 1] = CStringGetTextDatum(sdes_state_name(row->state));
	values[SDES_DEK_KEK - 1] = sdes_bytea_datum(row->binding.kek_id, SDES_KEK_ID_SIZE);
	values[SDES_DEK_WRAPPED - 1] = sdes_bytea_datum(row->wrapped, row->wrapped_size);
	values[SDES_DEK_COMMITMENT - 1] =
	    sdes_bytea_datum(row->commitment, SDES_COMMITMENT_SIZE);
	values[SDES_DEK_SYSTEM_ID - 1] =
	    Int64GetDatum(row->foreign ? 0 : (int64) GetSystemIdentifier());
	values[SDES_DEK_DATABASE - 1] =
	    ObjectIdGetDatum(row->foreign ? InvalidOid : MyDatabaseId);
	values[SDES_DEK_TIMELINE - 1] = Int32GetDatum((int32) SDES_WAL_TIMELINE());
	values[SDES_DEK_PINNED - 1] = BoolGetDatum(row->pinned);
	values[SDES_DEK_CREATED_AT - 1] = now_datum();
	values[SDES_DEK_CREATED_BY - 1] = current_user_datum();
	sdes_table_insert(SDES_TABLE_DEK, values);
	insert_usage(row->binding.key_id);
}

void
sdes_store_insert_copy(const SdesDekRow *copy)
{
	Datum values[SDES_COPY_NCOLUMNS];

	values[SDES_COPY_KEY_ID - 1] = sdes_bytea_datum(copy->binding.key_id, SDES_KEY_ID_SIZE);
	values[SDES_COPY_KEK - 1] = sdes_bytea_datum(copy->binding.kek_id, SDES_KEK_ID_SIZE);
	values[SDES_COPY_WRAPPED - 1] = sdes_bytea_datum(copy->wrapped, copy->wrapped_size);
	values[SDES_COPY_COMMITMENT - 1] =
	    sdes_bytea_datum(copy->commitment, SDES_COMMITMENT_SIZE);
	values[SDES_COPY_CREATED_AT - 1] = now_datum();
	sdes_table_insert(SDES_TABLE_COPY, values);
}

void
sdes_store_delete_copies(const uint8 *key_id, const uint8 *kek_id)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_COPY), RowExclusiveLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key[0], SDES_COPY_KEY_ID, BTEqualStrategyNumber, F_BYTEAEQ,
	            sdes_bytea_datum(key_id, SDES_KEY_ID_SIZE));
	if (kek_id != NULL)
		ScanKeyInit(&key[1], SDES_COPY_KEK, BTEqualStrategyNumber, F_BYTEAEQ,
		            sdes_bytea_datum(kek_id, SDES_KEK_ID_SIZE));
	scan = systable_beginscan(rel, sdes_index_oid("dek_copy_pkey"), true, NULL,
	                          kek_id == NULL ? 1 : 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(rel, &tuple->t_self);
	systable_endscan(scan);
	CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

bool
sdes_store_delete_access(const uint8 *bucket, const char *role, const char *privilege)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_ACCESS), RowExclusiveLock);
	ScanKeyData key[3];
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	ScanKeyInit(&key[0], SDES_ACCESS_BUCKET, BTEqualStrategyNumber, F_UUID_EQ,
	            sdes_uuid_datum(bucket));
	ScanKeyInit(&key[1], SDES_ACCESS_ROLE, BTEqualStrategyNumber, F_TEXTEQ,
	            CStringGetTextDatum(role));
	ScanKeyInit(&key[2], SDES_ACCESS_PRIVILEGE, BTEqualStrategyNumber, F_TEXTEQ,
	            CStringGetTextDatum(privilege));
	scan = systable_beginscan(rel, sdes_index_oid("access_pkey"), true, NULL, 3, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		CatalogTupleDelete(rel, &tuple->t_self);
		found = true;
	}
	systable_endscan(scan);
	if (found)
		CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	return found;
}

void
sdes_store_put_access(const SdesAccessRow *row)
{
	Datum values[SDES_ACCESS_NCOLUMNS];

	sdes_store_delete_access(row->bucket, row->role, row->privilege);
	values[SDES_ACCESS_BUCKET - 1] = sdes_uuid_datum(row->bucket);
	values[SDES_ACCESS_ROLE - 1] = CStringGetTextDatum(row->role);
	values[SDES_ACCESS_PRIVILEGE - 1] = CStringGetTextDatum(row->privilege);
	values[SDES_ACCESS_ROLE_OID - 1] = ObjectIdGetDatum(row->role_oid);
	values[SDES_ACCESS_SYSTEM_ID - 1] = Int64GetDatum(row->system_id);
	values[SDES_ACCESS_GRANTED_AT - 1] = now_datum();
	values[SDES_ACCESS_GRANTED_BY - 1] = current_user_datum();
	values[SDES_ACCESS_FORCED - 1] = BoolGetDatum(row->forced);
	sdes_table_insert(SDES_TABLE_ACCESS, values);
}

/* What of a row is to be replaced. */
typedef struct Change
{
	Datum values[SDES_MAX_COLUMNS];
	bool nulls[SDES_MAX_COLUMNS];
	bool replaced[SDES_MAX_COLUMNS];
} Change;

static void
set(Change *change, int column, Datum value)
{
	change->values[column - 1] = value;
	change->replaced[column - 1] = true;
}

/* Changes the one row that an index finds; an error when there is none. */
static void
change_row(SdesTable table, const char *index, ScanKey key, Change *change)
{
	Relation rel = table_open(sdes_table_oid(table), RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(rel, sdes_index_oid(index), true, NULL, 1, key);
	HeapTuple tuple = systable_getnext(scan);

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "row of index \"%s\" is gone", index);
	tuple = heap_modify_tuple(tuple, RelationGetDescr(rel), change->values, change->nulls,
	                          change->replaced);
	CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	systable_endscan(scan);
	CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

static int
date_column(SdesKeyState state)
{
	switch (state)
	{
		case SDES_KEY_DECRYPT_ONLY:
			return SDES_DEK_DECRYPT_ONLY_AT;
		case SDES_KEY_RETIRED:
			return SDES_DEK_RETIRED_AT;
		case SDES_KEY_DESTROYED:
			return SDES_DEK_DESTROYED_AT;
		case SDES_KEY_ACTIVE:
			return 0; /* an incoming search key's turn has come */
		default:
			elog(ERROR, "a key does not become active again");
	}
}

static void
change_dek(const uint8 *key_id, Change *change)
{
	ScanKeyData key;

	ScanKeyInit(&key, SDES_DEK_KEY_ID, BTEqualStrategyNumber, F_BYTEAEQ,
	            sdes_bytea_datum(key_id, SDES_KEY_ID_SIZE));
	change_row(SDES_TABLE_DEK, "dek_pkey", &key, change);
}

void
sdes_store_set_dek_emptiness(const uint8 *key_id, SdesEmptiness emptiness)
{
	Change change = {0};

	change.nulls[SDES_DEK_CLEAN_AT - 1] = emptiness == SDES_NOT_KNOWN;
	change.nulls[SDES_DEK_EMPTIED_AT - 1] = emptiness != SDES_EMPTIED;
	change.nulls[SDES_DEK_EMPTIED_LSN - 1] = emptiness != SDES_EMPTIED;
	if (emptiness != SDES_EMPTIED)
		set(&change, SDES_DEK_CLEAN_AT, now_datum());
	set(&change, SDES_DEK_EMPTIED_AT, now_datum());
	set(&change, SDES_DEK_EMPTIED_LSN, LSNGetDatum(GetXLogInsertRecPtr()));
	change_dek(key_id, &change);
}

void
sdes_store_set_dek_pinned(const uint8 *key_id, bool pinned)
{
	Change change = {0};

	set(&change, SDES_DEK_PINNED, BoolGetDatum(pinned));
	change_dek(key_id, &change);
}

void
sdes_store_set_dek_state(const uint8 *key_id, SdesKeyState state, const char *reason)
{
	Change change = {0};

	set(&change, SDES_DEK_STATE, CStringGetTextDatum(sdes_state_name(state)));
	if (date_column(state) != 0)
		set(&change, date_column(state), now_datum());
	if (reason != NULL)
		set(&change, SDES_DEK_REASON, CStringGetTextDatum(reason));
	if (state == SDES_KEY_DESTROYED)
		set(&change, SDES_DEK_WRAPPED, sdes_bytea_datum((const uint8 *) "", 0));
	change_dek(key_id, &change);
	if (state == SDES_KEY_DESTROYED)
		sdes_store_delete_copies(key_id, NULL);
}

void
sdes_store_set_dek_wrap(const SdesDekRow *row)
{
	Change change = {0};

	set(&change, SDES_DEK_KEK, sdes_bytea_datum(row->binding.kek_id, SDES_KEK_ID_SIZE));
	set(&change, SDES_DEK_WRAPPED, sdes_bytea_datum(row->wrapped, row->wrapped_size));
	set(&change, SDES_DEK_COMMITMENT,
	    sdes_bytea_datum(row->commitment, SDES_COMMITMENT_SIZE));
	change_dek(row->binding.key_id, &change);
}

static int
kek_date_column(SdesKekState state)
{
	switch (state)
	{
		case SDES_KEK_RETIRED:
			return SDES_KEK_RETIRED_AT;
		case SDES_KEK_DESTROYING:
			return SDES_KEK_DESTROYING_AT;
		case SDES_KEK_DESTROYED:
			return SDES_KEK_DESTROYED_AT;
		default:
			elog(ERROR, "a key encryption key does not become active again");
	}
}

void
sdes_store_set_kek_state(const uint8 *id, SdesKekState state)
{
	Change change = {0};
	ScanKeyData key;

	set(&change, SDES_KEK_STATE, CStringGetTextDatum(sdes_kek_state_name(state)));
	set(&change, kek_date_column(state), now_datum());
	ScanKeyInit(&key, SDES_KEK_ID, BTEqualStrategyNumber, F_BYTEAEQ,
	            sdes_bytea_datum(id, SDES_KEK_ID_SIZE));
	change_row(SDES_TABLE_KEK, "kek_pkey", &key, &change);
}

static void
change_bucket(const SdesBucketRow *row, Change *change)
{
	ScanKeyData key;

	ScanKeyInit(&key, SDES_BUCKET_UUID, BTEqualStrategyNumber, F_UUID_EQ,
	            sdes_uuid_datum(row->uuid));
	change_row(SDES_TABLE_BUCKET, "bucket_pkey", &key, change);
}

void
sdes_store_set_rotation(const SdesBucketRow *row)
{
	Change change = {0};

	set(&change, SDES_BUCKET_PERIOD, IntervalPGetDatum(&row->rotation_period));
	set(&change, SDES_BUCKET_PAUSED, BoolGetDatum(row->rotation_paused));
	change_bucket(row, &change);
}

void
sdes_store_set_audit(const SdesBucketRow *row)
{
	Change change = {0};

	set(&change, SDES_BUCKET_ASYNC, BoolGetDatum(row->audit_async));
	change_bucket(row, &change);
}
