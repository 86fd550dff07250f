/*
 * activity.h
 *		What pg_stat_activity shows of this process. Private to this room.
 */
#ifndef SDES_REDACT_ACTIVITY_H
#define SDES_REDACT_ACTIVITY_H

#include "sqltext/sqltext.h"

/* Takes the constants out of it, if there are new ones. Raises no error. */
extern void sdes_redact_activity(SdesSqlKind kind);

/* Installs the hooks that do so before each statement runs. */
extern void sdes_activity_init(void);

#endif
