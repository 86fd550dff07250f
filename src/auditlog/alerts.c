/*
 * alerts.c
 *		What rules (sdes.alert_rules) find in the rows that were just loaded.
 *
 * An alert is a row of sdes.alert, a NOTIFY and a line in the server log. There is one for
 * each rule, role, bucket and hour, so that whoever does a thing a thousand times does not
 * hide another one by it. In the statements here $1 is since when something is news.
 */
#include "postgres.h"

#include "audit/audit.h"
#include "auditlog/internal.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_spi.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_note_alert_rule);

#define CHANNEL "sdes_alert"

#define ALERTED_DAYS 1 /* what was loaded later is no news */

#define INSERT_ALERTS                                                                      \
	"INSERT INTO sdes.alert (rule, kind, role, bucket, hour, address, application,"        \
	" journal, sequence, detail) "
#define RETURN_ALERTS                                                                      \
	" ON CONFLICT ON CONSTRAINT alert_rule_role_bucket_hour_key DO NOTHING"                \
	" RETURNING id, rule, role, bucket, detail"

/* Columns of what one row of "loaded" shows, of many the first. */
#define OF_ROW                                                                             \
	" r.name, r.kind, coalesce(l.role, ''), coalesce(l.bucket, ''), " SDES_LOG_HOUR ","    \
	" l.address, l.application, l.journal, l.sequence, "
#define FITS                                                                               \
	" r.enabled AND (r.bucket IS NULL OR r.bucket = l.bucket)"                             \
	" AND (r.role IS NULL OR r.role = l.role) AND " SDES_LOG_KEPT
#define FIRST_FIRST " ORDER BY l.\"time\""

static const char *const statements[] = {
    /* Who has opened what nobody has a reason to. */
    INSERT_ALERTS
    "SELECT 'honey ' || l.object, 'honey', coalesce(l.role, ''), coalesce(l.bucket, "
    "''), " SDES_LOG_HOUR ", l.address, l.application, l.journal, l.sequence,"
    " format('honey value %s was opened', l.object) FROM loaded l"
    " WHERE l.operation = 'honey' AND " SDES_LOG_KEPT FIRST_FIRST RETURN_ALERTS,

    /* Who sees values when nobody works. */
    INSERT_ALERTS
    "SELECT" OF_ROW "format('%s of %s values at %s', l.operation, l.\"values\","
    " to_char(l.\"time\" AT TIME ZONE (r.settings->>'time_zone'), 'Dy HH24:MI'))"
    " FROM loaded l JOIN sdes.alert_rules r ON r.kind = 'hours' AND" FITS
    " WHERE l.operation IN ('decrypt', 'mask', 'sort') AND l.outcome <> 'denied'"
    " AND NOT sdes.is_within(l.\"time\", r.settings)" FIRST_FIRST RETURN_ALERTS,

    /* Who sees them from elsewhere. */
    INSERT_ALERTS "SELECT" OF_ROW
                  "format('%s of %s values from %s', l.operation, l.\"values\", l.address)"
                  " FROM loaded l JOIN sdes.alert_rules r ON r.kind = 'network' AND" FITS
                  " WHERE l.bucket IS NOT NULL AND l.address IS NOT NULL"
                  " AND NOT sdes.is_from(l.address, r.settings)" FIRST_FIRST RETURN_ALERTS,

    /* Who is refused again and again. */
    INSERT_ALERTS
    "SELECT r.name, r.kind, t.role, coalesce(r.bucket, ''), t.hour, t.address, "
    "t.application,"
    " t.journal, t.sequence, format('%s refusals within an hour', n.uses)"
    " FROM (SELECT DISTINCT ON (1, 2) coalesce(l.role, '') AS role, " SDES_LOG_HOUR
    " AS hour, l.address, l.application, l.journal, l.sequence FROM loaded l"
    " WHERE l.outcome = 'denied' AND " SDES_LOG_KEPT " ORDER BY 1, 2, l.\"time\" DESC) AS t"
    " JOIN sdes.alert_rules r ON r.kind = 'denied' AND r.enabled"
    " AND (r.role IS NULL OR r.role = t.role)"
    " CROSS JOIN LATERAL (SELECT sum(h.uses) AS uses FROM sdes.audit_hour h"
    " WHERE h.hour = t.hour AND h.role = t.role AND h.outcome = 'denied'"
    " AND (r.bucket IS NULL OR h.bucket = r.bucket)) AS n"
    " WHERE n.uses >= (r.settings->>'count')::bigint" RETURN_ALERTS,

    /* Who sees many more than ever before, once there is a before. */
    INSERT_ALERTS
    "SELECT r.name, r.kind, t.role, t.bucket, t.hour, t.address, t.application, t.journal,"
    " t.sequence, format('%s values within an hour, at the most %s before', n.seen, p.most)"
    " FROM (SELECT DISTINCT ON (1, 2, 3) coalesce(l.role, '') AS role, "
    "l.bucket, " SDES_LOG_HOUR
    " AS hour, l.address, l.application, l.journal, l.sequence FROM loaded l"
    " WHERE l.operation IN ('decrypt', 'mask', 'sort') AND l.bucket IS NOT NULL "
    "AND " SDES_LOG_KEPT " ORDER BY 1, 2, 3, l.\"values\" DESC NULLS LAST) AS t"
    " JOIN sdes.alert_rules r ON r.kind = 'rate' AND r.enabled"
    " AND (r.bucket IS NULL OR r.bucket = t.bucket) AND (r.role IS NULL OR r.role = t.role)"
    " CROSS JOIN LATERAL (SELECT sum(h.\"values\") AS seen FROM sdes.audit_hour h"
    " WHERE h.hour = t.hour AND h.role = t.role AND h.bucket = t.bucket"
    " AND h.operation IN ('decrypt', 'mask', 'sort')) AS n"
    " CROSS JOIN LATERAL (SELECT max(s.seen) AS most, min(s.hour) AS since FROM"
    " (SELECT h.hour, sum(h.\"values\") AS seen FROM sdes.audit_hour h"
    " WHERE h.role = t.role AND h.bucket = t.bucket AND h.hour < t.hour"
    " AND h.hour >= t.hour - (r.settings->>'days')::integer * interval '1 day'"
    " AND h.operation IN ('decrypt', 'mask', 'sort') GROUP BY h.hour) AS s) AS p"
    " WHERE n.seen >= (r.settings->>'at_least')::bigint"
    " AND n.seen > (r.settings->>'factor')::numeric * p.most"
    " AND p.since <= t.hour - interval '1 day'" RETURN_ALERTS,
};

