/*
 * load.c
 *		What the journals have new about this database goes into sdes.audit_log.
 *
 * Rows, sums, alerts and how far the journal is read (sdes.audit_journal) are of one
 * transaction: whatever comes between, a record is loaded once. The worker's search_path is
 * pg_catalog alone, so names of that schema need no prefix here.
 */
#include "postgres.h"

#include "auditlog/auditlog.h"

#include "access/xlog.h"
#include "auditlog/internal.h"
#include "auditlog/reading.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "sdes_spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define PIECE_BYTES ((size_t) 4 * 1024 * 1024) /* of the journal, in one transaction */

/* ---- what is known of a journal ---- */

static Datum
column(uint64 row, int number, bool *null)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, null);
}

static void
read_position(SdesReading *reading)
{
	SdesSpiParameters p = {0};
	bool null;
	bytea *hash;

	sdes_spi_add_uuid(&p, reading->journal);
	sdes_spi_run("SELECT segment, \"offset\", next, hash, wrong, lacks, trouble"
	             " FROM sdes.audit_journal WHERE journal = $1",
	             &p);
	if (SPI_processed == 0)
		return;
	reading->segment = (uint64) DatumGetInt64(column(0, 1, &null));
	reading->offset = (uint64) DatumGetInt64(column(0, 2, &null));
	reading->next = (uint64) DatumGetInt64(column(0, 3, &null));
	reading->known = reading->next > 0;
	hash = DatumGetByteaPP(column(0, 4, &null));
	memcpy(reading->hash, VARDATA_ANY(hash),
	       Min(VARSIZE_ANY_EXHDR(hash), sizeof(reading->hash)));
	reading->wrong = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5);
	reading->lacks = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 6);
	(void) column(0, 7, &null);
	reading->troubled = !null;
}

static void
note_position(const SdesReading *reading, const SdesUses *uses)
{
	SdesSpiParameters p = {0};

	sdes_spi_add_uuid(&p, reading->journal);
	sdes_spi_add(&p, INT8OID, Int64GetDatum((int64) reading->segment));
	sdes_spi_add(&p, INT8OID, Int64GetDatum((int64) reading->offset));
	sdes_spi_add(&p, INT8OID, Int64GetDatum((int64) reading->next));
	sdes_spi_add_bytes(&p, reading->hash, sizeof(reading->hash));
	sdes_spi_add_text(&p, uses->node);
	sdes_spi_add_text(&p, reading->wrong);
	sdes_spi_add_text(&p, reading->lacks);
	sdes_spi_add(&p, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	sdes_spi_add(&p, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	sdes_spi_run(
	    "INSERT INTO sdes.audit_journal AS j"
	    " (journal, segment, \"offset\", next, hash, node, wrong, lacks, database,"
	    " system_id, loaded_at)"
	    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp())"
	    " ON CONFLICT (journal) DO UPDATE SET segment = $2, \"offset\" = $3, next = $4,"
	    " hash = $5, node = coalesce($6, j.node), wrong = $7, lacks = $8, trouble = NULL,"
	    " database = $9, system_id = $10, loaded_at = clock_timestamp()",
	    &p);
}

/* ---- what is open ---- */

static void
read_open(SdesUses *uses)
{
	SdesSpiParameters p = {0};
	bool null;

	sdes_spi_add_uuid(&p, uses->journal);
	sdes_spi_run("SELECT use, sequence, (extract(epoch FROM \"time\") * 1000000)::bigint,"
	             " \"values\", fields FROM sdes.audit_open WHERE journal = $1"
	             " ORDER BY sequence",
	             &p);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bytea *fields = DatumGetByteaPP(column(i, 5, &null));
		SdesOpenUse use = {
		    .use = (uint64) DatumGetInt64(column(i, 1, &null)),
		    .sequence = (uint64) DatumGetInt64(column(i, 2, &null)),
		    .time = DatumGetInt64(column(i, 3, &null)),
		    .stored = true,
		    .fields = sdes_bytes((uint8 *) VARDATA_ANY(fields), VARSIZE_ANY_EXHDR(fields))};

		use.values = DatumGetInt64(column(i, 4, &null));
		if (null)
			use.values = -1;
		sdes_uses_add(uses, &use);
	}
}

