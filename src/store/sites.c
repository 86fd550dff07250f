/*
 * sites.c
 *		Rows about other sites. They are few, and nobody caches them.
 */
#include "postgres.h"

#include "store/sites.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "sdes_datum.h"
#include "store/tables.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define SITE_FINGERPRINT    1
#define SITE_NAME           2
#define SITE_CERTIFICATE    3
#define SITE_OWN            4
#define SITE_SIGNING_KEY    5
#define SITE_ENCRYPTION_KEY 6
#define SITE_KEM_KEY        7
#define SITE_KEM_ROOT       8
#define SITE_ADDED_AT       9
#define SITE_ADDED_BY       10
#define SITE_NCOLUMNS       10

#define EXPORTED_PARCEL      1
#define EXPORTED_BUCKET      2
#define EXPORTED_RECIPIENT   3
#define EXPORTED_KIND        4
#define EXPORTED_KEY_IDS     5
#define EXPORTED_EXPORTED_AT 6
#define EXPORTED_EXPORTED_BY 7
#define EXPORTED_NCOLUMNS    7

#define IMPORTED_PARCEL      1
#define IMPORTED_SENDER      2
#define IMPORTED_FINGERPRINT 3
#define IMPORTED_IMPORTED_AT 4
#define IMPORTED_IMPORTED_BY 5
#define IMPORTED_NCOLUMNS    5

#define INSTANCE_ID         1
#define INSTANCE_SYSTEM_ID  2
#define INSTANCE_DATABASE   3
#define INSTANCE_ADOPTED_AT 4
#define INSTANCE_ADOPTED_BY 5
#define INSTANCE_NCOLUMNS   5

/* By whom and when, the last two columns of each of these tables. */
static void
sign_row(Datum *values, int ncolumns)
{
	values[ncolumns - 2] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[ncolumns - 1] = CStringGetTextDatum(GetUserNameFromId(GetUserId(), false));
}

static void
malformed_site(void)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
	                errmsg("malformed row in table \"sdes.site\""),
	                errhint("It was changed by hand or damaged. Have an officer trust the "
	                        "site again.")));
}

