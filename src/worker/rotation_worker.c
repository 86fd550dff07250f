/*
 * rotation_worker.c
 *		Works on rotation in one database, for a few seconds.
 *
 * Then it ends, so that nobody's DROP DATABASE or template copy waits for it; the
 * launcher (rotation_launcher.c) starts the next one. Each piece is a transaction of its
 * own, after which the worker rests in proportion to the time that took.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "rotation/rotation.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#define SLICE_MS        3000
#define LONGEST_REST_MS 10000
#define LOCK_TIMEOUT    "500ms"

extern SDES_EXPORT void sdes_rotation_worker_main(Datum database);

static SdesRotationNext
work(void)
{
	SdesRotationNext next = SDES_ROTATION_IDLE;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(get_extension_oid("sdes", true)))
		next = sdes_rotation_work();
	PopActiveSnapshot();
	CommitTransactionCommand();
	/* Once a second, but what is counted last as the process ends. */
	pgstat_report_stat(false);
	return next;
}

static void
note_failure(const char *message)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(get_extension_oid("sdes", true)))
		sdes_rotation_failed(message);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* One piece; a failure is logged and noted, and it is the launcher's to come again. */
static SdesRotationNext
try_to_work(void)
{
	MemoryContext context = CurrentMemoryContext;
	volatile SdesRotationNext next = SDES_ROTATION_WAIT;
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		next = work();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	if (error != NULL)
		note_failure(error->message);
	return next;
}

/* The pause that leaves others their share of the time. */
static void
rest(TimestampTz since)
{
	long worked = TimestampDifferenceMilliseconds(since, GetCurrentTimestamp());
	long pause = worked * (100 - sdes_rotation_share) / sdes_rotation_share;

	if (pause <= 0)
		return;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
	                 Min(pause, LONGEST_REST_MS), PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

static void
set_up(Oid database)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	/* Names in our statements are those of the catalogs or have their schema. */
	SetConfigOption("search_path", "pg_catalog", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET,
	                PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	/*
	 * A batch that a crash takes back is done again, so none is waited for until it is on
	 * the disk: that takes longer than the batch, and clients wait for the rows meanwhile.
	 */
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	/* Shorter than deadlock_timeout: whoever wants what we hold is not the victim. */
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
}

void
sdes_rotation_worker_main(Datum database)
{
	TimestampTz began = GetCurrentTimestamp();
	SdesRotationNext next;

	set_up(DatumGetObjectId(database));
	do
	{
		TimestampTz since = GetCurrentTimestamp();

		next = try_to_work();
		if (next == SDES_ROTATION_MORE)
			rest(since);
	} while (next == SDES_ROTATION_MORE &&
	         !TimestampDifferenceExceeds(began, GetCurrentTimestamp(), SLICE_MS));
	sdes_rotation_report(DatumGetObjectId(database), next);
	proc_exit(0);
}
