/*
 * verify.c
 *		sdes.verify_audit_log(): whether the table is what the journals say.
 *
 * The rows are made anew from the journals, as far as they were loaded, and compared with
 * those that are there. Of a journal, or segments, that were moved away nothing can be
 * said.
 */
#include "postgres.h"

#include "audit/audit.h"
#include "auditlog/internal.h"
#include "auditlog/reading.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "sdes_datum.h"
#include "sdes_spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#define PIECE_BYTES ((size_t) 16 * 1024 * 1024)

SDES_SQL_FUNCTION(sdes_verify_audit_log);

/* $1, $2: from when to when; $3, $4: journals, and the first record of each that is there. */
static const char compare[] =
    "SELECT journal, sequence, \"time\", CASE WHEN l.operation IS NULL THEN 'missing'"
    " WHEN d.operation IS NULL THEN 'made up' ELSE 'edited' END"
    " FROM (SELECT derived.* FROM derived JOIN unnest($3, $4) AS r (journal, first) USING "
    "(journal)"
    " WHERE \"time\" >= $1 AND \"time\" < $2 AND sequence >= r.first) AS d"
    " FULL JOIN (SELECT t.* FROM sdes.audit_log t"
    " LEFT JOIN unnest($3, $4) AS r (journal, first) USING (journal)"
    " LEFT JOIN sdes.audit_journal j USING (journal)"
    " WHERE t.\"time\" >= $1 AND t.\"time\" < $2"
    " AND (t.sequence >= r.first OR j.journal IS NULL)) AS l"
    " USING (journal, sequence, \"time\")"
    " WHERE d IS DISTINCT FROM l ORDER BY 3, 1, 2";