/* An empty one is of another site. */
static void
read_key_id(Datum value, bool own, uint8 out[SDES_KEK_ID_SIZE])
{
	bytea *bytes = DatumGetByteaPP(value);

	if (VARSIZE_ANY_EXHDR(bytes) != (own ? SDES_KEK_ID_SIZE : 0))
		malformed_site();
	memcpy(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

/* Of the own site, and only where its OpenSSL had ML-KEM when it was made. */
static void
read_kem(const Datum *values, SdesSiteRow *site)
{
	bytea *root = DatumGetByteaPP(values[SITE_KEM_ROOT - 1]);

	site->kem_root_size = VARSIZE_ANY_EXHDR(root);
	site->hybrid = site->kem_root_size > 0;
	if (site->hybrid && !site->own)
		malformed_site();
	read_key_id(values[SITE_KEM_KEY - 1], site->hybrid, site->kem_key);
	site->kem_root = (const uint8 *) VARDATA_ANY(root);
}

static SdesSiteRow *
read_site(HeapTuple source, TupleDesc desc)
{
	HeapTuple tuple = heap_copytuple(source); /* the row borrows from it */
	SdesSiteRow *site = palloc0(sizeof(SdesSiteRow));
	Datum values[SITE_NCOLUMNS];
	bool nulls[SITE_NCOLUMNS];
	bytea *fingerprint;

	heap_deform_tuple(tuple, desc, values, nulls);
	fingerprint = DatumGetByteaPP(values[SITE_FINGERPRINT - 1]);
	if (VARSIZE_ANY_EXHDR(fingerprint) != SDES_FINGERPRINT_SIZE)
		malformed_site();
	memcpy(site->fingerprint, VARDATA_ANY(fingerprint), SDES_FINGERPRINT_SIZE);
	site->name = TextDatumGetCString(values[SITE_NAME - 1]);
	site->certificate = TextDatumGetCString(values[SITE_CERTIFICATE - 1]);
	site->own = DatumGetBool(values[SITE_OWN - 1]);
	read_key_id(values[SITE_SIGNING_KEY - 1], site->own, site->signing_key);
	read_key_id(values[SITE_ENCRYPTION_KEY - 1], site->own, site->encryption_key);
	read_kem(values, site);
	return site;
}

List *
sdes_store_sites(void)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_SITE), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	List *sites = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		sites = lappend(sites, read_site(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return sites;
}

void
sdes_store_insert_site(const SdesSiteRow *row)
{
	Datum values[SITE_NCOLUMNS];
	size_t id_size = row->own ? SDES_KEK_ID_SIZE : 0;

	values[SITE_FINGERPRINT - 1] =
	    sdes_bytea_datum(row->fingerprint, SDES_FINGERPRINT_SIZE);
	values[SITE_NAME - 1] = CStringGetTextDatum(row->name);
	values[SITE_CERTIFICATE - 1] = CStringGetTextDatum(row->certificate);
	values[SITE_OWN - 1] = BoolGetDatum(row->own);
	values[SITE_SIGNING_KEY - 1] = sdes_bytea_datum(row->signing_key, id_size);
	values[SITE_ENCRYPTION_KEY - 1] = sdes_bytea_datum(row->encryption_key, id_size);
	values[SITE_KEM_KEY - 1] =
	    sdes_bytea_datum(row->kem_key, row->hybrid ? SDES_KEK_ID_SIZE : 0);
	values[SITE_KEM_ROOT - 1] =
	    sdes_bytea_datum(row->kem_root, row->hybrid ? row->kem_root_size : 0);
	sign_row(values, SITE_NCOLUMNS);
	sdes_table_insert(SDES_TABLE_SITE, values);
}

void
sdes_store_delete_site(const uint8 *fingerprint)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_SITE), RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (memcmp(read_site(tuple, RelationGetDescr(rel))->fingerprint, fingerprint,
		           SDES_FINGERPRINT_SIZE) == 0)
			CatalogTupleDelete(rel, &tuple->t_self);
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

void
sdes_store_insert_exported(const SdesExportedRow *row)
{
	Datum values[EXPORTED_NCOLUMNS];
	Datum *ids = palloc(row->nkeys * sizeof(Datum));

	for (int i = 0; i < row->nkeys; i++)
		ids[i] = sdes_bytea_datum(row->key_ids[i], SDES_KEY_ID_SIZE);
	values[EXPORTED_PARCEL - 1] = sdes_uuid_datum(row->parcel);
	values[EXPORTED_BUCKET - 1] = sdes_uuid_datum(row->bucket);
	values[EXPORTED_RECIPIENT - 1] = CStringGetTextDatum(row->recipient);
	values[EXPORTED_KIND - 1] = CStringGetTextDatum(row->backup ? "backup" : "export");
	values[EXPORTED_KEY_IDS - 1] = PointerGetDatum(
	    construct_array(ids, row->nkeys, BYTEAOID, -1, false, TYPALIGN_INT));
	sign_row(values, EXPORTED_NCOLUMNS);
	sdes_table_insert(SDES_TABLE_EXPORTED, values);
}

bool
sdes_store_is_imported(const uint8 *parcel)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_IMPORTED), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	bool found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum values[IMPORTED_NCOLUMNS];
		bool nulls[IMPORTED_NCOLUMNS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		found = memcmp(DatumGetUUIDP(values[IMPORTED_PARCEL - 1])->data, parcel,
		               SDES_UUID_SIZE) == 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

void
sdes_store_insert_imported(const uint8 *parcel, const SdesSiteRow *sender)
{
	Datum values[IMPORTED_NCOLUMNS];

	values[IMPORTED_PARCEL - 1] = sdes_uuid_datum(parcel);
	values[IMPORTED_SENDER - 1] = CStringGetTextDatum(sender->name);
	values[IMPORTED_FINGERPRINT - 1] =
	    sdes_bytea_datum(sender->fingerprint, SDES_FINGERPRINT_SIZE);
	sign_row(values, IMPORTED_NCOLUMNS);
	sdes_table_insert(SDES_TABLE_IMPORTED, values);
}

List *
sdes_store_instances(void)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_INSTANCE), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	List *instances = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		SdesInstanceRow *instance = palloc(sizeof(SdesInstanceRow));
		Datum values[INSTANCE_NCOLUMNS];
		bool nulls[INSTANCE_NCOLUMNS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		instance->system_id = DatumGetInt64(values[INSTANCE_SYSTEM_ID - 1]);
		instance->database = DatumGetObjectId(values[INSTANCE_DATABASE - 1]);
		instances = lappend(instances, instance);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return instances;
}

void
sdes_store_put_instance(const uint8 *id, const SdesInstanceRow *row)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_INSTANCE), RowExclusiveLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	Datum values[INSTANCE_NCOLUMNS];
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		CatalogTupleDelete(rel, &tuple->t_self);
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();

	values[INSTANCE_ID - 1] = sdes_uuid_datum(id);
	values[INSTANCE_SYSTEM_ID - 1] = Int64GetDatum(row->system_id);
	values[INSTANCE_DATABASE - 1] = ObjectIdGetDatum(row->database);
	sign_row(values, INSTANCE_NCOLUMNS);
	sdes_table_insert(SDES_TABLE_INSTANCE, values);
}
