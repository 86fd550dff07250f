/*
 * batch.c
 *		Re-encrypts the rows of some pages.
 *
 * An UPDATE below SQL: the tuple is locked, gets the same values in new ciphertext, and
 * its indexes follow. Done in SQL, it would fire triggers and cascades, check
 * constraints on plaintext that this process may not see, and compute generated columns
 * again.
 *
 * First the pages are looked at and rows noted, then all their values are sealed anew
 * together (in the HSM that is one round trip for many), and only then are the rows
 * locked and written, if they still are what was seen: no row is locked while the HSM
 * takes its time.
 */
#include "postgres.h"

#include "rotation/batch.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "rotation/index_entries.h"
#include "rotation/relations.h"
#include "rotation/renewal.h"
#include "rotation/room.h"
#include "sdes_compat.h"
#include "storage/bufmgr.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#define WRITE_TIMEOUT_MS 10000              /* of the rows of a batch */
#define MAX_PAGES        512                /* looked at in one batch */
#define MAX_BYTES        (16 * 1024 * 1024) /* of rows held at once, and one row more */

typedef struct Row
{
	ItemPointerData tid;
	HeapTuple tuple; /* a copy */
} Row;

typedef struct Work
{
	Relation rel;
	const SdesRowShape *shape;
	SdesTrackedSet *set;
	SdesBatch *batch;
	MemoryContext scratch; /* reset for each row */
	Row *rows;
	int nrows;
	int max_rows; /* room in rows */
	int due;      /* values of the row that is looked at */
	SdesRenewal *renewal;
} Work;

/* ---- looking ---- */

static struct varlena *
count_visit(struct varlena *value, SdesEncType type, void *arg)
{
	Work *work = arg;
	work->due += sdes_tracked_count(work->set, value);
	return value;
}

/* A long value is not read for its key. */
static void
count_start(Work *work, Datum datum)
{
	struct varlena *start = PG_DETOAST_DATUM_SLICE(datum, 0, SDES_TOKENS_PREFIX);

	count_visit(start, SDES_ENC_TEXT, work);
}

/* Counts a row's values; whether one of them is due. */
static bool
row_is_due(Work *work, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(work->scratch);

	work->due = 0;
	for (int i = 0; i < work->shape->natts; i++)
	{
		const SdesShape *shape = work->shape->columns[i];
		bool null;
		Datum datum;

		if (shape == NULL)
			continue;
		datum = slot_getattr(slot, i + 1, &null);
		if (null)
			continue;
		if (sdes_shape_is_value(shape) && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(datum)))
			count_start(work, datum);
		else
			sdes_shape_map(shape, datum, count_visit, work);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(work->scratch);
	work->batch->found += work->due;
	return work->due > 0;
}

static void
note_row(Work *work, TupleTableSlot *slot)
{
	if (work->nrows == work->max_rows)
	{
		work->max_rows *= 2;
		work->rows = repalloc(work->rows, work->max_rows * sizeof(Row));
	}
	work->rows[work->nrows].tid = slot->tts_tid;
	work->rows[work->nrows++].tuple = ExecCopySlotHeapTuple(slot);
}

/* The scan of the pages that this batch may look at. */
static TableScanDesc
begin_scan(Work *work)
{
	SdesBatch *batch = work->batch;
	BlockNumber last;
	ItemPointerData from, to;

	if (work->rel->rd_tableam->scan_set_tidrange == NULL)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("access method of table \"%s\" cannot scan a range of rows",
		                       RelationGetRelationName(work->rel))));
	batch->blocks = RelationGetNumberOfBlocks(work->rel);
	last = batch->next < batch->blocks
	           ? Min(batch->blocks - batch->next, MAX_PAGES) + batch->next - 1
	           : batch->next;
	ItemPointerSet(&from, batch->next, FirstOffsetNumber);
	ItemPointerSet(&to, last, MaxOffsetNumber);
	batch->next = last + 1;
	batch->end = batch->next >= batch->blocks;
	return table_beginscan_tidrange(work->rel, GetActiveSnapshot(), &from, &to);
}

