/*
 * rounds.c
 *		Who has the queue's lock writes what all places hold, one round after the other.
 *
 * Records are taken out after they are on the disk: a failure loses none.
 */
#include "postgres.h"

#include "audit/queue.h"

#include <errno.h>

#include "sdes_errors.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define ROUND_BYTES (256 * 1024) /* of fields that are written at once, about */
#define ROUND_MAX   4096         /* records */
#define SIGN_AFTER  10000        /* records; else once a second */
#define ENCODED_MAX                                                                        \
	(ROUND_BYTES + SDES_AUDIT_FIELDS_MAX +                                                 \
	 ROUND_MAX * (SDES_RECORD_HEAD_SIZE + SDES_DIGEST_SIZE))

/* What one round takes from one place. */
typedef struct Taken
{
	SdesQueuePlace *place;
	int n;
	uint32 bytes;
} Taken;

/* Of this process, from the first time that it writes on. */
static SdesJournalFile file;
static uint8 *gathered = NULL;
static uint8 *encoded = NULL;

/* Copies what a place holds, as far as there is room; where the copy ends. */
static uint32
gather(SdesQueuePlace *place, Taken *taken, uint32 at, int room)
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
		SdesQueueHead head;
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
	SdesQueuePlace *own = sdes_queue_place(MyProc);
	uint32 at = gather(own, &taken[0], 0, ROUND_MAX);
	int n = taken[0].n;
	int first = sdes_queue->turn;

	*ntaken = 1;
	for (int i = 0; i < sdes_queue->nplaces && n < ROUND_MAX && at < ROUND_BYTES; i++)
	{
		SdesQueuePlace *place = &sdes_queue->places[(first + i) % sdes_queue->nplaces];

		/* It may have more than this round has room for: then the next begins with it. */
		sdes_queue->turn = (first + i) % sdes_queue->nplaces;
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
	SdesWriter w = sdes_writer(encoded, ENCODED_MAX);
	const uint8 *at = gathered;

	StaticAssertStmt(ENCODED_MAX <= SDES_JOURNAL_TORN_MAX,
	                 "a crash tears no more than one round");
	memcpy(hash, end->hash, SDES_DIGEST_SIZE);
	for (int i = 0; i < n; i++)
	{
		SdesQueueHead head;

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
		if (sdes_queue->end.segment != 0)
			records = encode(n, &sdes_queue->end, hash);

		error = sdes_journal_append(&file, &sdes_queue->end, records,
		                            sdes_queue->end.next + n, hash, sdes_queue_now());
	} while (error == EAGAIN);
	return error;
}

/* The journal begins with a record of its own, which says so. */
static int
begin_journal(void)
{
	SdesQueueHead head = {.time = sdes_queue_now(), .kind = SDES_JOURNAL_STARTED};
	SdesWriter w = sdes_writer(gathered + sizeof(head), SDES_AUDIT_FIELDS_MAX);
	int error = sdes_audit_open(&file, &sdes_queue->end, &w);

	if (error != 0)
		return error;
	head.size = (uint16) (SDES_AUDIT_FIELDS_MAX - w.left);
	memcpy(gathered, &head, sizeof(head));
	error = append(1);
	if (error == 0)
		error = sdes_audit_remember(&file);
	if (error == 0)
	{
		sdes_queue->header = file.header;
		strlcpy(sdes_queue->folder, file.folder, sizeof(sdes_queue->folder));
		sdes_queue->open = true;
	}
	return error;
}

/* Where others have found the journal to be. */
static void
know_file(void)
{
	if (sdes_queue->open && strcmp(file.folder, sdes_queue->folder) != 0)
	{
		sdes_journal_close(&file);
		file.header = sdes_queue->header;
		strlcpy(file.folder, sdes_queue->folder, sizeof(file.folder));
	}
	if (encoded != NULL)
		return;
	ReserveExternalFD();
	gathered = MemoryContextAlloc(TopMemoryContext, ROUND_BYTES + sizeof(SdesQueueHead) +
	                                                    SDES_AUDIT_FIELDS_MAX);
	encoded = MemoryContextAlloc(TopMemoryContext, ENCODED_MAX);
}

int
sdes_queue_write_round(bool *full)
{
	static Taken taken[ROUND_MAX + 1];
	int ntaken;
	Latch *watcher = sdes_queue->watcher;
	int error = 0;
	int n;

	*full = false;
	know_file();
	if (!sdes_queue->open)
		error = begin_journal();
	n = error == 0 ? gather_all(taken, &ntaken, full) : 0;
	if (n > 0)
		error = append(n);
	for (int i = 0; n > 0 && error == 0 && i < ntaken; i++)
		sdes_queue_drop(taken[i].place, taken[i].n, taken[i].bytes);
	if (watcher != NULL && sdes_queue->end.next - sdes_queue->signed_next >= SIGN_AFTER)
	{
		sdes_queue->signed_next = sdes_queue->end.next;
		sdes_queue->sign_wanted = true;
		SetLatch(watcher);
	}
	/* A segment that could be neither begun nor removed: where it ends is looked up anew. */
	if (error == EEXIST)
		sdes_queue->open = false;
	pg_atomic_write_u32(&sdes_queue->error, (uint32) error);
	return error;
}

int
sdes_queue_write_rounds(void)
{
	bool full = true;
	int error = 0;
	int passed = 0;

	for (int i = 0;
	     i < sdes_queue->nplaces && error == 0 && full && passed < sdes_queue->nplaces; i++)
	{
		int turn = sdes_queue->turn;

		error = sdes_queue_write_round(&full);
		passed += (sdes_queue->turn - turn + sdes_queue->nplaces) % sdes_queue->nplaces;
	}
	return error;
}