static void
store_open(const SdesUses *uses, const SdesOpenUse *use)
{
	SdesSpiParameters p = {0};

	sdes_spi_add_uuid(&p, uses->journal);
	sdes_spi_add(&p, INT8OID, Int64GetDatum((int64) use->sequence));
	if (use->values >= 0)
		sdes_spi_add(&p, INT8OID, Int64GetDatum(use->values));
	else
		sdes_spi_add_null(&p, INT8OID);
	if (use->stored)
	{
		sdes_spi_run("UPDATE sdes.audit_open SET \"values\" = $3"
		             " WHERE journal = $1 AND sequence = $2",
		             &p);
		return;
	}
	sdes_spi_add(&p, INT8OID, Int64GetDatum((int64) use->use));
	sdes_spi_add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(sdes_uses_time(use->time)));
	sdes_spi_add_bytes(&p, use->fields.data, use->fields.size);
	sdes_spi_run(
	    "INSERT INTO sdes.audit_open (journal, sequence, \"values\", use, \"time\","
	    " fields) VALUES ($1, $2, $3, $4, $5, $6)",
	    &p);
}

static void
remove_ended(const SdesUses *uses)
{
	SdesSpiParameters p = {0};
	Datum *sequences = palloc(Max(list_length(uses->ended), 1) * sizeof(Datum));
	int n = 0;
	ListCell *cell;

	if (uses->ended == NIL)
		return;
	foreach (cell, uses->ended)
		sequences[n++] = Int64GetDatum((int64) * (uint64 *) lfirst(cell));
	sdes_spi_add_uuid(&p, uses->journal);
	sdes_spi_add(&p, INT8ARRAYOID,
	             PointerGetDatum(construct_array(sequences, n, INT8OID, sizeof(int64),
	                                             FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
	sdes_spi_run("DELETE FROM sdes.audit_open WHERE journal = $1 AND sequence = ANY ($2)",
	             &p);
}

static void
note_open(const SdesUses *uses)
{
	ListCell *cell;

	remove_ended(uses);
	foreach (cell, uses->open)
	{
		const SdesOpenUse *use = lfirst(cell);

		if (!use->stored || use->changed)
			store_open(uses, use);
	}
}

/* ---- rows ---- */

static void
insert_rows(SdesUses *uses)
{
	SdesSpiParameters p = {0};

	if (uses->nrows == 0)
		return;
	sdes_spi_add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(sdes_log_kept_since()));
	sdes_log_register("loaded", uses->desc, uses->rows, uses->nrows);
	sdes_partitions_fill();
	sdes_spi_run_once(
	    "INSERT INTO sdes.audit_hour AS h SELECT " SDES_LOG_HOUR ","
	    " coalesce(role, ''), coalesce(bucket, ''), coalesce(relation, ''),"
	    " coalesce(\"column\", ''), operation, outcome, count(*),"
	    " coalesce(sum(\"values\"), 0), coalesce(sum(bytes), 0), min(\"time\"), "
	    "max(\"time\")"
	    " FROM loaded WHERE " SDES_LOG_KEPT " GROUP BY 1, 2, 3, 4, 5, 6, 7"
	    " ON CONFLICT ON CONSTRAINT audit_hour_pkey DO UPDATE SET"
	    " uses = h.uses + excluded.uses, \"values\" = h.\"values\" + excluded.\"values\","
	    " bytes = h.bytes + excluded.bytes, first = least(h.first, excluded.first),"
	    " last = greatest(h.last, excluded.last)",
	    &p);
	sdes_alerts_raise();
	sdes_log_unregister("loaded");
}

/* Whether there is more. */
static bool
load_journal(SdesReading *reading, TupleDesc desc)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	SdesUses *uses = sdes_uses_new(reading->journal, desc, rows);
	bool was_wrong;
	bool more;

	read_position(reading);
	was_wrong = reading->wrong != NULL;
	read_open(uses);
	more = sdes_reading_go_on(reading, uses, PIECE_BYTES);
	if (more || reading->troubled || (reading->wrong != NULL && !was_wrong))
	{
		insert_rows(uses);
		note_open(uses);
		note_position(reading, uses);
	}
	if (reading->wrong != NULL && !was_wrong)
		ereport(WARNING,
		        (errcode(ERRCODE_DATA_CORRUPTED),
		         errmsg("audit journal \"%s\": %s", reading->folder, reading->wrong),
		         errdetail("No more of it is loaded into sdes.audit_log.")));
	tuplestore_end(rows);
	return more;
}

/* Logged when it is news; the row is made if need be. */
static void
note_trouble(const SdesReading *reading, const char *trouble)
{
	SdesSpiParameters p = {0};

	sdes_spi_add_uuid(&p, reading->journal);
	sdes_spi_add_text(&p, trouble);
	sdes_spi_run(
	    "INSERT INTO sdes.audit_journal AS j (journal, segment, \"offset\", next,"
	    " hash, loaded_at, trouble) VALUES ($1, 0, 0, 0, '', clock_timestamp(), $2)"
	    " ON CONFLICT (journal) DO UPDATE SET trouble = $2"
	    " WHERE j.trouble IS DISTINCT FROM $2",
	    &p);
	if (SPI_processed > 0)
		ereport(WARNING, (errmsg("audit journal \"%s\" cannot be loaded: %s",
		                         reading->folder, trouble)));
}

/* One that cannot be loaded keeps no other one from it. */
static bool
try_to_load(SdesReading *reading, TupleDesc desc)
{
	SdesSpiTry try = sdes_spi_begin_try();
	volatile bool more = false;
	char *volatile trouble = NULL;

	PG_TRY();
	{
		more = load_journal(reading, desc);
		sdes_spi_end_try(&try);
	}
	PG_CATCH();
	{
		trouble = sdes_spi_catch(&try);
		sdes_log_unregister("loaded");
	}
	PG_END_TRY();
	if (trouble != NULL)
		note_trouble(reading, trouble);
	return more;
}

/* Folders that nothing was ever loaded of, and that are gone. */
static void
forget_gone(const List *readings)
{
	SdesSpiParameters p = {0};

	sdes_spi_add(&p, UUIDARRAYOID, sdes_reading_ids(readings));
	sdes_spi_run("DELETE FROM sdes.audit_journal WHERE next = 0 AND journal <> ALL ($1)",
	             &p);
}

/*
 * A copy of the database within its cluster has brought along the rows of its original,
 * which are none of its own: it begins anew.
 */
static void
begin_anew_in_copy(void)
{
	SdesSpiParameters p = {0};

	sdes_spi_add(&p, OIDOID, ObjectIdGetDatum(MyDatabaseId));
	sdes_spi_add(&p, INT8OID, Int64GetDatum((int64) GetSystemIdentifier()));
	sdes_spi_run("SELECT FROM sdes.audit_journal WHERE database <> $1 AND system_id = $2",
	             &p);
	if (SPI_processed > 0)
		sdes_partitions_empty();
}

bool
sdes_auditlog_load(void)
{
	SdesSpiParameters none = {0};
	TupleDesc desc;
	List *readings;
	bool more = false;
	ListCell *cell;

	SPI_connect();
	desc = sdes_log_columns();
	if (desc != NULL)
	{
		/* Against another worker, whose launcher has died. */
		sdes_spi_run("LOCK TABLE sdes.audit_journal IN SHARE UPDATE EXCLUSIVE MODE", &none);
		begin_anew_in_copy();
		readings = sdes_reading_list();
		foreach (cell, readings)
			more = try_to_load(lfirst(cell), desc) || more;
		if (readings != NIL)
			forget_gone(readings);
	}
	SPI_finish();
	return more;
}
