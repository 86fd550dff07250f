/*
 * activity.c
 *		Takes values out of what pg_stat_activity shows.
 *
 * PostgreSQL shows a statement before anybody can have a look at it. So this comes as soon
 * as a statement is analysed, or executed without that; one that fails before loses its
 * values with its error. While a statement waits for a lock to be analysed, it is shown as
 * the client sent it.
 *
 * Deadlocks and crashes are reported with this text by others.
 */
#include "postgres.h"

#include "redact/activity.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "redact/text.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"

static post_parse_analyze_hook_type previous_analyze = NULL;
static ExecutorStart_hook_type previous_start = NULL;
static ExecutorRun_hook_type previous_run = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* PostgreSQL counts changes of what is shown; this is as far as it was looked at. */
static int looked_at = 0;

/*
 * The text that was made last, in as much room as PostgreSQL has for one, and a hash of what
 * it was made of, which itself is not kept. If another text has that hash, the wrong
 * statement is shown, without its constants as any.
 */
static char *made = NULL;
static uint64 made_of = 0;
static uint64 seed = 0; /* nobody can look for such a text */

/* In the aborted transaction of an error, too. */
static const char *
redacted(const char *text, SdesSqlKind kind)
{
	size_t room = Max(pgstat_track_activity_query_size, 64);
	size_t size = strlen(text);
	uint64 hash;

	if (made == NULL)
		made = MemoryContextAllocExtended(TopMemoryContext, room,
		                                  MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
	if (made == NULL)
		return SDES_SQL_CUT;
	if (seed == 0 && !pg_strong_random(&seed, sizeof(seed)))
		return SDES_SQL_CUT;
	hash = hash_bytes_extended((const unsigned char *) text, (int) size, seed + kind);
	/* As most often it is the same statement, executed again. */
	if (hash != made_of && strcmp(made, text) != 0)
	{
		(void) sdes_sqltext_redact(sdes_bytes(text, size), kind, made,
		                           pgstat_track_activity_query_size);
		made_of = hash;
	}
	return made;
}

void
sdes_redact_activity(SdesSqlKind kind)
{
	volatile PgBackendStatus *entry = MyBEEntry;
	const char *text;

	if (!sdes_redact || entry == NULL || entry->st_changecount == looked_at)
		return;
	text = redacted(entry->st_activity_raw, kind);
	if (strcmp(text, entry->st_activity_raw) != 0)
	{
		PGSTAT_BEGIN_WRITE_ACTIVITY(entry);
		strlcpy(entry->st_activity_raw, text, pgstat_track_activity_query_size);
		PGSTAT_END_WRITE_ACTIVITY(entry);
	}
	looked_at = entry->st_changecount;
}

static void
analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	sdes_redact_activity(SDES_SQL_STATEMENT);
	if (previous_analyze)
		previous_analyze(pstate, query, jstate);
}

static void
start(QueryDesc *query, int flags)
{
	sdes_redact_activity(SDES_SQL_STATEMENT);
	if (previous_start)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

static void
run(SDES_RUN_PARAMETERS)
{
	sdes_redact_activity(SDES_SQL_STATEMENT);
	if (previous_run)
		previous_run(SDES_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(SDES_RUN_ARGUMENTS);
}

static void
utility(SDES_UTILITY_PARAMETERS)
{
	sdes_redact_activity(SDES_SQL_STATEMENT);
	if (previous_utility)
		previous_utility(SDES_UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(SDES_UTILITY_ARGUMENTS);
}

/* What no analysis saw: comments alone, or no SQL, of which nothing was logged. */
static void
at_end(XactEvent event, void *arg)
{
	sdes_redact_activity(event == XACT_EVENT_ABORT ? SDES_SQL_UNPARSED
	                                               : SDES_SQL_STATEMENT);
}

/* The same after a savepoint. */
static void
at_end_of_part(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		sdes_redact_activity(SDES_SQL_UNPARSED);
}

void
sdes_activity_init(void)
{
	previous_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze;
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start;
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
	RegisterXactCallback(at_end, NULL);
	RegisterSubXactCallback(at_end_of_part, NULL);
}
