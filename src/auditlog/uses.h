/*
 * uses.h
 *		Records of a journal made into rows: a begin, its leases and its end are one.
 *		Private to this room.
 */
#ifndef SDES_AUDITLOG_USES_H
#define SDES_AUDITLOG_USES_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "journal/record.h"
#include "nodes/pg_list.h"
#include "utils/tuplestore.h"

/* Columns of sdes.audit_log, as the extension's script declares them, from 0. */
typedef enum SdesAuditColumn
{
	SDES_AUDIT_TIME,
	SDES_AUDIT_JOURNAL,
	SDES_AUDIT_SEQUENCE,
	SDES_AUDIT_ENDED,
	SDES_AUDIT_OPERATION,
	SDES_AUDIT_OUTCOME,
	SDES_AUDIT_REASON,
	SDES_AUDIT_BUCKET,
	SDES_AUDIT_BUCKET_UUID,
	SDES_AUDIT_RELATION,
	SDES_AUDIT_COLUMN,
	SDES_AUDIT_VALUES,
	SDES_AUDIT_BYTES,
	SDES_AUDIT_AUTHENTICATED,
	SDES_AUDIT_SESSION_ROLE,
	SDES_AUDIT_ROLE,
	SDES_AUDIT_ADDRESS,
	SDES_AUDIT_PORT,
	SDES_AUDIT_TLS,
	SDES_AUDIT_CIPHER,
	SDES_AUDIT_APPLICATION,
	SDES_AUDIT_BACKEND,
	SDES_AUDIT_BACKEND_START,
	SDES_AUDIT_QUERY,
	SDES_AUDIT_OBJECT
} SdesAuditColumn;

#define SDES_AUDIT_NCOLUMNS (SDES_AUDIT_OBJECT + 1)

/* What has begun and not ended yet. */
typedef struct SdesOpenUse
{
	uint64 use;
	uint64 sequence;
	int64 time;       /* microseconds since 1970 */
	int64 values;     /* how many it may be; -1: it has none */
	SdesBytes fields; /* of the record, in memory of the uses' own */
	bool stored;      /* it is in sdes.audit_open */
	bool changed;     /* since */
} SdesOpenUse;

typedef struct SdesUses
{
	uint8 journal[SDES_JOURNAL_ID_SIZE];
	char *node;  /* who writes; NULL: not known yet */
	List *open;  /* of SdesOpenUse */
	List *ended; /* sequences of those that were stored and have ended, uint64 palloc'd */
	MemoryContext context; /* of all that */
	MemoryContext row;     /* of one row */
	Tuplestorestate *rows;
	TupleDesc desc; /* of sdes.audit_log */
	int64 nrows;
} SdesUses;

/* In the current memory context. Rows go into the tuplestore. */
extern SdesUses *sdes_uses_new(const uint8 *journal, TupleDesc desc, Tuplestorestate *rows);

/* Takes up one that is known from before. */
extern void sdes_uses_add(SdesUses *uses, const SdesOpenUse *use);

/* Goes through one record, which is of whatever database. */
extern void sdes_uses_see(SdesUses *uses, const SdesRecord *record);

/* Microseconds since 1970 as PostgreSQL counts them. */
extern TimestampTz sdes_uses_time(int64 unix_time);

#endif
