/*
 * honey.c
 *		Rows of sdes.honey.
 */
#include "postgres.h"

#include "store/honey.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "miscadmin.h"
#include "sdes_datum.h"
#include "sdes_errors.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define HONEY_NONCE    1
#define HONEY_BUCKET   2
#define HONEY_LABEL    3
#define HONEY_ADDED_AT 4
#define HONEY_ADDED_BY 5
#define HONEY_NCOLUMNS 5

static void
read_row(HeapTuple tuple, TupleDesc desc, SdesHoneyRow *row)
{
	Datum values[HONEY_NCOLUMNS];
	bool nulls[HONEY_NCOLUMNS];
	bytea *nonce;

	heap_deform_tuple(tuple, desc, values, nulls);
	nonce = DatumGetByteaPP(values[HONEY_NONCE - 1]);
	if (VARSIZE_ANY_EXHDR(nonce) != SDES_NONCE_SIZE)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
		                errmsg("malformed row in table \"sdes.honey\""),
		                errhint("It was changed by hand or damaged. Delete it.")));
	memcpy(row->nonce, VARDATA_ANY(nonce), SDES_NONCE_SIZE);
	memcpy(row->bucket, DatumGetUUIDP(values[HONEY_BUCKET - 1])->data, SDES_UUID_SIZE);
	strlcpy(row->label, TextDatumGetCString(values[HONEY_LABEL - 1]), sizeof(row->label));
}

int
sdes_store_read_honey(SdesHoneyRow **rows)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_HONEY), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	int room = 16;
	int n = 0;

	*rows = palloc(room * sizeof(SdesHoneyRow));
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		if (n == room)
			*rows = repalloc(*rows, (room *= 2) * sizeof(SdesHoneyRow));
		read_row(tuple, RelationGetDescr(rel), &(*rows)[n++]);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return n;
}

void
sdes_store_insert_honey(const SdesHoneyRow *row)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_HONEY), RowExclusiveLock);
	Datum values[HONEY_NCOLUMNS];
	bool nulls[HONEY_NCOLUMNS] = {false};

	values[HONEY_NONCE - 1] = sdes_bytea_datum(row->nonce, SDES_NONCE_SIZE);
	values[HONEY_BUCKET - 1] = sdes_uuid_datum(row->bucket);
	values[HONEY_LABEL - 1] = CStringGetTextDatum(row->label);
	values[HONEY_ADDED_AT - 1] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[HONEY_ADDED_BY - 1] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
	CatalogTupleInsert(rel, heap_form_tuple(RelationGetDescr(rel), values, nulls));
	CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

int
sdes_store_delete_honey(const char *label, const uint8 *nonce)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_HONEY), RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	int n = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		SdesHoneyRow row;

		read_row(tuple, RelationGetDescr(rel), &row);
		if (label != NULL ? strcmp(row.label, label) != 0
		                  : memcmp(row.nonce, nonce, SDES_NONCE_SIZE) != 0)
			continue;
		CatalogTupleDelete(rel, &tuple->t_self);
		n++;
	}
	systable_endscan(scan);
	CacheInvalidateRelcache(rel);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
	return n;
}
