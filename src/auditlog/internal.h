/*
 * internal.h
 *		What the files of this room share. Private to it.
 */
#ifndef SDES_AUDITLOG_INTERNAL_H
#define SDES_AUDITLOG_INTERNAL_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/*
 * In statements: the table "loaded" is what a piece of the journal has brought, with the
 * columns of sdes.audit_log; $1 is since when rows are kept.
 */
#define SDES_LOG_HOUR "date_bin('1 hour', \"time\", '2000-01-01 00:00:00+00')"
#define SDES_LOG_KEPT "\"time\" >= $1"

/* In statements: the name of the partition of a month, or of a time of it, in UTC. */
#define SDES_LOG_PARTITION(month) "to_char(" month ", '\"audit_log_y\"YYYY\"m\"MM')"

/* Since when rows are kept. */
extern TimestampTz sdes_log_kept_since(void);

/* A table of schema sdes, locked for reading; NULL when there is none. */
extern Relation sdes_log_open(const char *table);

/* The columns of sdes.audit_log; NULL when there is no such table. */
extern TupleDesc sdes_log_columns(void);

/*
 * Rows under a name that statements can select from, until sdes_log_unregister(), which
 * may be called for one that is not.
 */
extern void sdes_log_register(const char *name, TupleDesc desc, Tuplestorestate *rows,
                              int64 nrows);
extern void sdes_log_unregister(const char *name);

/* ---- partitions.c ---- */

/* Brings the rows of "loaded" into their partitions, which are made if need be. */
extern void sdes_partitions_fill(void);

/* Makes those of all months that are kept, and of the next one. */
extern void sdes_partitions_make_kept(void);

/* Drops them all, and what is known of journals. */
extern void sdes_partitions_empty(void);

/* ---- insert.c ---- */

/* Brings those of "loaded" that are of its month into a partition. */
extern void sdes_partition_fill(const char *partition);

/* ---- alerts.c ---- */

/* Raises alerts for what the rows of "loaded" show, once sums are up to date. */
extern void sdes_alerts_raise(void);

#endif
