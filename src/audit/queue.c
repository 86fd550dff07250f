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

#include "audit/internal.h"

#include <errno.h>

#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/autovacuum.h"
#include "replication/walsender.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "sdes_shmem.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define PLACE_SIZE  (128 * 1024)
#define FOR_ENDS    ((SDES_AUDIT_USES + 1) * SDES_AUDIT_END) /* of it */
#define ROUND_BYTES (256 * 1024) /* of fields that are written at once, about */
#define ROUND_MAX   4096         /* records */
#define NAP_MS      10
#define SIGN_AFTER  10000 /* records; else once a second */
#define NEWS        64    /* databases of which it is known that they have some */

typedef struct Head
{
	int64 time; /* microseconds since 1970 */
	uint16 size;
	uint8 kind;
} Head;

typedef struct Place
{
	slock_t mutex;
	uint64 first; /* ticket of the first record that is here; those before are written */
	uint64 next;  /* of the next one that is put here */
	uint32 used;
	SdesAuditClient client; /* of its process; not under the mutex */
	uint8 *records;         /* PLACE_SIZE bytes, touched as they are needed */
} Place;

typedef struct Queue
{
	LWLock *lock; /* of who writes; covers what follows */
	bool open;
	SdesJournalEnd end;
	SdesJournalHeader header;
	char folder[SDES_JOURNAL_PATH_MAX];
	int turn;           /* whose place comes first, after the writer's own */
	Latch *watcher;     /* of who signs; NULL: nobody */
	uint64 signed_next; /* where the journal was when it was woken */
	bool sign_wanted;   /* it was woken for that */

	pg_atomic_uint32 error; /* errno of the last try to write, 0 if it was good */
	pg_atomic_uint64 uses;
	pg_atomic_uint32 news[NEWS]; /* OIDs by their remainder; of two with one, the last */
	ConditionVariable written;
	int nplaces;
	Place places[FLEXIBLE_ARRAY_MEMBER];
} Queue;

static Queue *queue = NULL;

/* What one round takes from one place. */
typedef struct Taken
{
	Place *place;
	int n;
	uint32 bytes;
} Taken;

/* Of this process, from the first time that it writes on. */
static SdesJournalFile file;
static uint8 *gathered = NULL;
static uint8 *encoded = NULL;

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

/* Of all but the records themselves, which come behind it. */
static Size
size_of_queue(void)
{
	return MAXALIGN(offsetof(Queue, places) + count_places() * sizeof(Place));
}

static void
make_queue(void *memory, LWLock *lock)
{
	Queue *made = memory;
	uint8 *records = (uint8 *) memory + size_of_queue();

	made->lock = lock;
	made->nplaces = count_places();
	pg_atomic_init_u32(&made->error, 0);
	/* Greater than all before, also after a crash that the postmaster survived. */
	pg_atomic_init_u64(&made->uses, (uint64) GetCurrentTimestamp());
	for (int i = 0; i < NEWS; i++)
		pg_atomic_init_u32(&made->news[i], InvalidOid);
	ConditionVariableInit(&made->written);
	for (int i = 0; i < made->nplaces; i++)
	{
		SpinLockInit(&made->places[i].mutex);
		made->places[i].records = records + (Size) i * PLACE_SIZE;
		made->places[i].first = made->places[i].next = 1;
	}
}

void
sdes_audit_queue_init(void)
{
	sdes_shmem_add("sdes_audit", size_of_queue() + (Size) count_places() * PLACE_SIZE,
	               size_of_queue(), (void **) &queue, make_queue);
}

static Place *
place_of(const PGPROC *proc)
{
	int i = (int) (proc - ProcGlobal->allProcs);

	if (queue == NULL || i >= queue->nplaces)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
		                errmsg("there is no place for this process in the audit's queue"),
		                errhint("Restart the server.")));
	return &queue->places[i];
}

SdesAuditClient *
sdes_audit_client(void)
{
	return &place_of(MyProc)->client;
}

const SdesAuditClient *
sdes_audit_leader(void)
{
	return MyProc->lockGroupLeader != NULL ? &place_of(MyProc->lockGroupLeader)->client
	                                       : NULL;
}

uint64
sdes_audit_new_use(void)
{
	return pg_atomic_fetch_add_u64(&queue->uses, 1);
}

void
sdes_audit_note_news(void)
{
	pg_atomic_uint32 *news;

	if (queue == NULL)
		return;
	news = &queue->news[MyDatabaseId % NEWS];
	if (pg_atomic_read_u32(news) != MyDatabaseId)
		pg_atomic_write_u32(news, MyDatabaseId);
}

bool
sdes_audit_take_news(Oid database)
{
	uint32 expected = database;

	return queue != NULL && pg_atomic_compare_exchange_u32(&queue->news[database % NEWS],
	                                                       &expected, InvalidOid);
}

