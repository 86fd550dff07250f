/*
 * progress.c
 *		sdes.rotation through SPI.
 *
 * The worker's search_path is pg_catalog alone, so names of that schema need no prefix
 * here.
 */
#include "postgres.h"

#include "rotation/progress.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "sdes_spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* next_block of a relation that no pass is under way through. */
#define BETWEEN_PASSES (-1)

static Datum
oid_array(const List *oids)
{
	Datum *values = palloc(Max(list_length(oids), 1) * sizeof(Datum));
	int n = 0;
	ListCell *cell;

	foreach (cell, oids)
		values[n++] = ObjectIdGetDatum(lfirst_oid(cell));
	return PointerGetDatum(construct_array(values, n, OIDOID, sizeof(Oid), true, 'i'));
}

void
sdes_progress_sync(const List *relations)
{
	SdesSpiParameters parameters = {0};

	sdes_spi_add(&parameters, OIDARRAYOID, oid_array(relations));
	sdes_spi_run("DELETE FROM sdes.rotation WHERE relation <> ALL ($1) AND relation <> 0",
	             &parameters);
	sdes_spi_run(
	    "INSERT INTO sdes.rotation"
	    " SELECT o, '{}', 'pending', 0, 'epoch', now(), -1, 0, 0, 0, 0, 0, 0, now(), NULL,"
	    " now() FROM unnest($1) o ON CONFLICT DO NOTHING",
	    &parameters);
}

void
sdes_progress_set_buckets(Oid relation, Datum uuids)
{
	SdesSpiParameters parameters = {0};

	sdes_spi_add(&parameters, OIDOID, ObjectIdGetDatum(relation));
	sdes_spi_add(&parameters, get_array_type(UUIDOID), uuids);
	sdes_spi_run(
	    "UPDATE sdes.rotation SET buckets = $2 WHERE relation = $1 AND buckets <> $2",
	    &parameters);
}

static Datum
column(int number)
{
	bool null;

	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, &null);
}

static void
read_task(SdesTask *task)
{
	task->relation = DatumGetObjectId(column(1));
	task->pass = DatumGetInt32(column(2));
	task->begins = DatumGetInt64(column(3)) == BETWEEN_PASSES;
	task->next = task->begins ? 0 : (BlockNumber) DatumGetInt64(column(3));
	task->found = DatumGetInt64(column(4));
	task->skipped = DatumGetInt64(column(5));
}

/*
 * One relation is brought to the end of its pass before the next; among those that are
 * between passes, the one that was not looked at for the longest time.
 */
SdesTaskFound
sdes_progress_next(Datum uuids, TimestampTz since, SdesTask *task)
{
	SdesSpiParameters parameters = {0};

	sdes_spi_add(&parameters, get_array_type(UUIDOID), uuids);
	sdes_spi_add(&parameters, TIMESTAMPTZOID, TimestampTzGetDatum(since));
	sdes_spi_run(
	    "SELECT relation, pass, next_block, found, skipped, retry_at <= now()"
	    " FROM sdes.rotation WHERE relation <> 0 AND buckets && $1"
	    " AND NOT (phase = 'done' AND pass_started_at > $2)"
	    " ORDER BY retry_at <= now() DESC, next_block >= 0 DESC, updated_at, relation"
	    " LIMIT 1",
	    &parameters);
	if (SPI_processed == 0)
		return SDES_TASK_NONE;
	read_task(task);
	return DatumGetBool(column(6)) ? SDES_TASK_FOUND : SDES_TASK_LATER;
}

/* A pass begins, or a series of them. */
static void
note_begin(const SdesTask *task)
{
	SdesSpiParameters parameters = {0};

	sdes_spi_add(&parameters, OIDOID, ObjectIdGetDatum(task->relation));
	sdes_spi_run(
	    "UPDATE sdes.rotation SET"
	    " pass = CASE WHEN phase IN ('pending', 'done') THEN 1 ELSE pass + 1 END,"
	    " started_at = CASE WHEN phase IN ('pending', 'done') THEN now() ELSE started_at "
	    "END,"
	    " rows_done = CASE WHEN phase IN ('pending', 'done') THEN 0 ELSE rows_done END,"
	    " bytes_done = CASE WHEN phase IN ('pending', 'done') THEN 0 ELSE bytes_done END,"
	    " phase = CASE WHEN phase IN ('pending', 'done') THEN 're-encrypting' ELSE "
	    "'checking' END,"
	    " pass_started_at = now(), found = 0, skipped = 0 WHERE relation = $1",
	    &parameters);
}