/* Notes the rows that are due; a page is looked at whole or not at all. */
static void
look(Work *work)
{
	TableScanDesc scan = begin_scan(work);
	TupleTableSlot *slot = table_slot_create(work->rel, NULL);
	BlockNumber page = InvalidBlockNumber;

	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (ItemPointerGetBlockNumber(&slot->tts_tid) != page)
		{
			page = ItemPointerGetBlockNumber(&slot->tts_tid);
			if (work->nrows > 0 && work->nrows >= work->batch->max_rows)
			{
				work->batch->next = page;
				work->batch->end = false;
				break;
			}
		}
		if (row_is_due(work, slot) && work->batch->max_rows > 0)
			note_row(work, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
}

/* ---- sealing anew ---- */

/* A long value that is not due is not read. */
static bool
stays_out_of_line(const Work *work, const SdesShape *shape, Datum datum)
{
	struct varlena *start;
	bool due;

	if (!sdes_shape_is_value(shape) || !VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(datum)))
		return false;
	start = PG_DETOAST_DATUM_SLICE(datum, 0, SDES_TOKENS_PREFIX);
	due = sdes_tracked_is_due(work->set, start);
	pfree(start);
	return !due;
}

/* Visits the values of a row; whether any was replaced. */
static bool
visit_row(Work *work, HeapTuple tuple, SdesVisit visit, Datum *values, bool *nulls)
{
	bool changed = false;

	heap_deform_tuple(tuple, RelationGetDescr(work->rel), values, nulls);
	for (int i = 0; i < work->shape->natts; i++)
	{
		Datum other;

		if (nulls[i] || work->shape->columns[i] == NULL ||
		    stays_out_of_line(work, work->shape->columns[i], values[i]))
			continue;
		other = sdes_shape_map(work->shape->columns[i], values[i], visit, work->renewal);
		changed |= other != values[i];
		values[i] = other;
	}
	return changed;
}

/* Of as many rows as may be held; the others are left to the next batch. */
static void
gather(Work *work)
{
	Datum *values = palloc(work->shape->natts * sizeof(Datum));
	bool *nulls = palloc(work->shape->natts * sizeof(bool));
	int n = 0;

	while (n < work->nrows && work->renewal->held < MAX_BYTES)
		visit_row(work, work->rows[n++].tuple, sdes_renewal_gather, values, nulls);
	if (n < work->nrows)
	{
		work->batch->next = ItemPointerGetBlockNumber(&work->rows[n].tid);
		work->batch->end = false;
		work->nrows = n;
	}
}

/* ---- writing ---- */

typedef struct Writer
{
	EState *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot;   /* for the new row */
	TupleTableSlot *locked; /* for the present one */
	LockTupleMode mode;
} Writer;

/*
 * As an UPDATE of the columns with values would. A key column's bytes change, although
 * its value does not: then the locks of foreign keys are in the way, too.
 */
static LockTupleMode
lock_mode(const Work *work)
{
	Bitmapset *keys = RelationGetIndexAttrBitmap(work->rel, INDEX_ATTR_BITMAP_KEY);

	for (int i = 0; i < work->shape->natts; i++)
		if (work->shape->columns[i] != NULL &&
		    bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, keys))
			return LockTupleExclusive;
	return LockTupleNoKeyExclusive;
}

/* Whether the row is still the one that was seen, and can be locked at once. */
static bool
lock_row(Work *work, Writer *writer, Row *row)
{
	TM_FailureData failure;
	TM_Result result = table_tuple_lock(work->rel, &row->tid, GetActiveSnapshot(),
	                                    writer->locked, GetCurrentCommandId(true),
	                                    writer->mode, LockWaitSkip, 0, &failure);

	ExecClearTuple(writer->locked);
	if (result != TM_Ok)
		work->batch->skipped++;
	return result == TM_Ok;
}

