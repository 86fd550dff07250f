/*
 * insert.c
 *		Rows into the partitions of sdes.audit_log, below SQL.
 *
 * Logical decoding does not see them (TABLE_INSERT_NO_LOGICAL). A publication FOR ALL
 * TABLES has a new partition from the moment that it is made, and a subscriber that lacks
 * it would stop at its first row. Standbys get them as ever.
 */
#include "postgres.h"

#include "auditlog/internal.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "sdes_compat.h"
#include "sdes_spi.h"
#include "utils/snapmgr.h"

typedef struct Writer
{
	Relation rel;
	EState *estate;
	ResultRelInfo *target;
	TupleTableSlot *slot;
} Writer;

static void
write_row(Writer *writer, HeapTuple row)
{
	ExecForceStoreHeapTuple(row, writer->slot, false);
	table_tuple_insert(writer->rel, writer->slot, GetCurrentCommandId(true),
	                   TABLE_INSERT_NO_LOGICAL, NULL);
	SDES_INSERT_INDEX_TUPLES(writer->target, writer->slot, writer->estate);
	ResetPerTupleExprContext(writer->estate);
}

static void
write_rows(const char *partition, const SPITupleTable *rows, uint64 nrows)
{
	RangeVar *name = makeRangeVar(pstrdup("sdes"), pstrdup(partition), -1);
	ResultRelInfo target = {0};
	Writer writer = {.estate = CreateExecutorState(), .target = &target};

	writer.rel = table_openrv(name, RowExclusiveLock);
	InitResultRelInfo(&target, writer.rel, 0, NULL, 0);
	ExecOpenIndices(&target, false);
	writer.slot = table_slot_create(writer.rel, NULL);
	for (uint64 i = 0; i < nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		write_row(&writer, rows->vals[i]);
	}
	ExecDropSingleTupleTableSlot(writer.slot);
	ExecCloseIndices(&target);
	FreeExecutorState(writer.estate);
	table_close(writer.rel, NoLock);
}

void
sdes_partition_fill(const char *partition)
{
	SdesSpiParameters p = {0};

	sdes_spi_add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(sdes_log_kept_since()));
	sdes_spi_add_text(&p, partition);
	sdes_spi_run_once("SELECT * FROM loaded WHERE " SDES_LOG_KEPT
	                  " AND " SDES_LOG_PARTITION("\"time\" AT TIME ZONE 'UTC'") " = $2",
	                  &p);
	PushActiveSnapshot(GetTransactionSnapshot());
	write_rows(partition, SPI_tuptable, SPI_processed);
	PopActiveSnapshot();
	CommandCounterIncrement();
}
