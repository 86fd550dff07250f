/*
 * queue.c
 *		Records on their way to the journal.
 *
 * Each process has a place in shared memory for its records. Whoever needs one of its own
 * on the disk takes the lock if it is free, and writes what all places hold, with one flush
 * for all of them; the others sleep until theirs is there. So no process is needed that
 * could be missing, and the more clients there are the more a flush serves.
 *
 * Only the holder of the lock takes records out. It does so after they are on the disk: a
 * failure loses none, and what nobody waits for any more is written later all the same.
 * Nobody waits for the lock, so that a disk that hangs, or a process that is stopped in
 * here, keeps nobody else for longer than sdes.audit_timeout.
 */
#include "postgres.h"

#include "audit/queue.h"

#include "miscadmin.h"
#include "postmaster/autovacuum.h"
#include "replication/walsender.h"
#include "sdes_shmem.h"
#include "storage/ipc.h"

#define FOR_ENDS ((SDES_AUDIT_USES + 1) * SDES_AUDIT_END) /* bytes of a place */

SdesQueue *sdes_queue = NULL;

static int
count_places(void)
{
#if PG_VERSION_NUM >= 180000
	int autovacuum = autovacuum_worker_slots;
#else
	int autovacuum = autovacuum_max_workers;
#endif

	/* As many as MaxBackends will be, which is not known yet, and auxiliary processes. */
	return MaxConnections + autovacuum + max_worker_processes + max_wal_senders + 8 +
	       NUM_AUXILIARY_PROCS;
}

/* Of all but the records themselves, which come behind it, encoded and in their places. */
static Size
size_of_queue(void)
{
	return MAXALIGN(offsetof(SdesQueue, places) + count_places() * sizeof(SdesQueuePlace));
}

static void
make_queue(void *memory, LWLock *lock)
{
	SdesQueue *made = memory;
	uint8 *records = (uint8 *) memory + size_of_queue() + SDES_QUEUE_ENCODED_MAX;

	made->lock = lock;
	made->encoded = (uint8 *) memory + size_of_queue();
	made->nplaces = count_places();
	pg_atomic_init_u32(&made->error, 0);
	/* Greater than all before, also after a crash that the postmaster survived. */
	pg_atomic_init_u64(&made->uses, (uint64) GetCurrentTimestamp());
	for (int i = 0; i < SDES_AUDIT_NEWS; i++)
		pg_atomic_init_u32(&made->news[i], InvalidOid);
	ConditionVariableInit(&made->written);
	for (int i = 0; i < made->nplaces; i++)
	{
		SpinLockInit(&made->places[i].mutex);
		made->places[i].records = records + (Size) i * SDES_AUDIT_PLACE_SIZE;
		made->places[i].first = made->places[i].next = 1;
	}
}

void
sdes_audit_queue_init(void)
{
	sdes_shmem_add("sdes_audit",
	               size_of_queue() + SDES_QUEUE_ENCODED_MAX +
	                   (Size) count_places() * SDES_AUDIT_PLACE_SIZE,
	               size_of_queue(), (void **) &sdes_queue, make_queue);
}

SdesQueuePlace *
sdes_queue_place(const PGPROC *proc)
{
	int i = (int) (proc - ProcGlobal->allProcs);

	if (sdes_queue == NULL || i >= sdes_queue->nplaces)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
		                errmsg("there is no place for this process in the audit's queue"),
		                errhint("Restart the server.")));
	return &sdes_queue->places[i];
}

SdesAuditClient *
sdes_audit_client(void)
{
	return &sdes_queue_place(MyProc)->client;
}

const SdesAuditClient *
sdes_audit_leader(void)
{
	return MyProc->lockGroupLeader != NULL
	           ? &sdes_queue_place(MyProc->lockGroupLeader)->client
	           : NULL;
}

uint64
sdes_audit_new_use(void)
{
	return pg_atomic_fetch_add_u64(&sdes_queue->uses, 1);
}

void
sdes_audit_note_news(void)
{
	pg_atomic_uint32 *news;

	if (sdes_queue == NULL)
		return;
	news = &sdes_queue->news[MyDatabaseId % SDES_AUDIT_NEWS];
	if (pg_atomic_read_u32(news) != MyDatabaseId)
		pg_atomic_write_u32(news, MyDatabaseId);
}

bool
sdes_audit_take_news(Oid database)
{
	uint32 expected = database;

	return sdes_queue != NULL &&
	       pg_atomic_compare_exchange_u32(&sdes_queue->news[database % SDES_AUDIT_NEWS],
	                                      &expected, InvalidOid);
}

/* ---- places ---- */

int64
sdes_queue_now(void)
{
	return GetCurrentTimestamp() +
	       (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) USECS_PER_DAY;
}

/* Whoever else would write it may have gone by now. */
static void
flush_at_exit(int code, Datum arg)
{
	SdesQueuePlace *place = sdes_queue_place(MyProc);

	if (sdes_queue->watcher == NULL && place->used > 0)
		(void) sdes_audit_wait(place->next - 1);
}

/* When a transaction that ends with the process has left its records, too. */
static void
flush_at_last(void)
{
	static bool done = false;

	if (!done)
		on_shmem_exit(flush_at_exit, 0);
	done = true;
}

uint64
sdes_audit_put(SdesJournalKind kind, SdesBytes fields)
{
	SdesQueuePlace *place = sdes_queue_place(MyProc);
	SdesQueueHead head = {
	    .time = sdes_queue_now(), .size = (uint16) fields.size, .kind = (uint8) kind};
	/* An end always finds room. */
	uint32 limit =
	    kind == SDES_JOURNAL_END ? SDES_AUDIT_PLACE_SIZE : SDES_AUDIT_PLACE_SIZE - FOR_ENDS;
	uint64 ticket = 0;
	bool filling = false; /* half full by this record */
	Latch *watcher;

	/* What cannot be written would keep everybody's from being written. */
	if (fields.size > SDES_AUDIT_FIELDS_MAX || !sdes_fields_are_canonical(fields))
		elog(ERROR, "malformed audit record");
	flush_at_last();
	SpinLockAcquire(&place->mutex);
	if (place->used + sizeof(head) + fields.size <= limit)
	{
		memcpy(place->records + place->used, &head, sizeof(head));
		memcpy(place->records + place->used + sizeof(head), fields.data, fields.size);
		filling = place->used <= SDES_AUDIT_PLACE_SIZE / 2;
		place->used += sizeof(head) + fields.size;
		filling &= place->used > SDES_AUDIT_PLACE_SIZE / 2;
		ticket = place->next++;
	}
	SpinLockRelease(&place->mutex);
	/* So that who does not wait for records need not wait for room, either. */
	watcher = sdes_queue->watcher; /* who may leave at any moment */
	if (filling && watcher != NULL)
		SetLatch(watcher);
	return ticket;
}

bool
sdes_queue_is_written(SdesQueuePlace *place, uint64 ticket)
{
	bool written;

	SpinLockAcquire(&place->mutex);
	written = place->first > ticket;
	SpinLockRelease(&place->mutex);
	return written;
}

void
sdes_queue_drop(SdesQueuePlace *place, int n, uint32 bytes)
{
	SpinLockAcquire(&place->mutex);
	place->used -= bytes;
	memmove(place->records, place->records + bytes, place->used);
	place->first += n;
	SpinLockRelease(&place->mutex);
}
