/*
 * partitions.c
 *		A partition of sdes.audit_log for each month, and since when they are kept.
 *
 * Partitions belong to the extension: dumps leave them out, and DROP EXTENSION takes them
 * along. They are made apart and attached, since CREATE TABLE PARTITION OF would have to
 * wait for everybody who reads the table.
 */
#include "postgres.h"

#include "auditlog/auditlog.h"
#include "auditlog/internal.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "audit/audit.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "sdes_spi.h"
#include "utils/builtins.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"

SDES_SQL_FUNCTION(sdes_refuse_change);

#define NAME SDES_LOG_PARTITION("m")

TimestampTz
sdes_log_kept_since(void)
{
	return GetCurrentTimestamp() - sdes_audit_retention * (int64) USECS_PER_MINUTE;
}

Relation
sdes_log_open(const char *table)
{
	RangeVar *name = makeRangeVar(pstrdup("sdes"), pstrdup(table), -1);

	return table_openrv_extended(name, AccessShareLock, true);
}

TupleDesc
sdes_log_columns(void)
{
	Relation rel = sdes_log_open("audit_log");
	TupleDesc desc;

	if (rel == NULL)
		return NULL;
	desc = CreateTupleDescCopy(RelationGetDescr(rel));
	table_close(rel, AccessShareLock);
	return desc;
}

void
sdes_log_register(const char *name, TupleDesc desc, Tuplestorestate *rows, int64 nrows)
{
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = pstrdup(name);
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = (double) nrows;
	enr->reldata = rows;
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "rows could not be registered as \"%s\"", name);
}

void
sdes_log_unregister(const char *name)
{
	(void) SPI_unregister_relation(name);
}

static void
execute(const char *statement)
{
	SdesSpiParameters none = {0};

	sdes_spi_run_once(statement, &none);
}

static void
make(const char *name, const char *from, const char *to)
{
	execute(psprintf("CREATE TABLE sdes.%s (LIKE sdes.audit_log INCLUDING ALL)", name));
	execute(
	    psprintf("COMMENT ON TABLE sdes.%s IS 'sdes.audit_log from %s on'", name, from));
	execute(psprintf("CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON sdes.%s"
	                 " FOR EACH STATEMENT EXECUTE FUNCTION sdes.refuse_change()",
	                 name));
	execute(psprintf("ALTER TABLE sdes.%s ENABLE ALWAYS TRIGGER refuse_truncate", name));
	execute(psprintf("ALTER TABLE sdes.audit_log ATTACH PARTITION sdes.%s"
	                 " FOR VALUES FROM ('%s 00:00:00+00') TO ('%s 00:00:00+00')",
	                 name, from, to));
	execute(psprintf("ALTER EXTENSION sdes ADD TABLE sdes.%s", name));
}

/* The result's rows stay while others are run. */
static char ***
copy_result(int columns)
{
	char ***rows = palloc((SPI_processed + 1) * sizeof(char **));

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		rows[i] = palloc(columns * sizeof(char *));
		for (int k = 0; k < columns; k++)
			rows[i][k] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, k + 1);
	}
	rows[SPI_processed] = NULL;
	return rows;
}

/* Name and bounds of the partition of each month m, and whether it is there. */
#define SELECT_PARTITIONS                                                                  \
	"SELECT " NAME ", to_char(m, 'YYYY-MM-DD'),"                                           \
	" to_char(m + interval '1 month', 'YYYY-MM-DD'),"                                      \
	" CASE WHEN to_regclass('sdes.' || " NAME ") IS NULL THEN 'missing' END FROM "

/* Makes those of the result that are missing; returns it. */
static char ***
make_missing(void)
{
	char ***rows = copy_result(4);

	for (char ***row = rows; *row != NULL; row++)
		if ((*row)[3] != NULL)
			make((*row)[0], (*row)[1], (*row)[2]);
	return rows;
}

void
sdes_partitions_fill(void)
{
	SdesSpiParameters p = {0};

	sdes_spi_add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(sdes_log_kept_since()));
	sdes_spi_run_once(
	    SELECT_PARTITIONS
	    "(SELECT DISTINCT date_trunc('month', \"time\" AT TIME ZONE 'UTC') AS m"
	    " FROM loaded WHERE " SDES_LOG_KEPT ") AS months ORDER BY m",
	    &p);
	for (char ***row = make_missing(); *row != NULL; row++)
		sdes_partition_fill((*row)[0]);
}

void
sdes_partitions_make_kept(void)
{
	SdesSpiParameters p = {0};

	sdes_spi_add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(sdes_log_kept_since()));
	sdes_spi_run_once(SELECT_PARTITIONS
	                  "generate_series(date_trunc('month', $1 AT TIME ZONE 'UTC'),"
	                  " date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month',"
	                  " interval '1 month') AS months (m) ORDER BY m",
	                  &p);
	(void) make_missing();
}

static void
drop(const char *name)
{
	execute(psprintf("ALTER EXTENSION sdes DROP TABLE sdes.%s", name));
	execute(psprintf("DROP TABLE sdes.%s", name));
}

void
sdes_partitions_empty(void)
{
	execute("SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
	        " WHERE inhparent = 'sdes.audit_log'::regclass");
	for (char ***row = copy_result(1); *row != NULL; row++)
		drop((*row)[0]);
	execute("DELETE FROM sdes.audit_journal");
	execute("DELETE FROM sdes.audit_open");
	execute("DELETE FROM sdes.audit_hour");
	execute("DELETE FROM sdes.alert");
}

void
sdes_auditlog_expire(void)
{
	SdesSpiParameters p = {0};

	SPI_connect();
	sdes_spi_add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(sdes_log_kept_since()));
	sdes_spi_run_once("DELETE FROM sdes.audit_hour WHERE hour < $1 - interval '1 hour'",
	                  &p);
	sdes_spi_run_once("DELETE FROM sdes.alert WHERE raised_at < $1", &p);
	sdes_spi_run_once(
	    "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
	    " WHERE inhparent = 'sdes.audit_log'::regclass"
	    " AND to_date(relname, '\"audit_log_y\"YYYY\"m\"MM') + interval '1 month'"
	    " <= $1 AT TIME ZONE 'UTC' ORDER BY relname",
	    &p);
	for (char ***row = copy_result(1); *row != NULL; row++)
	{
		drop((*row)[0]);
		sdes_audit_event("drop audit log", NULL, "%s", (*row)[0]);
		ereport(LOG, (errmsg("partition \"%s\" of sdes.audit_log was dropped", (*row)[0]),
		              errdetail("It is older than sdes.audit_retention.")));
	}
	SPI_finish();
}

Datum
sdes_refuse_change(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "sdes.refuse_change() is a trigger");
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
	                errmsg("rows of sdes.audit_log are never changed"),
	                errhint("Old ones go by sdes.audit_retention.")));
}
