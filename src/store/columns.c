/*
 * columns.c
 *		Which encrypted columns this database has.
 *
 * Attributes of composite types are rows of pg_attribute as columns of tables are, so
 * a look at each row finds what is in a composite, too.
 */
#include "postgres.h"

#include "store/store.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_attribute.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* What an array or a range is made of; InvalidOid for any other type. */
static Oid
part_of(Oid type)
{
	if (type_is_range(type))
		return get_range_subtype(type);
	if (type_is_multirange(type))
		return get_multirange_range(type);
	return get_element_type(type);
}

/*
 * What a column of a bucket is made of, by way of other types too; InvalidOid where its
 * type modifier cannot be that of the bucket.
 */
static Oid
base_in_bucket(Form_pg_attribute column, int32 hash)
{
	Oid base = column->atttypid;
	int32 typmod = column->atttypmod;
	Oid part;

	/* Not what initdb made; a dropped column has no type. */
	if (column->attnum <= 0 || base < FirstNormalObjectId)
		return InvalidOid;
	for (;;)
	{
		base = getBaseTypeAndTypmod(base, &typmod);
		part = part_of(base);
		if (!OidIsValid(part))
			break;
		base = part;
	}
	return typmod >= 0 && typmod >> SDES_HASH_SHIFT == hash ? base : InvalidOid;
}

bool
sdes_store_column_is_of(Oid relation, AttrNumber column, int32 hash)
{
	HeapTuple tuple =
	    SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation), Int16GetDatum(column));
	Oid oids[SDES_NTYPES];
	Oid base;

	if (!HeapTupleIsValid(tuple))
		return false;
	base = base_in_bucket((Form_pg_attribute) GETSTRUCT(tuple), hash);
	ReleaseSysCache(tuple);
	/* Most columns are of other types, which no name has to be looked up for. */
	if (!OidIsValid(base))
		return false;
	sdes_type_oids(oids);
	return sdes_type_by_oid(oids, base) >= 0;
}

bool
sdes_store_has_column(SdesEncType type, int32 hash)
{
	Oid oids[SDES_NTYPES];
	Relation attributes = table_open(AttributeRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(attributes, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	bool found = false;

	sdes_type_oids(oids);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = OidIsValid(oids[type]) &&
		        oids[type] == base_in_bucket((Form_pg_attribute) GETSTRUCT(tuple), hash);
	systable_endscan(scan);
	table_close(attributes, AccessShareLock);
	return found;
}
