/*
 * sdes_errors.h
 *		Status to error: the only place that knows both sides of the waterline.
 */
#ifndef SDES_ERRORS_H
#define SDES_ERRORS_H

#include "postgres.h"

#include "crypto/status.h"
#include "fmgr.h"

/*
 * Raises the error for a status at elevel (ERROR or below). detail, which may
 * be NULL or empty, is the agent's account of it; it holds no secret.
 */
extern void sdes_report(int elevel, SdesStatus status, const char *detail);

/* ERROR unless SDES_OK. */
extern void sdes_check(SdesStatus status);

/*
 * Raises an error for the first argument of an SQL function that is NULL; names are
 * those of all its arguments.
 */
extern void sdes_refuse_nulls(FunctionCallInfo fcinfo, const char *const *names);

/* What to do about a status, for sdes.health(); NULL when there is no advice. */
extern const char *sdes_status_hint(SdesStatus status);

/* An alert's line in the log; class SD is of no standard, and nobody else's we know of. */
#define SDES_ALERT_SQLSTATE MAKE_SQLSTATE('S', 'D', 'A', '0', '1')

/*
 * Belongs into every ereport() that a value can cause: the statement and the
 * COPY line may hold the plaintext, and the server log must not.
 */
#define SDES_KEEP_OUT_OF_LOG errhidestmt(true), errhidecontext(true)

#endif