/* Journals of which there is something to say. */
static void
put_journal(ReturnSetInfo *result, const uint8 *journal, uint64 next, const char *wrong)
{
	Datum values[4];
	bool nulls[4] = {false, next == 0, true, false};

	values[0] = sdes_uuid_datum(journal);
	values[1] = Int64GetDatum((int64) next);
	values[3] = CStringGetTextDatum(wrong);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* As far as it was loaded; false when nothing of it was. */
static bool
derive(SdesReading *reading, TupleDesc desc, Tuplestorestate *rows)
{
	SdesUses *uses = sdes_uses_new(reading->journal, desc, rows);
	SdesSpiParameters p = {0};
	bool null;

	sdes_spi_add_uuid(&p, reading->journal);
	sdes_spi_read("SELECT next FROM sdes.audit_journal WHERE journal = $1", &p);
	if (SPI_processed == 0)
		return false;
	reading->until = (uint64) DatumGetInt64(
	    SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
	reading->known = reading->until > 0;
	while (sdes_reading_go_on(reading, uses, PIECE_BYTES))
		;
	return reading->first != 0;
}

/* One that cannot be read is told, and keeps the others from nothing. */
static bool
try_to_derive(SdesReading *reading, TupleDesc desc, Tuplestorestate *rows)
{
	SdesSpiTry try = sdes_spi_begin_try();
	volatile bool some = false;

	PG_TRY();
	{
		some = derive(reading, desc, rows);
		sdes_spi_end_try(&try);
	}
	PG_CATCH();
	{
		reading->wrong = sdes_spi_catch(&try);
	}
	PG_END_TRY();
	return some;
}

/* Of what is there: the journals, and the first record of each. */
static Tuplestorestate *
derive_all(ReturnSetInfo *result, TupleDesc desc, SdesSpiParameters *p)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	List *readings = sdes_reading_list();
	Datum *journals = palloc((list_length(readings) + 1) * sizeof(Datum));
	Datum *firsts = palloc((list_length(readings) + 1) * sizeof(Datum));
	int n = 0;
	ListCell *cell;

	foreach (cell, readings)
	{
		SdesReading *reading = lfirst(cell);
		bool some = try_to_derive(reading, desc, rows);

		if (reading->wrong != NULL)
			put_journal(result, reading->journal, reading->next, reading->wrong);
		if (!some)
			continue;
		journals[n] = sdes_uuid_datum(reading->journal);
		firsts[n++] = Int64GetDatum((int64) reading->first);
	}
	sdes_spi_add(p, UUIDARRAYOID,
	             PointerGetDatum(construct_array(journals, n, UUIDOID, UUID_LEN, false,
	                                             TYPALIGN_CHAR)));
	sdes_spi_add(p, INT8ARRAYOID,
	             PointerGetDatum(construct_array(firsts, n, INT8OID, sizeof(int64),
	                                             FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
	return rows;
}

/* Sums by hour that are not those of the rows, of whole hours that are kept. */
static const char compare_sums[] =
    "SELECT NULL::uuid, NULL::bigint, hour, 'sums by hour of role \"' || role || '\"'"
    " FROM (SELECT " SDES_LOG_HOUR " AS hour, coalesce(role, '') AS role,"
    " coalesce(bucket, '') AS bucket, operation, outcome, coalesce(relation, '') AS "
    "relation,"
    " coalesce(\"column\", '') AS \"column\", count(*) AS uses,"
    " coalesce(sum(\"values\"), 0) AS \"values\", coalesce(sum(bytes), 0) AS bytes,"
    " min(\"time\") AS first, max(\"time\") AS last FROM sdes.audit_log"
    " WHERE \"time\" >= $1 AND \"time\" < $2 GROUP BY 1, 2, 3, 4, 5, 6, 7) AS s"
    " FULL JOIN (SELECT * FROM sdes.audit_hour WHERE hour >= $1 AND hour < $2) AS h"
    " USING (hour, role, bucket, operation, outcome, relation, \"column\", uses, "
    "\"values\","
    " bytes, first, last) WHERE s.hour IS NULL OR h.hour IS NULL ORDER BY hour, role";

/* Those that rows are of, and that are not there. */
static const char absent[] =
    "SELECT journal, NULL::bigint, NULL::timestamptz, 'its journal is not there'"
    " FROM sdes.audit_journal WHERE next > 0 AND journal <> ALL ($1) ORDER BY 1";

static void
put_result(ReturnSetInfo *result)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum values[4];
		bool nulls[4];

		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* Which journals were looked at is an array of uuids. */
static void
compare_the_rest(ReturnSetInfo *result, TimestampTz from, TimestampTz to, Datum journals)
{
	SdesSpiParameters hours = {0};
	SdesSpiParameters there = {0};

	from = Max(from, sdes_log_kept_since());
	if (from > DT_NOBEGIN)
		from = (from / USECS_PER_HOUR + 1) * USECS_PER_HOUR;
	if (to < DT_NOEND)
		to = to / USECS_PER_HOUR * USECS_PER_HOUR;
	sdes_spi_add(&hours, TIMESTAMPTZOID, TimestampTzGetDatum(from));
	sdes_spi_add(&hours, TIMESTAMPTZOID, TimestampTzGetDatum(to));
	sdes_spi_read(compare_sums, &hours);
	put_result(result);
	sdes_spi_add(&there, UUIDARRAYOID, journals);
	sdes_spi_read(absent, &there);
	put_result(result);
}

static TimestampTz
time_argument(FunctionCallInfo fcinfo, int i, TimestampTz otherwise)
{
	return PG_ARGISNULL(i) ? otherwise : PG_GETARG_TIMESTAMPTZ(i);
}

/* Its search_path is set where it is declared. */
Datum
sdes_verify_audit_log(PG_FUNCTION_ARGS)
{
	TimestampTz from = time_argument(fcinfo, 0, DT_NOBEGIN);
	TimestampTz to = time_argument(fcinfo, 1, DT_NOEND);
	SdesSpiParameters p = {0};
	Tuplestorestate *derived;
	ReturnSetInfo *result;
	SdesJournalEnd end;
	char folder[SDES_JOURNAL_PATH_MAX];
	TupleDesc desc;

	sdes_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	sdes_audit_where(folder, &end);
	SPI_connect();
	desc = sdes_log_columns();
	if (desc == NULL)
		elog(ERROR, "sdes.audit_log is not there");
	sdes_spi_add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(Max(from, sdes_log_kept_since())));
	sdes_spi_add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(to));
	derived = derive_all(result, desc, &p);
	sdes_log_register("derived", desc, derived, 1000);
	sdes_spi_read(compare, &p);
	put_result(result);
	sdes_log_unregister("derived");
	tuplestore_end(derived);
	compare_the_rest(result, from, to, p.values[2]);
	SPI_finish();
	return (Datum) 0;
}
