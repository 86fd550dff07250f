/*
 * auditlog.h
 *		The journal's records of a database in its table sdes.audit_log, and alerts.
 *
 * The journal is what proves; the table is what people query. It can be made anew from the
 * journal at any time, which is how sdes.verify_audit_log() finds what somebody has changed
 * in it.
 */
#ifndef SDES_AUDITLOG_H
#define SDES_AUDITLOG_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* Hooks; called once, from _PG_init of a preloaded library. */
extern void sdes_auditlog_init(void);

/*
 * Loads one bounded piece of what the journals in sdes.audit_directory have new about this
 * database, in the caller's transaction, which must be committed after it; raises alerts.
 * Whether there is more. A wrong record is noted and ends the loading of its journal.
 */
extern bool sdes_auditlog_load(void);

/*
 * Makes room: drops what is older than sdes.audit_retention. In a transaction of its own,
 * since it gives up when somebody reads the table.
 */
extern void sdes_auditlog_expire(void);

/* How the table is doing, for sdes.health(). */
typedef struct SdesAuditLogState
{
	TimestampTz waiting_since; /* of the first record that it lacks; 0: it has all */
	bool late;                 /* for longer than it should */
	const char *wrong;         /* of a journal; NULL: nothing, palloc'd */
} SdesAuditLogState;

extern SdesAuditLogState sdes_auditlog_state(void);

#endif