static void
write_row(Work *work, Writer *writer, Row *row)
{
	TupleTableSlot *slot = writer->slot;
	SDES_UPDATE_INDEXES indexes;
	TM_FailureData failure;
	LockTupleMode mode;
	TM_Result result;

	ExecClearTuple(slot);
	if (!visit_row(work, row->tuple, sdes_renewal_replace, slot->tts_values,
	               slot->tts_isnull) ||
	    !lock_row(work, writer, row))
		return;
	ExecStoreVirtualTuple(slot);
	result = table_tuple_update(work->rel, &row->tid, slot, GetCurrentCommandId(true),
	                            GetActiveSnapshot(), InvalidSnapshot, true, &failure, &mode,
	                            &indexes);
	if (result != TM_Ok)
		elog(ERROR, "row that is locked could not be updated: %d", result);
	if (SDES_NEEDS_INDEXES(indexes))
		sdes_index_entries_add(writer->target, slot, writer->estate, indexes);
	ResetPerTupleExprContext(writer->estate);
	work->batch->rows++;
	work->batch->bytes += row->tuple->t_len;
}

static void
write_rows(Work *work)
{
	ResultRelInfo target = {0};
	Writer writer = {.estate = CreateExecutorState(), .target = &target};

	InitResultRelInfo(&target, work->rel, 0, NULL, 0);
	ExecOpenIndices(&target, false);
	writer.mode = lock_mode(work);
	writer.locked = table_slot_create(work->rel, NULL);
	writer.slot = MakeSingleTupleTableSlot(RelationGetDescr(work->rel), &TTSOpsVirtual);
	for (int i = 0; i < work->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		write_row(work, &writer, &work->rows[i]);
	}
	ExecDropSingleTupleTableSlot(writer.locked);
	ExecDropSingleTupleTableSlot(writer.slot);
	ExecCloseIndices(&target);
	FreeExecutorState(writer.estate);
}

/*
 * What an index computes is the owner's code: it runs as the owner, confined, and not for
 * long, since others wait.
 */
static void
write_as_owner(Work *work)
{
	SdesAsOwner before = sdes_relation_begin_as_owner(work->rel);

	enable_timeout_after(STATEMENT_TIMEOUT, WRITE_TIMEOUT_MS);
	write_rows(work);
	disable_timeout(STATEMENT_TIMEOUT, false);
	sdes_relation_end_as_owner(&before);
}

static void
start(Work *work, Relation rel, const SdesRowShape *shape, SdesTrackedSet *set,
      SdesBatch *batch)
{
	memset(work, 0, sizeof(*work));
	work->rel = rel;
	work->shape = shape;
	work->set = set;
	work->batch = batch;
	work->scratch = AllocSetContextCreate(CurrentMemoryContext, "sdes batch row",
	                                      ALLOCSET_DEFAULT_SIZES);
	work->max_rows = 1024;
	work->rows = palloc(work->max_rows * sizeof(Row));
	work->renewal = sdes_renewal_new(set);
}

void
sdes_batch_count(Relation rel, const SdesRowShape *shape, SdesTrackedSet *set,
                 SdesBatch *batch)
{
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "sdes count", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Work work;

	batch->max_rows = 0; /* notes none */
	start(&work, rel, shape, set, batch);
	look(&work);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
sdes_batch_run(Relation rel, const SdesRowShape *shape, SdesTrackedSet *set,
               SdesBatch *batch)
{
	MemoryContext context =
	    AllocSetContextCreate(CurrentMemoryContext, "sdes batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	BlockNumber began = batch->next;
	Work work;

	start(&work, rel, shape, set, batch);
	sdes_room_reclaim(rel);
	look(&work);
	if (work.nrows > 0)
	{
		/* A published table must tell its subscribers which row it is. */
		CheckCmdReplicaIdentity(rel, CMD_UPDATE);
		gather(&work);
		sdes_value_renew(work.renewal->items, work.renewal->n);
		write_as_owner(&work);
		sdes_room_note(rel, began, batch->next);
	}
	/* A page whose first rows are long and locked is left to a later pass. */
	if (batch->next == began && batch->rows == 0)
		batch->next++;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
