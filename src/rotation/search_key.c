/*
 * search_key.c
 *		The succession of the search key: sdes.rotate_search_key(), and what is in its way.
 *
 * Values are compared by their tokens under one search key, in indexes, joins and sorts
 * alike; so the key in use changes for all tables in one moment (switch.c). Before that,
 * every value gets a token of the new key besides (work.c), while the old ones are
 * compared; afterwards values lose the old ones. Both happen in the background.
 */
#include "postgres.h"

#include "rotation/search_key.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_range.h"
#include "executor/spi.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "policy/policy.h"
#include "rotation/rotation.h"
#include "rotation/shape.h"
#include "rotation/tracked.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

SDES_SQL_FUNCTION(sdes_rotate_search_key);

void
sdes_search_key_begin(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	sdes_require_preload();
	sdes_policy_require_member("sdes_admin", "rotate the search key");
	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
	sdes_rotation_wake();
}

/*
 * By hash or range it depends on tokens in which partition a row is: after the switch it
 * would be in the wrong one.
 */
static void
refuse_partitions(Form_pg_partitioned_table row)
{
	if (row->partstrat == PARTITION_STRATEGY_LIST)
		return;
	ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	                errmsg("the search key cannot be rotated while table \"%s\" is "
	                       "partitioned by an encrypted column",
	                       get_rel_name(row->partrelid)),
	                errdetail("Which partition a row is in depends on its search token."),
	                errhint("Partition it by another column, or by list.")));
}

/*
 * Whether a table is partitioned by values, which an expression may take out of others. As
 * it is stored: the relation cache's is simplified, which runs the owner's functions.
 */
static bool
is_partitioned_by_values(HeapTuple tuple)
{
	Form_pg_partitioned_table row = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	bool isnull;
	Datum stored =
	    SysCacheGetAttr(PARTRELID, tuple, Anum_pg_partitioned_table_partexprs, &isnull);
	List *expressions = isnull ? NIL : stringToNode(TextDatumGetCString(stored));
	ListCell *cell;

	for (int i = 0; i < row->partnatts; i++)
		if (row->partattrs.values[i] != 0 &&
		    sdes_shape_holds_values(get_atttype(row->partrelid, row->partattrs.values[i])))
			return true;
	foreach (cell, expressions)
		if (sdes_shape_holds_values(exprType(lfirst(cell))))
			return true;
	return false;
}

List *
sdes_search_key_partitioned(void)
{
	Relation rel = table_open(PartitionedRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List *found = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_partitioned_table row = (Form_pg_partitioned_table) GETSTRUCT(tuple);

		if (!is_partitioned_by_values(tuple))
			continue;
		refuse_partitions(row);
		found = lappend_oid(found, row->partrelid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(found, list_oid_cmp);
	return found;
}

/* Which of two bounds is the lower one depends on tokens, too. */
void
sdes_search_key_refuse_ranges(void)
{
	Relation rel = table_open(RangeRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_range row = (Form_pg_range) GETSTRUCT(tuple);

		if (row->rngtypid >= FirstNormalObjectId &&
		    sdes_shape_holds_values(row->rngsubtype))
			ereport(ERROR,
			        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			         errmsg("the search key cannot be rotated while there is range type "
			                "\"%s\" of encrypted values",
			                format_type_be(row->rngtypid)),
			         errdetail("Which bound of a range is the lower one depends on their "
			                   "search tokens."),
			         errhint("Drop it.")));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Their tokens are the affair of the site that they came from. */
static void
warn_of_imported(void)
{
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->binding.purpose != SDES_PURPOSE_DATA || !row->pinned ||
		    !sdes_dek_is_imported(row))
			continue;
		ereport(NOTICE,
		        (errmsg("values under keys of other sites get no token of the new search "
		                "key"),
		         errhint("Where they are to be compared with values from here, have that "
		                 "site rotate the search key and import its keys again, or have "
		                 "the values follow by sdes.resume_rotation().")));
		return;
	}
}

Datum
sdes_rotate_search_key(PG_FUNCTION_ARGS)
{
	SdesBucketRow system;
	SdesTrackedSet *set;

	sdes_search_key_begin("sdes.rotate_search_key()");
	sdes_require_bucket(SDES_SYSTEM_BUCKET, &system);
	(void) sdes_search_key_partitioned();
	sdes_search_key_refuse_ranges();
	set = sdes_tracked_read();
	if (set->search.incoming.wrapped_size > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("a new search key is being brought in already"),
		                errhint("See SELECT * FROM sdes.rotation_progress, and then "
		                        "CALL sdes.switch_search_key().")));
	if (set->search.leaving.wrapped_size > 0)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("values still carry tokens of the search key before this one"),
		         errhint("See SELECT * FROM sdes.rotation_progress.")));
	warn_of_imported();
	PG_RETURN_INT32((int32) sdes_keyring_new_search_key(&system));
}

void
sdes_search_key_commit(void)
{
	SPI_commit();
	SPI_start_transaction();
}
