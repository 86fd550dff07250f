/*
 * reading.h
 *		Journals in sdes.audit_directory, followed from where one has come. Private to this
 *		room.
 */
#ifndef SDES_AUDITLOG_READING_H
#define SDES_AUDITLOG_READING_H

#include "postgres.h"

#include "auditlog/uses.h"
#include "journal/append.h"
#include "nodes/pg_list.h"

/* How far a journal was read. */
typedef struct SdesReading
{
	char folder[SDES_JOURNAL_PATH_MAX];
	uint8 journal[SDES_JOURNAL_ID_SIZE];
	uint64 segment;               /* first record of the segment; 0: nothing was read yet */
	uint64 offset;                /* in its file */
	uint64 next;                  /* number of the next record */
	uint64 first;                 /* of the first one that was read; 0: none was */
	uint64 until;                 /* reads no record of that number, or after it; 0: all */
	uint8 hash[SDES_DIGEST_SIZE]; /* of the record before */
	bool troubled;                /* it could not be loaded last */
	bool own;                     /* this server writes it */
	bool known;                   /* some of it was loaded, whatever cluster wrote it */
	bool elsewhere;               /* it is of another database cluster: nobody reads it */
	SdesJournalEnd end;           /* of one's own: what is known to be on the disk */
	char *wrong; /* what is wrong with what comes next; NULL: nothing, palloc'd */
	char *lacks; /* records that were not there to be read; NULL: none, palloc'd */
} SdesReading;

/* The journals of this database cluster, from their beginnings: a List of SdesReading. */
extern List *sdes_reading_list(void);

/* Their ids, as an array of uuids. */
extern Datum sdes_reading_ids(const List *readings);

/*
 * Goes on through the chain for about that many bytes, and shows each record to uses;
 * whether there is more. What is wrong ends it.
 */
extern bool sdes_reading_go_on(SdesReading *reading, SdesUses *uses, size_t bytes);

#endif