/* A pass that found something is followed by another one. */
static void
note_end(const SdesTask *task)
{
	SdesSpiParameters parameters = {0};

	sdes_spi_add(&parameters, OIDOID, ObjectIdGetDatum(task->relation));
	sdes_spi_run("UPDATE sdes.rotation SET next_block = -1,"
	             " phase = CASE WHEN found = 0 THEN 'done' ELSE 'checking' END"
	             " WHERE relation = $1",
	             &parameters);
}

void
sdes_progress_note(const SdesTask *task, const SdesBatch *batch)
{
	SdesSpiParameters parameters = {0};

	if (task->begins)
		note_begin(task);
	sdes_spi_add(&parameters, OIDOID, ObjectIdGetDatum(task->relation));
	sdes_spi_add(&parameters, INT8OID, Int64GetDatum((int64) batch->next));
	sdes_spi_add(&parameters, INT8OID, Int64GetDatum((int64) batch->blocks));
	sdes_spi_add(&parameters, INT8OID, Int64GetDatum(batch->found));
	sdes_spi_add(&parameters, INT8OID, Int64GetDatum(batch->skipped));
	sdes_spi_add(&parameters, INT8OID, Int64GetDatum(batch->rows));
	sdes_spi_add(&parameters, INT8OID, Int64GetDatum(batch->bytes));
	sdes_spi_run(
	    "UPDATE sdes.rotation SET next_block = $2, blocks = $3, found = found + $4,"
	    " skipped = skipped + $5, rows_done = rows_done + $6, bytes_done = bytes_done + $7,"
	    " retries = CASE WHEN $6 > 0 OR $4 = 0 THEN 0 ELSE retries END, error = NULL,"
	    " updated_at = clock_timestamp() WHERE relation = $1",
	    &parameters);
	if (batch->end)
		note_end(task);
	/* Nothing moved in a whole pass: whoever has the rows locked needs time. */
	if (batch->end && batch->rows == 0 && task->skipped + batch->skipped > 0)
		sdes_progress_put_off(task->relation, NULL);
}

void
sdes_progress_put_off(Oid relation, const char *error)
{
	SdesSpiParameters parameters = {0};

	sdes_spi_add(&parameters, OIDOID, ObjectIdGetDatum(relation));
	sdes_spi_add_text(&parameters, error);
	sdes_spi_run(
	    "UPDATE sdes.rotation SET retries = retries + 1, error = $2,"
	    " retry_at = clock_timestamp() + least(2 ^ least(retries, 6), 60) * interval '1 "
	    "second',"
	    " updated_at = clock_timestamp() WHERE relation = $1",
	    &parameters);
}

void
sdes_progress_restart(Oid relation)
{
	SdesSpiParameters parameters = {0};

	sdes_spi_add(&parameters, OIDOID, ObjectIdGetDatum(relation));
	sdes_spi_run(
	    "UPDATE sdes.rotation SET phase = 'checking', next_block = -1, retry_at = now()"
	    " WHERE relation = $1",
	    &parameters);
}

void
sdes_progress_wait(Datum uuids, const char *what)
{
	SdesSpiParameters parameters = {0};

	sdes_spi_add(&parameters, get_array_type(UUIDOID), uuids);
	if (what == NULL)
	{
		sdes_spi_run("DELETE FROM sdes.rotation WHERE relation = 0", &parameters);
		return;
	}
	sdes_spi_add(&parameters, TEXTOID, CStringGetTextDatum(what));
	sdes_spi_run(
	    "INSERT INTO sdes.rotation VALUES (0, $1, $2, 0, 'epoch', now(), 0, 0, 0, 0, 0, 0,"
	    " 0, now(), NULL, now())"
	    " ON CONFLICT (relation) DO UPDATE SET buckets = $1, phase = $2, updated_at = now()"
	    " WHERE sdes.rotation.phase <> $2 OR sdes.rotation.buckets <> $1",
	    &parameters);
}
