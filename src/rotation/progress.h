/*
 * progress.h
 *		Rows of sdes.rotation. Private to this room.
 */
#ifndef SDES_PROGRESS_H
#define SDES_PROGRESS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "rotation/batch.h"

/* Row of what concerns the whole database. */
#define SDES_WHOLE_DATABASE InvalidOid

/* The next relation to work on, and where. */
typedef struct SdesTask
{
	Oid relation;
	int pass;
	bool begins; /* a pass */
	BlockNumber next;
	int64 found; /* in this pass so far */
	int64 skipped;
} SdesTask;

/*
 * Makes rows for relations that have none and removes those of relations that are
 * gone. Needs an SPI connection, as all that follows.
 */
extern void sdes_progress_sync(const List *relations);

/*
 * Sets the buckets that a relation's columns name, as an array of UUIDs; what is of no
 * bucket that is due has nothing to do.
 */
extern void sdes_progress_set_buckets(Oid relation, Datum uuids);

typedef enum SdesTaskFound
{
	SDES_TASK_FOUND,
	SDES_TASK_LATER, /* all that is left was put off */
	SDES_TASK_NONE   /* every relation had a clean pass that began after since */
} SdesTaskFound;

/* Of relations that one of these buckets is in. */
extern SdesTaskFound sdes_progress_next(Datum uuids, TimestampTz since, SdesTask *task);

/* Notes a batch, and with its end the pass. */
extern void sdes_progress_note(const SdesTask *task, const SdesBatch *batch);

/* Puts a relation off, for a time that grows with the tries; error may be NULL. */
extern void sdes_progress_put_off(Oid relation, const char *error);

/* Has a relation looked at from its beginning. */
extern void sdes_progress_restart(Oid relation);

/* Says for buckets what all of the database waits for; NULL: nothing. */
extern void sdes_progress_wait(Datum uuids, const char *what);

#endif