/* ---- places ---- */

static int64
now(void)
{
	return GetCurrentTimestamp() +
	       (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) USECS_PER_DAY;
}

/* Whoever else would write it may have gone by now. */
static void
flush_at_exit(int code, Datum arg)
{
	Place *place = place_of(MyProc);

	if (queue->watcher == NULL && place->used > 0)
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
	Place *place = place_of(MyProc);
	Head head = {.time = now(), .size = (uint16) fields.size, .kind = (uint8) kind};
	/* An end always finds room. */
	uint32 limit = kind == SDES_JOURNAL_END ? PLACE_SIZE : PLACE_SIZE - FOR_ENDS;
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
		filling = place->used <= PLACE_SIZE / 2;
		place->used += sizeof(head) + fields.size;
		filling &= place->used > PLACE_SIZE / 2;
		ticket = place->next++;
	}
	SpinLockRelease(&place->mutex);
	/* So that who does not wait for records need not wait for room, either. */
	watcher = queue->watcher; /* who may leave at any moment */
	if (filling && watcher != NULL)
		SetLatch(watcher);
	return ticket;
}

static bool
is_written(Place *place, uint64 ticket)
{
	bool written;

	SpinLockAcquire(&place->mutex);
	written = place->first > ticket;
	SpinLockRelease(&place->mutex);
	return written;
}

/* Drops from a place what is on the disk. */
static void
release(const Taken *taken)
{
	Place *place = taken->place;

	SpinLockAcquire(&place->mutex);
	place->used -= taken->bytes;
	memmove(place->records, place->records + taken->bytes, place->used);
	place->first += taken->n;
	SpinLockRelease(&place->mutex);
}

/* ---- the round of who writes ---- */

/* Copies what a place holds, as far as there is room; where the copy ends. */
static uint32
gather(Place *place, Taken *taken, uint32 at, int room)
{
	uint32 used = 0;
	uint32 there;

	*taken = (Taken){.place = place};
	if (place->used == 0)
		return at;
	/* What is there stays as it is: its process appends only, and we alone take out. */
	SpinLockAcquire(&place->mutex);
	there = place->used;
	SpinLockRelease(&place->mutex);
	while (used < there && taken->n < room && at < ROUND_BYTES)
	{
		Head head;
		uint32 size;

		memcpy(&head, place->records + used, sizeof(head));
		size = sizeof(head) + head.size;
		memcpy(gathered + at, place->records + used, size);
		used += size;
		at += size;
		taken->n++;
	}
	taken->bytes = used;
	return at;
}

/* All places, our own first; how many records. *full: there may be more than these. */
static int
gather_all(Taken *taken, int *ntaken, bool *full)
{
	Place *own = place_of(MyProc);
	uint32 at = gather(own, &taken[0], 0, ROUND_MAX);
	int n = taken[0].n;
	int first = queue->turn;

	*ntaken = 1;
	for (int i = 0; i < queue->nplaces && n < ROUND_MAX && at < ROUND_BYTES; i++)
	{
		Place *place = &queue->places[(first + i) % queue->nplaces];

		/* It may have more than this round has room for: then the next begins with it. */
		queue->turn = (first + i) % queue->nplaces;
		if (place == own)
			continue;
		at = gather(place, &taken[*ntaken], at, ROUND_MAX - n);
		n += taken[*ntaken].n;
		*ntaken += taken[*ntaken].n > 0;
	}
	*full = n == ROUND_MAX || at >= ROUND_BYTES;
	return n;
}

static SdesBytes
encode(int n, const SdesJournalEnd *end, uint8 hash[SDES_DIGEST_SIZE])
{
	SdesWriter w =
	    sdes_writer(encoded, ROUND_BYTES + SDES_AUDIT_FIELDS_MAX +
	                             ROUND_MAX * (SDES_RECORD_HEAD_SIZE + SDES_DIGEST_SIZE));
	const uint8 *at = gathered;

	StaticAssertStmt(ROUND_BYTES + SDES_AUDIT_FIELDS_MAX +
	                         ROUND_MAX * (SDES_RECORD_HEAD_SIZE + SDES_DIGEST_SIZE) <=
	                     SDES_JOURNAL_TORN_MAX,
	                 "a crash tears no more than one round");
	memcpy(hash, end->hash, SDES_DIGEST_SIZE);
	for (int i = 0; i < n; i++)
	{
		Head head;

		memcpy(&head, at, sizeof(head));
		sdes_check(sdes_journal_write_record(
		    &w, (SdesJournalKind) head.kind, end->next + i, head.time,
		    sdes_bytes(at + sizeof(head), head.size), hash));
		at += sizeof(head) + head.size;
	}
	return sdes_bytes(encoded, (size_t) (w.at - encoded));
}

