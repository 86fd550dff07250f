/*
 * waiting.c
 *		Waiting for records to be written, or writing them: who gets the queue's lock.
 */
#include "postgres.h"

#include "audit/queue.h"

#include <errno.h>

#include "agentlink/agentlink.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "utils/wait_event.h"

#define NAP_MS 10

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
	(void) ConditionVariableTimedSleep(&sdes_queue->written, Min(left, NAP_MS),
	                                   PG_WAIT_EXTENSION);
	return true;
}

/* 0, an errno, or TOO_LATE. */
static int
wait_until_written(SdesQueuePlace *place, uint64 ticket)
{
	TimestampTz deadline =
	    TimestampTzPlusMilliseconds(GetCurrentTimestamp(), sdes_audit_timeout);
	int error = 0;
	bool full;

	while (error == 0 && !sdes_queue_is_written(place, ticket))
	{
		CHECK_FOR_INTERRUPTS();
		if (LWLockConditionalAcquire(sdes_queue->lock, LW_EXCLUSIVE))
		{
			if (!sdes_queue_is_written(place, ticket))
				error = sdes_queue_write_round(&full);
			LWLockRelease(sdes_queue->lock);
			ConditionVariableBroadcast(&sdes_queue->written);
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
	return wait_until_written(sdes_queue_place(MyProc), ticket);
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
	sdes_audit_require(sdes_queue_place(MyProc)->next - 1);
}

static bool
is_pending(void)
{
	for (int i = 0; sdes_queue != NULL && i < sdes_queue->nplaces; i++)
		if (sdes_queue->places[i].used > 0)
			return true;
	return false;
}

void
sdes_audit_tick(void)
{
	if (!is_pending() || !LWLockConditionalAcquire(sdes_queue->lock, LW_EXCLUSIVE))
		return;
	(void) sdes_queue_write_rounds();
	LWLockRelease(sdes_queue->lock);
	ConditionVariableBroadcast(&sdes_queue->written);
}

/* As long as anybody waits: whoever writes may be held up by a disk. */
static bool
lock_patiently(void)
{
	TimestampTz deadline =
	    TimestampTzPlusMilliseconds(GetCurrentTimestamp(), sdes_audit_timeout);
	bool locked;

	while (!(locked = LWLockConditionalAcquire(sdes_queue->lock, LW_EXCLUSIVE)) &&
	       nap(deadline))
		;
	ConditionVariableCancelSleep();
	return locked;
}

bool
sdes_audit_peek(SdesAuditJournal *journal)
{
	bool open;

	if (sdes_queue == NULL || !lock_patiently())
		return false;
	open = sdes_queue->open;
	if (open)
	{
		strlcpy(journal->folder, sdes_queue->folder, sizeof(journal->folder));
		memcpy(journal->id, sdes_queue->header.journal, sizeof(journal->id));
		journal->end = sdes_queue->end;
		/* Who signs has seen them. */
		if (sdes_queue->watcher == MyLatch)
			sdes_queue->signed_next = sdes_queue->end.next;
	}
	LWLockRelease(sdes_queue->lock);
	return open;
}

void
sdes_audit_watch(Latch *latch)
{
	bool locked = sdes_queue != NULL && lock_patiently();

	/* Who leaves, leaves. */
	if (locked || (sdes_queue != NULL && latch == NULL))
		sdes_queue->watcher = latch;
	if (locked)
		LWLockRelease(sdes_queue->lock);
}

bool
sdes_audit_take_sign_wanted(void)
{
	bool wanted = sdes_queue != NULL && sdes_queue->sign_wanted;

	if (wanted)
		sdes_queue->sign_wanted = false;
	return wanted;
}

bool
sdes_audit_is_watched(void)
{
	return sdes_queue != NULL && sdes_queue->watcher != NULL;
}

void
sdes_audit_stop(void)
{
	if (sdes_queue->open)
		(void) sdes_audit_put(SDES_JOURNAL_STOPPED, sdes_bytes("", 0));
	if (!is_pending() || !lock_patiently())
		return;
	(void) sdes_queue_write_rounds();
	LWLockRelease(sdes_queue->lock);
	ConditionVariableBroadcast(&sdes_queue->written);
}

void
sdes_audit_where(char folder[SDES_JOURNAL_PATH_MAX], SdesJournalEnd *end)
{
	int error;

	if (!lock_patiently())
		sdes_audit_report(TOO_LATE);
	error = sdes_queue_write_rounds();
	strlcpy(folder, sdes_queue->folder, SDES_JOURNAL_PATH_MAX);
	*end = sdes_queue->end;
	LWLockRelease(sdes_queue->lock);
	ConditionVariableBroadcast(&sdes_queue->written);
	if (error != 0)
		sdes_audit_report(error);
}

const char *
sdes_audit_trouble(void)
{
	uint32 error = pg_atomic_read_u32(&sdes_queue->error);

	return error == 0 ? NULL : sdes_audit_explain((int) error);
}
