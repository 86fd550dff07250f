/*
 * statistics.c
 *		Keeps values away from pg_stat_statements.
 *
 * It takes the constants out of a statement when that is analysed. It keeps the text as it
 * is of utility statements, and of others of which it has lost what it made then: when it was
 * reset, or had no room. So utility statements with constants are left out, and when a
 * statement ends it is given a text without them, in case it has none of its own.
 *
 * What is loaded after sdes has had its turn already: our hooks come first.
 */
#include "postgres.h"

#include "redact/statistics.h"

#include "executor/executor.h"
#include "redact/text.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#if PG_VERSION_NUM < 160000
#include "utils/queryjumble.h"
#else
#include "nodes/queryjumble.h"
#endif

static ExecutorEnd_hook_type previous_end = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* The statement itself, if it has constants and a number, by which it would be kept. */
static bool
find_constants(const PlannedStmt *statement, const char *source, SdesBytes *text)
{
	int from = statement->stmt_location;
	int length = statement->stmt_len;
	const char *found;

	if (!sdes_redact || statement->queryId == 0 || source == NULL)
		return false;
	found = CleanQuerytext(source, &from, &length);
	*text = sdes_bytes(found, (size_t) length);
	return sdes_sqltext_has_constants(*text);
}

static void
next_end(QueryDesc *query)
{
	if (previous_end)
		previous_end(query);
	else
		standard_ExecutorEnd(query);
}

/* The plan may be one that is kept and executed again. */
static void
end_without_constants(QueryDesc *query, SdesBytes text)
{
	PlannedStmt *statement = query->plannedstmt;
	const char *source = query->sourceText;
	int from = statement->stmt_location;
	int length = statement->stmt_len;
	/* Of its own: what this is called in may last for many statements. */
	MemoryContext room =
	    AllocSetContextCreate(CurrentMemoryContext, "sdes statement", ALLOCSET_SMALL_SIZES);
	MemoryContext before = MemoryContextSwitchTo(room);

	query->sourceText =
	    sdes_redacted(pnstrdup((const char *) text.data, text.size), SDES_SQL_STATEMENT);
	MemoryContextSwitchTo(before);
	statement->stmt_location = statement->stmt_len = 0; /* all of it */
	PG_TRY();
	{
		next_end(query);
	}
	PG_FINALLY();
	{
		query->sourceText = source;
		statement->stmt_location = from;
		statement->stmt_len = length;
	}
	PG_END_TRY();
	MemoryContextDelete(room);
}

static void
end(QueryDesc *query)
{
	SdesBytes text;

	if (find_constants(query->plannedstmt, query->sourceText, &text))
		end_without_constants(query, text);
	else
		next_end(query);
}

static void
utility(SDES_UTILITY_PARAMETERS)
{
	SdesBytes text;

	if (find_constants(pstmt, source, &text))
		pstmt->queryId = 0;
	if (previous_utility)
		previous_utility(SDES_UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(SDES_UTILITY_ARGUMENTS);
}

void
sdes_statistics_init(void)
{
	previous_end = ExecutorEnd_hook;
	ExecutorEnd_hook = end;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}