static int
append(int n)
{
	uint8 hash[SDES_DIGEST_SIZE];
	int error;

	do
	{
		SdesBytes records = {NULL, 0};

		/* Before there is a segment there is nothing that they could follow. */
		if (queue->end.segment != 0)
			records = encode(n, &queue->end, hash);

		error = sdes_journal_append(&file, &queue->end, records, queue->end.next + n, hash,
		                            now());
	} while (error == EAGAIN);
	return error;
}

/* The journal begins with a record of its own, which says so. */
static int
begin_journal(void)
{
	Head head = {.time = now(), .kind = SDES_JOURNAL_STARTED};
	SdesWriter w = sdes_writer(gathered + sizeof(head), SDES_AUDIT_FIELDS_MAX);
	int error = sdes_audit_open(&file, &queue->end, &w);

	if (error != 0)
		return error;
	head.size = (uint16) (SDES_AUDIT_FIELDS_MAX - w.left);
	memcpy(gathered, &head, sizeof(head));
	error = append(1);
	if (error == 0)
		error = sdes_audit_remember(&file);
	if (error == 0)
	{
		queue->header = file.header;
		strlcpy(queue->folder, file.folder, sizeof(queue->folder));
		queue->open = true;
	}
	return error;
}

/* Where others have found the journal to be. */
static void
know_file(void)
{
	if (queue->open && strcmp(file.folder, queue->folder) != 0)
	{
		sdes_journal_close(&file);
		file.header = queue->header;
		strlcpy(file.folder, queue->folder, sizeof(file.folder));
	}
	if (encoded != NULL)
		return;
	ReserveExternalFD();
	gathered = MemoryContextAlloc(TopMemoryContext,
	                              ROUND_BYTES + sizeof(Head) + SDES_AUDIT_FIELDS_MAX);
	encoded = MemoryContextAlloc(
	    TopMemoryContext, ROUND_BYTES + SDES_AUDIT_FIELDS_MAX +
	                          ROUND_MAX * (SDES_RECORD_HEAD_SIZE + SDES_DIGEST_SIZE));
}

/*
 * With the lock: writes what waits, as much as a round may have; *full when it may have
 * been more. An errno when that failed.
 */
static int
write_round(bool *full)
{
	static Taken taken[ROUND_MAX + 1];
	int ntaken;
	Latch *watcher = queue->watcher;
	int error = 0;
	int n;

	*full = false;
	know_file();
	if (!queue->open)
		error = begin_journal();
	n = error == 0 ? gather_all(taken, &ntaken, full) : 0;
	if (n > 0)
		error = append(n);
	for (int i = 0; n > 0 && error == 0 && i < ntaken; i++)
		release(&taken[i]);
	if (watcher != NULL && queue->end.next - queue->signed_next >= SIGN_AFTER)
	{
		queue->signed_next = queue->end.next;
		queue->sign_wanted = true;
		SetLatch(watcher);
	}
	/* A segment that could be neither begun nor removed: where it ends is looked up anew. */
	if (error == EEXIST)
		queue->open = false;
	pg_atomic_write_u32(&queue->error, (uint32) error);
	return error;
}

/* ---- waiting ---- */

/* In place of an error of the system: the time has passed. */
#define TOO_LATE (-1)

const char *
sdes_audit_explain(int error)
{
	switch (error)
	{
		case TOO_LATE:
			return "the record was not on the disk in time (sdes.audit_timeout)";
		case EBADMSG:
			return "the journal, or sdes/journal in the data directory, is damaged";
		case EXDEV:
			return "a segment belongs to another journal";
		default:
			return strerror(error);
	}
}

void
sdes_audit_report(int error)
{
	char directory[MAXPGPATH];

	sdes_audit_directory_path(directory);
	errno = error;
	ereport(ERROR,
	        (error == TOO_LATE                    ? errcode(ERRCODE_IO_ERROR)
	         : error == EBADMSG || error == EXDEV ? errcode(ERRCODE_DATA_CORRUPTED)
	                                              : errcode_for_file_access(),
	         errmsg("the audit journal cannot be written: %s", sdes_audit_explain(error)),
	         errdetail("It is in \"%s\". Without a record no encrypted value is opened or "
	                   "stored.",
	                   directory),
	         errhint("See the row \"audit\" of sdes.health()."), SDES_KEEP_OUT_OF_LOG));
}

/* Sleeps until somebody has written, or it is time to look; false at the end of patience. */
static bool
nap(TimestampTz deadline)
{
	long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

	if (left <= 0)
		return false;
	(void) ConditionVariableTimedSleep(&queue->written, Min(left, NAP_MS),
	                                   PG_WAIT_EXTENSION);
	return true;
}