static const char *
field(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/* Everybody may listen, so the notification says no more than which alert it is. */
static void
tell(uint64 row)
{
	const char *bucket = field(row, 4);

	Async_Notify(CHANNEL, psprintf("{\"id\": %s}", field(row, 1)));
	ereport(LOG, (errcode(SDES_ALERT_SQLSTATE),
	              errmsg("audit alert \"%s\": role \"%s\"%s%s%s, %s", field(row, 2),
	                     field(row, 3), bucket[0] ? ", bucket \"" : "", bucket,
	                     bucket[0] ? "\"" : "", field(row, 5)),
	              errhint("It is in sdes.alerts with the number %s.", field(row, 1))));
}

static void
raise_kind(const char *statement)
{
	TimestampTz since = GetCurrentTimestamp() - ALERTED_DAYS * USECS_PER_DAY;
	SdesSpiParameters p = {0};

	sdes_spi_add(&p, TIMESTAMPTZOID, TimestampTzGetDatum(since));
	sdes_spi_run_once(statement, &p);
	for (uint64 k = 0; k < SPI_processed; k++)
		tell(k);
}

/* A rule that cannot be applied keeps neither others nor rows from coming. */
static void
try_to_raise(const char *statement)
{
	SdesSpiTry try = sdes_spi_begin_try();
	char *volatile trouble = NULL;

	PG_TRY();
	{
		raise_kind(statement);
		sdes_spi_end_try(&try);
	}
	PG_CATCH();
	{
		trouble = sdes_spi_catch(&try);
	}
	PG_END_TRY();
	if (trouble != NULL)
		ereport(WARNING, (errmsg("audit alerts of a kind could not be raised: %s", trouble),
		                  errhint("See sdes.alert_rules for a rule that was changed by "
		                          "hand.")));
}

void
sdes_alerts_raise(void)
{
	for (size_t i = 0; i < lengthof(statements); i++)
		try_to_raise(statements[i]);
}

/* The functions that set rules run as their owner; the record is of who called them. */
Datum
sdes_note_alert_rule(PG_FUNCTION_ARGS)
{
	const char *operation = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *object = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid owner;
	int context;

	GetUserIdAndSecContext(&owner, &context);
	SetUserIdAndSecContext(GetOuterUserId(), context);
	sdes_audit_event(operation, NULL, "%s", object);
	SetUserIdAndSecContext(owner, context);
	PG_RETURN_VOID();
}
