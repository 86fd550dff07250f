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

#define SIGN_AFTER 10000 /* records; else once a second */

/* What one round takes from one place. */
typedef struct Taken
{
	SdesQueuePlace *place;
	int n;
	uint32 bytes;
} Taken;

/* A round: what it takes, and of how many places. */
typedef struct Round
{
	Taken taken[SDES_QUEUE_ROUND_RECORDS];
	int places;
	int n; /* records */
	uint32 bytes;
} Round;

/* Of this process, from the first time that it writes on. */
static SdesJournalFile file;
static bool reserved = false;

static bool
is_full(const Round *round)
{
	return round->n >= SDES_QUEUE_ROUND_RECORDS || round->bytes >= SDES_QUEUE_ROUND_BYTES;
}

/* Takes what a place holds, as far as there is room. */
static void
take(SdesQueuePlace *place, Round *round)
{
	Taken taken = {.place = place};
	uint32 there;

	if (place->used == 0)
		return;
	/* What is there stays as it is: its process appends only, and we alone take out. */
	SpinLockAcquire(&place->mutex);
	there = place->used;
	SpinLockRelease(&place->mutex);
	while (taken.bytes < there && !is_full(round))
	{
		SdesQueueHead head;
		uint32 size;

		memcpy(&head, place->records + taken.bytes, sizeof(head));
		size = sizeof(head) + head.size;
		taken.bytes += size;
		taken.n++;
		round->bytes += size;
		round->n++;
	}
	if (taken.n > 0)
		round->taken[round->places++] = taken;
}

/* From all places, our own first. */
static void
take_all(Round *round)
{
	SdesQueuePlace *own = sdes_queue_place(MyProc);
	int first = sdes_queue->turn;

	take(own, round);
	for (int i = 0; i < sdes_queue->nplaces && !is_full(round); i++)
	{
		SdesQueuePlace *place = &sdes_queue->places[(first + i) % sdes_queue->nplaces];

		/* It may have more than this round has room for: then the next begins with it. */
		sdes_queue->turn = (first + i) % sdes_queue->nplaces;
		if (place != own)
			take(place, round);
	}
}

static void
encode_place(const Taken *taken, SdesWriter *w, uint64 *next, uint8 hash[SDES_DIGEST_SIZE])
{
	const uint8 *at = taken->place->records;

	for (int i = 0; i < taken->n; i++)
	{
		SdesQueueHead head;

		memcpy(&head, at, sizeof(head));
		sdes_check(
		    sdes_journal_write_record(w, (SdesJournalKind) head.kind, (*next)++, head.time,
		                              sdes_bytes(at + sizeof(head), head.size), hash));
		at += sizeof(head) + head.size;
	}
}

static SdesBytes
encode(const Round *round, uint8 hash[SDES_DIGEST_SIZE])
{
	SdesWriter w = sdes_writer(sdes_queue->encoded, SDES_QUEUE_ENCODED_MAX);
	uint64 next = sdes_queue->end.next;

	StaticAssertStmt(SDES_QUEUE_ENCODED_MAX <= SDES_JOURNAL_TORN_MAX,
	                 "a crash tears no more than one round");
	memcpy(hash, sdes_queue->end.hash, SDES_DIGEST_SIZE);
	for (int i = 0; i < round->places; i++)
		encode_place(&round->taken[i], &w, &next, hash);
	return sdes_bytes(sdes_queue->encoded, (size_t) (w.at - sdes_queue->encoded));
}

static int
append(const Round *round)
{
	uint8 hash[SDES_DIGEST_SIZE];
	int error;

	do
	{
		SdesBytes records = {NULL, 0};

		/* Before there is a segment there is nothing that they could follow. */
		if (sdes_queue->end.segment != 0)
			records = encode(round, hash);

		error =
		    sdes_journal_append(&file, &sdes_queue->end, records,
		                        sdes_queue->end.next + round->n, hash, sdes_queue_now());
	} while (error == EAGAIN);
	return error;
}

/* The journal begins with a record of its own, which says so: a round for itself. */
static int
begin_journal(Round *round)
{
	uint8 record[sizeof(SdesQueueHead) + SDES_AUDIT_FIELDS_MAX];
	SdesQueuePlace place = {.records = record};
	SdesQueueHead head = {.time = sdes_queue_now(), .kind = SDES_JOURNAL_STARTED};
	SdesWriter w = sdes_writer(record + sizeof(head), SDES_AUDIT_FIELDS_MAX);
	int error = sdes_audit_open(&file, &sdes_queue->end, &w);

	if (error != 0)
		return error;
	head.size = (uint16) (SDES_AUDIT_FIELDS_MAX - w.left);
	memcpy(record, &head, sizeof(head));
	round->taken[0] = (Taken){.place = &place, .n = 1};
	round->places = round->n = 1;
	error = append(round);
	round->places = round->n = 0;
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
	if (!reserved)
		ReserveExternalFD();
	reserved = true;
}

int
sdes_queue_write_round(bool *full)
{
	static Round round;
	Latch *watcher = sdes_queue->watcher;
	int error = 0;

	round.places = round.n = 0;
	round.bytes = 0;
	know_file();
	if (!sdes_queue->open)
		error = begin_journal(&round);
	if (error == 0)
		take_all(&round);
	if (round.n > 0)
		error = append(&round);
	for (int i = 0; error == 0 && i < round.places; i++)
		sdes_queue_drop(round.taken[i].place, round.taken[i].n, round.taken[i].bytes);
	*full = is_full(&round);
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
