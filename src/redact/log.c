/*
 * log.c
 *		The log hook: what the server log gets, and what the client.
 *
 * A message goes to both. The client sent what is in it and gets it whole; for the log it is
 * written by itself, with other texts in its fields and the statement without constants.
 *
 * With sdes.redact off, errors that sdes raises still hide their statement from the log.
 * When one arises in the analysis of a statement inside a function, PostgreSQL moves that
 * statement's text into the error itself, as its QUERY, for which there is no such flag: it
 * is taken out here, with the position that points into it.
 */
#include "postgres.h"

#include "redact/redact.h"

#include "redact/activity.h"
#include "redact/message.h"
#include "redact/shares.h"
#include "redact/statistics.h"
#include "redact/text.h"
#include "sdes_guc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

static emit_log_hook_type previous_hook = NULL;

/* A message is being written for the log alone. */
static bool writing = false;

/*
 * Of the texts for it. Where a message is no error, nobody resets the context that it is
 * in, and a session that lives for months would keep all that it ever logged.
 */
static MemoryContext room = NULL;

/* Of the texts that may quote a statement or its parameters. */
static void
blot_shares(ErrorData *edata)
{
	sdes_blot_shares(edata->message);
	sdes_blot_shares(edata->detail);
	sdes_blot_shares(edata->detail_log);
	sdes_blot_shares(edata->context);
	sdes_blot_shares(edata->internalquery);
}

static void
hide_statement(ErrorData *edata)
{
	if (sdes_statement_has_share())
		edata->hide_stmt = true;
	if (edata->hide_stmt)
	{
		edata->internalquery = NULL;
		edata->internalpos = 0;
	}
}

/*
 * What the parser did not take, as its scanner says: there, quotes may match that were not
 * meant to.
 */
static SdesSqlKind
kind_of_statement(const ErrorData *edata)
{
	switch (edata->sqlerrcode)
	{
		case ERRCODE_SYNTAX_ERROR:
		case ERRCODE_INVALID_ESCAPE_SEQUENCE:
		case ERRCODE_NONSTANDARD_USE_OF_ESCAPE_CHARACTER:
		case ERRCODE_CHARACTER_NOT_IN_REPERTOIRE:
			return SDES_SQL_UNPARSED;
		default:
			return SDES_SQL_STATEMENT;
	}
}

/* PostgreSQL shows the statement of what is an error by log_min_error_statement. */
static const char *
statement_for(const ErrorData *edata)
{
	if (edata->hide_stmt ||
	    (edata->elevel != LOG && edata->elevel < log_min_error_statement))
		return NULL;
	return sdes_redacted(debug_query_string, kind_of_statement(edata));
}

/* Statement and context of an error of sdes may be shown now. */
static void
write_redacted(ErrorData *edata)
{
	ErrorData original = *edata;
	const char *statement = debug_query_string;
	MemoryContext before = MemoryContextSwitchTo(room);

	sdes_redact_message(edata, kind_of_statement(edata));
	if (edata->elevel >= ERROR && edata->hide_stmt && edata->hide_ctx)
		edata->hide_stmt = edata->hide_ctx = false;
	edata->output_to_client = false;
	debug_query_string = statement_for(edata);
	PG_TRY();
	{
		writing = true;
		EmitErrorReport();
	}
	PG_FINALLY();
	{
		debug_query_string = statement;
		writing = false;
		MemoryContextSwitchTo(before);
		MemoryContextReset(room);
	}
	PG_END_TRY();
	*edata = original;
	edata->output_to_server = false;
}

static void
redact(ErrorData *edata)
{
	if (writing || !sdes_redact)
	{
		if (!writing)
			hide_statement(edata);
		blot_shares(edata);
		if (previous_hook)
			previous_hook(edata);
		return;
	}
	if (edata->elevel >= ERROR)
		sdes_redact_activity(kind_of_statement(edata));
	write_redacted(edata);
}

void
sdes_redact_init(void)
{
	/* Not made when it is needed, which may be where there is no memory. */
	room = AllocSetContextCreate(TopMemoryContext, "sdes log", ALLOCSET_DEFAULT_SIZES);
	MemoryContextAllowInCriticalSection(room, true);
	previous_hook = emit_log_hook;
	emit_log_hook = redact;
	sdes_activity_init();
	sdes_statistics_init();
}
