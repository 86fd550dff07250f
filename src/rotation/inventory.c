/*
 * inventory.c
 *		sdes.inventory(): counts the values under each version of a bucket's key.
 *
 * All of it is one snapshot, so that a value that moves from one place to another
 * while it is counted is found once.
 */
#include "postgres.h"

#include "rotation/inventory.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "rotation/batch.h"
#include "rotation/relations.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

SDES_SQL_FUNCTION(sdes_inventory);

static char *
name_of(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
	                                  RelationGetRelationName(rel));
}

static void
count_relation(Relation rel, SdesTrackedSet *set, SdesPlaceTaker take, void *arg)
{
	SdesRowShape *shape = sdes_relation_shape(rel);
	SdesBatch batch = {0};

	sdes_tracked_reset(set);
	while (!batch.end)
		sdes_batch_count(rel, shape, set, &batch);
	take(rel->rd_rel->relkind == RELKIND_MATVIEW ? "materialized view" : "table",
	     name_of(rel), set, arg);
}

/*
 * Opens what there is, and leaves it locked to the end of the transaction: a rewrite by
 * ALTER TABLE that somebody commits after a snapshot was taken leaves nothing for that to
 * see. Only then comes the snapshot.
 */
static List *
open_relations(void)
{
	List *opened = NIL;
	ListCell *cell;

	foreach (cell, sdes_relations_list())
	{
		Relation rel =
		    try_relation_open(((SdesHolder *) lfirst(cell))->relid, AccessShareLock);

		if (rel != NULL) /* it was not dropped meanwhile */
			opened = lappend(opened, rel);
	}
	return opened;
}

void
sdes_inventory_count(SdesTrackedSet *set, SdesPlaceTaker take, void *arg)
{
	List *opened = open_relations();
	ListCell *cell;

	PushActiveSnapshot(GetLatestSnapshot());
	foreach (cell, opened)
	{
		Relation rel = lfirst(cell);

		/* The rows of another session's temporary table are in its memory. */
		if (RELATION_IS_OTHER_TEMP(rel))
			take("temporary table of another session", name_of(rel), NULL, arg);
		else
			count_relation(rel, set, take, arg);
		relation_close(rel, NoLock);
	}
	sdes_tracked_reset(set);
	sdes_catalogs_count(set, take, arg);
	PopActiveSnapshot();
}

/* ---- SQL ---- */

typedef struct Report
{
	ReturnSetInfo *result;
	uint8 bucket[SDES_UUID_SIZE];
} Report;

static void
add_row(Report *report, const SdesTracked *key, const char *place, const char *object,
        int64 count)
{
	Datum values[5];
	bool nulls[5] = {key == NULL, key == NULL, false, object == NULL, key == NULL};

	if (key != NULL)
	{
		values[0] = Int32GetDatum((int32) key->row.binding.version);
		values[1] = CStringGetTextDatum(sdes_state_name(key->row.state));
	}
	values[2] = CStringGetTextDatum(place);
	values[3] = object != NULL ? CStringGetTextDatum(object) : (Datum) 0;
	values[4] = Int64GetDatum(count);
	tuplestore_putvalues(report->result->setResult, report->result->setDesc, values, nulls);
}

static void
take_place(const char *place, const char *object, const SdesTrackedSet *set, void *arg)
{
	Report *report = arg;

	if (set == NULL)
		add_row(report, NULL, place, object, 0);
	for (int i = 0; set != NULL && i < set->n; i++)
	{
		const SdesTracked *key = &set->keys[i];

		if (key->found > 0 &&
		    memcmp(key->row.binding.bucket, report->bucket, SDES_UUID_SIZE) == 0)
			add_row(report, key, place, object, key->found);
	}
}

Datum
sdes_inventory(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"bucket"};
	Report report;
	SdesBucketRow bucket;

	sdes_refuse_nulls(fcinfo, arguments);
	InitMaterializedSRF(fcinfo, 0);
	if (!sdes_policy_is_member("sdes_auditor"))
		sdes_policy_require_member("sdes_admin", "count encrypted values");
	sdes_require_bucket(text_to_cstring(PG_GETARG_TEXT_PP(0)), &bucket);
	report.result = (ReturnSetInfo *) fcinfo->resultinfo;
	memcpy(report.bucket, bucket.uuid, SDES_UUID_SIZE);
	sdes_inventory_count(sdes_tracked_read(), take_place, &report);
	return (Datum) 0;
}
