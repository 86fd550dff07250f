/*
 * statistics.h
 *		What pg_stat_statements keeps. Private to this room.
 */
#ifndef SDES_REDACT_STATISTICS_H
#define SDES_REDACT_STATISTICS_H

/* Installs the hooks that come before its own. */
extern void sdes_statistics_init(void);

#endif
