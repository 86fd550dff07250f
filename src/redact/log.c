/*
 * log.c
 *		The log hook.
 *
 * An error that sdes raises hides its statement from the log, since that may
 * hold the value. When it arises in the analysis of a statement inside a
 * function, PostgreSQL moves that statement's text into the error itself, as
 * its QUERY, for which there is no such flag: it is taken out here, with the position
 * that points into it.
 */
#include "postgres.h"

#include "redact/redact.h"

#include "redact/shares.h"

static emit_log_hook_type previous_hook = NULL;

/* Of the texts that may quote a statement or its parameters. */
static void
blot_shares(ErrorData *edata)
{
	if (sdes_statement_has_share())
		edata->hide_stmt = true;
	sdes_blot_shares(edata->message);
	sdes_blot_shares(edata->detail);
	sdes_blot_shares(edata->detail_log);
	sdes_blot_shares(edata->context);
	sdes_blot_shares(edata->internalquery);
}

static void
redact(ErrorData *edata)
{
	if (previous_hook)
		previous_hook(edata);
	blot_shares(edata);
	if (edata->hide_stmt)
	{
		edata->internalquery = NULL;
		edata->internalpos = 0;
	}
}

void
sdes_redact_init(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = redact;
}