/* 0, an errno, or TOO_LATE. */
static int
wait_until_written(Place *place, uint64 ticket)
{
	TimestampTz deadline =
	    TimestampTzPlusMilliseconds(GetCurrentTimestamp(), sdes_audit_timeout);
	int error = 0;
	bool full;

	while (error == 0 && !is_written(place, ticket))
	{
		CHECK_FOR_INTERRUPTS();
		if (LWLockConditionalAcquire(queue->lock, LW_EXCLUSIVE))
		{
			if (!is_written(place, ticket))
				error = write_round(&full);
			LWLockRelease(queue->lock);
			ConditionVariableBroadcast(&queue->written);
		}
		else if (!nap(deadline))
			error = TOO_LATE;
	}
	ConditionVariableCancelSleep();
	return error;
}

int
sdes_audit_wait(uint64 ticket)
{
	return wait_until_written(place_of(MyProc), ticket);
}

void
sdes_audit_require(uint64 ticket)
{
	int error = sdes_audit_wait(ticket);

	if (error != 0)
		sdes_audit_report(error);
}

void
sdes_audit_wait_for_room(void)
{
	if (sdes_must_not_wait())
		sdes_audit_report(TOO_LATE);
	sdes_audit_require(place_of(MyProc)->next - 1);
}

static bool
is_pending(void)
{
	for (int i = 0; queue != NULL && i < queue->nplaces; i++)
		if (queue->places[i].used > 0)
			return true;
	return false;
}

/*
 * With the lock: all that waited when it was called, until every place has had its turn. What
 * comes meanwhile waits for the next call: busy clients are not served a few records at a
 * time, and who waits for the lock gets it.
 */
static int
write_rounds(void)
{
	bool full = true;
	int error = 0;
	int passed = 0;

	for (int i = 0; i < queue->nplaces && error == 0 && full && passed < queue->nplaces;
	     i++)
	{
		int turn = queue->turn;

		error = write_round(&full);
		passed += (queue->turn - turn + queue->nplaces) % queue->nplaces;
	}
	return error;
}

void
sdes_audit_tick(void)
{
	if (!is_pending() || !LWLockConditionalAcquire(queue->lock, LW_EXCLUSIVE))
		return;
	(void) write_rounds();
	LWLockRelease(queue->lock);
	ConditionVariableBroadcast(&queue->written);
}

/* As long as anybody waits: whoever writes may be held up by a disk. */
static bool
lock_patiently(void)
{
	TimestampTz deadline =
	    TimestampTzPlusMilliseconds(GetCurrentTimestamp(), sdes_audit_timeout);
	bool locked;

	while (!(locked = LWLockConditionalAcquire(queue->lock, LW_EXCLUSIVE)) && nap(deadline))
		;
	ConditionVariableCancelSleep();
	return locked;
}

bool
sdes_audit_peek(SdesAuditJournal *journal)
{
	bool open;

	if (queue == NULL || !lock_patiently())
		return false;
	open = queue->open;
	if (open)
	{
		strlcpy(journal->folder, queue->folder, sizeof(journal->folder));
		memcpy(journal->id, queue->header.journal, sizeof(journal->id));
		journal->end = queue->end;
		/* Who signs has seen them. */
		if (queue->watcher == MyLatch)
			queue->signed_next = queue->end.next;
	}
	LWLockRelease(queue->lock);
	return open;
}

void
sdes_audit_watch(Latch *latch)
{
	bool locked = queue != NULL && lock_patiently();

	/* Who leaves, leaves. */
	if (locked || (queue != NULL && latch == NULL))
		queue->watcher = latch;
	if (locked)
		LWLockRelease(queue->lock);
}

bool
sdes_audit_take_sign_wanted(void)
{
	bool wanted = queue != NULL && queue->sign_wanted;

	if (wanted)
		queue->sign_wanted = false;
	return wanted;
}

bool
sdes_audit_is_watched(void)
{
	return queue != NULL && queue->watcher != NULL;
}

void
sdes_audit_stop(void)
{
	if (queue->open)
		(void) sdes_audit_put(SDES_JOURNAL_STOPPED, sdes_bytes("", 0));
	if (!is_pending() || !lock_patiently())
		return;
	(void) write_rounds();
	LWLockRelease(queue->lock);
	ConditionVariableBroadcast(&queue->written);
}

void
sdes_audit_where(char folder[SDES_JOURNAL_PATH_MAX], SdesJournalEnd *end)
{
	int error;

	if (!lock_patiently())
		sdes_audit_report(TOO_LATE);
	error = write_rounds();
	strlcpy(folder, queue->folder, SDES_JOURNAL_PATH_MAX);
	*end = queue->end;
	LWLockRelease(queue->lock);
	ConditionVariableBroadcast(&queue->written);
	if (error != 0)
		sdes_audit_report(error);
}

const char *
sdes_audit_trouble(void)
{
	uint32 error = pg_atomic_read_u32(&queue->error);

	return error == 0 ? NULL : sdes_audit_explain((int) error);
}
