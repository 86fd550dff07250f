/*
 * queue.h
 *		The queue in shared memory, for the three files that work on it: queue.c puts
 *		records in, rounds.c writes them, waiting.c waits until they are written.
 */
#ifndef SDES_AUDIT_QUEUE_H
#define SDES_AUDIT_QUEUE_H

#include "postgres.h"

#include "audit/audit.h"
#include "audit/internal.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "utils/timestamp.h"

#define SDES_AUDIT_PLACE_SIZE (128 * 1024)

/* What is written at once: records, and bytes of them in places, about. */
#define SDES_QUEUE_ROUND_RECORDS 4096
#define SDES_QUEUE_ROUND_BYTES   (256 * 1024)
#define SDES_QUEUE_ENCODED_MAX                                                             \
	(SDES_QUEUE_ROUND_BYTES + SDES_AUDIT_FIELDS_MAX +                                      \
	 SDES_QUEUE_ROUND_RECORDS * (SDES_RECORD_HEAD_SIZE + SDES_DIGEST_SIZE))

#define SDES_AUDIT_NEWS 64 /* databases of which it is known that they have some */

/* A record in a place; its fields follow. */
typedef struct SdesQueueHead
{
	int64 time; /* microseconds since 1970 */
	uint16 size;
	uint8 kind;
} SdesQueueHead;

typedef struct SdesQueuePlace
{
	slock_t mutex;
	uint64 first; /* ticket of the first record that is here; those before are written */
	uint64 next;  /* of the next one that is put here */
	uint32 used;
	SdesAuditClient client; /* of its process; not under the mutex */
	uint8 *records;         /* SDES_AUDIT_PLACE_SIZE bytes, touched as they are needed */
} SdesQueuePlace;

typedef struct SdesQueue
{
	LWLock *lock; /* of who writes; covers what follows */
	bool open;
	SdesJournalEnd end;
	SdesJournalHeader header;
	char folder[SDES_JOURNAL_PATH_MAX];
	uint8 *encoded;     /* SDES_QUEUE_ENCODED_MAX bytes, for who writes */
	int turn;           /* whose place comes first, after the writer's own */
	Latch *watcher;     /* of who signs; NULL: nobody */
	uint64 signed_next; /* where the journal was when it was woken */
	bool sign_wanted;   /* it was woken for that */

	pg_atomic_uint32 error; /* errno of the last try to write, 0 if it was good */
	pg_atomic_uint64 uses;
	/* OIDs by their remainder; of two with one, the last. */
	pg_atomic_uint32 news[SDES_AUDIT_NEWS];
	ConditionVariable written;
	int nplaces;
	SdesQueuePlace places[FLEXIBLE_ARRAY_MEMBER];
} SdesQueue;

/* NULL: the library was not preloaded. */
extern SdesQueue *sdes_queue;

/* ---- queue.c ---- */

/* A process's place; an error where there is none. */
extern SdesQueuePlace *sdes_queue_place(const PGPROC *proc);

/* Whether the record with this ticket is on the disk. */
extern bool sdes_queue_is_written(SdesQueuePlace *place, uint64 ticket);

/* Drops from a place the first n records, of so many bytes, that are on the disk. */
extern void sdes_queue_drop(SdesQueuePlace *place, int n, uint32 bytes);

/* Microseconds since 1970. */
extern int64 sdes_queue_now(void);

/* ---- rounds.c: with the lock; an errno when it failed ---- */

/* Writes what waits, as much as a round may have; *full: there may be more. */
extern int sdes_queue_write_round(bool *full);

/*
 * All that waited when it was called, until every place has had its turn. What comes
 * meanwhile waits for the next call: busy clients are not served a few records at a time,
 * and who waits for the lock gets it.
 */
extern int sdes_queue_write_rounds(void);

#endif
