/*
 * rotation.h
 *		New keys when they are due, and values moved on to them, piece by piece.
 *
 * What is left to do follows from the states of keys alone (sdes.dek), so that after
 * any crash, in a restored dump and on a promoted standby it goes on by itself.
 */
#ifndef SDES_ROTATION_H
#define SDES_ROTATION_H

#include "postgres.h"

/* Shared memory and settings' hooks; called once, from _PG_init of a preloaded library. */
extern void sdes_rotation_init(void);

typedef enum SdesRotationNext
{
	SDES_ROTATION_MORE, /* there is more to do at once */
	SDES_ROTATION_WAIT, /* there is, but it waits for something */
	SDES_ROTATION_IDLE,
	SDES_ROTATION_FAILED /* an error, which may last: the HSM is away, say */
} SdesRotationNext;

/*
 * Does one bounded piece of what is to be done in this database, in the caller's
 * transaction, which must be committed after it. Raises an error when that fails:
 * abort, and call sdes_rotation_failed() in a transaction of its own.
 */
extern SdesRotationNext sdes_rotation_work(void);

/*
 * Destroys in the HSM KEKs that were ordered to be, longer than sdes.rotation_naptime ago,
 * if this database owns its keys: a piece as well.
 */
extern SdesRotationNext sdes_rotation_destroy_keks(void);

/* Notes that the piece that was under way failed, and puts it off; what is next. */
extern SdesRotationNext sdes_rotation_failed(const char *message);

/* Has the launcher look for work as soon as this transaction has committed. */
extern void sdes_rotation_wake(void);

/*
 * Has the worker of this database make a key for a bucket whose active one was made by
 * another database: at once, whatever becomes of this transaction. Such a wish may get
 * lost, when many have one or its fulfilment fails. False in the worker itself.
 */
extern bool sdes_rotation_wish(const uint8 *bucket);

/* Whether somebody in that database waits for a key. */
extern bool sdes_rotation_is_wished(Oid database);

/* ---- for the launcher only ---- */

/* Has this process's latch set when there is work; undone at its exit. */
extern void sdes_rotation_listen(void);

/* How often work was announced. */
extern uint64 sdes_rotation_calls(void);

/* At most so many workers at a time. */
#define SDES_ROTATION_WORKERS 3

/* This process is a worker. */
extern void sdes_rotation_worker_begins(void);

/* A worker says, as it ends, what is next in its database. */
extern void sdes_rotation_report(Oid database, SdesRotationNext next);

/* What it said, once; SDES_ROTATION_FAILED when it did not get to that. */
extern SdesRotationNext sdes_rotation_reported(Oid database);

#endif
