/*
 * database_worker.c
 *		Works in one database for half a minute: loads its audit and moves its rotation on.
 *
 * Then it ends, so that other databases have their turn; the launcher
 * (launcher.c) starts the next one. Each piece is a transaction of its own,
 * after which the worker rests in proportion to the time that took. It ends at once when
 * somebody drops, copies or renames the database, who would give up after five seconds.
 */
#include "postgres.h"

#include "access/xact.h"
#include "auditlog/auditlog.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "rotation/rotation.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "worker/launcher.h"
#include "worker/register.h"

#define SLICE_MS        30000
#define LOAD_MS         1000 /* of the audit at a time, */
#define LOAD_EVERY_MS   5000 /* while there is rotation to do */
#define LONGEST_REST_MS 10000
#define LONGEST_NAP_MS  250
#define LOCK_TIMEOUT    "500ms"

extern SDES_EXPORT void sdes_database_worker_main(Datum database);

typedef SdesRotationNext (*Piece)(void);
typedef SdesRotationNext (*Failed)(const char *message);

static SdesRotationNext
work(Piece piece)
{
	SdesRotationNext next = SDES_ROTATION_IDLE;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(get_extension_oid("sdes", true)))
		next = piece();
	PopActiveSnapshot();
	CommitTransactionCommand();
	/* Once a second, but what is counted last as the process ends. */
	pgstat_report_stat(false);
	return next;
}

static SdesRotationNext
note_failure(Failed failed, const char *message)
{
	SdesRotationNext next = SDES_ROTATION_FAILED;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(get_extension_oid("sdes", true)))
		next = failed(message);
	PopActiveSnapshot();
	CommitTransactionCommand();
	return next;
}

/*
 * One piece; a failure is logged, noted if there is somebody to note it, and it is the
 * launcher's to come again.
 */
static SdesRotationNext
try_to_work(Piece piece, Failed failed)
{
	MemoryContext context = CurrentMemoryContext;
	volatile SdesRotationNext next = SDES_ROTATION_FAILED;
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		next = work(piece);
	}
	PG_CATCH();
	{
		disable_all_timeouts(false);
		QueryCancelPending = false;
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	if (error != NULL && failed != NULL)
		next = note_failure(failed, error->message);
	return next;
}

/*
 * Whether somebody has the lock that DROP DATABASE, a copy of it as a template and the
 * like take before they wait for its sessions to end.
 */
static bool
database_is_wanted(void)
{
	LOCKTAG database;
	bool wanted;

	SET_LOCKTAG_OBJECT(database, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	StartTransactionCommand();
	wanted = LockAcquire(&database, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
	if (!wanted)
		LockRelease(&database, RowExclusiveLock, false);
	CommitTransactionCommand();
	return wanted;
}

static SdesRotationNext
load_audit(void)
{
	return sdes_auditlog_load() ? SDES_ROTATION_MORE : SDES_ROTATION_IDLE;
}

static SdesRotationNext
expire_audit(void)
{
	sdes_auditlog_expire();
	return SDES_ROTATION_IDLE;
}

/*
 * What there is, for a second: rotation is to have its turn. Whether there is more. Somebody
 * who waits for a key, or for the database, does not wait for this.
 */
static bool
load_for_a_while(void)
{
	TimestampTz began = GetCurrentTimestamp();
	SdesRotationNext next;

	do
	{
		if (sdes_rotation_is_wished(MyDatabaseId) || database_is_wanted())
			return false;
		next = try_to_work(load_audit, NULL);
		CHECK_FOR_INTERRUPTS();
	} while (next == SDES_ROTATION_MORE &&
	         !TimestampDifferenceExceeds(began, GetCurrentTimestamp(), LOAD_MS));
	return next == SDES_ROTATION_MORE;
}

static void
nap(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
	                 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * The pause that leaves others their share of the time, unless somebody waits for a key;
 * false to make it the last.
 */
static bool
rest(TimestampTz since)
{
	long worked = TimestampDifferenceMilliseconds(since, GetCurrentTimestamp());
	long pause = (long) (worked * (100 - sdes_rotation_share) / sdes_rotation_share);

	for (pause = Min(pause, LONGEST_REST_MS);
	     pause > 0 && !sdes_rotation_is_wished(MyDatabaseId); pause -= LONGEST_NAP_MS)
	{
		nap(Min(pause, LONGEST_NAP_MS));
		if (pause > LONGEST_NAP_MS && database_is_wanted())
			return false;
	}
	(void) sdes_worker_take_settings();
	return !database_is_wanted();
}

static void
set_up(Oid database)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	/* Names in our statements are those of the catalogs or have their schema. */
	SetConfigOption("search_path", "pg_catalog", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET,
	                PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	/* Partitions of the audit's table are made in one way everywhere. */
	SetConfigOption("datestyle", "ISO", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_table_access_method", "heap", PGC_SUSET, PGC_S_OVERRIDE);
#if PG_VERSION_NUM >= 170000
	SetConfigOption("event_triggers", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
#endif
	/*
	 * A batch that a crash takes back is done again, so none is waited for until it is on
	 * the disk: that takes longer than the batch, and clients wait for the rows meanwhile.
	 */
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
	/* Shorter than deadlock_timeout: whoever wants what we hold is not the victim. */
	SetConfigOption("lock_timeout", LOCK_TIMEOUT, PGC_SUSET, PGC_S_OVERRIDE);
}

void
sdes_database_worker_main(Datum database)
{
	TimestampTz began = GetCurrentTimestamp();
	TimestampTz since;
	TimestampTz loaded_at = 0;
	SdesRotationNext next = SDES_ROTATION_IDLE;
	bool behind = false;

	set_up(DatumGetObjectId(database));
	sdes_rotation_worker_begins();
	if (strcmp(MyBgworkerEntry->bgw_extra, SDES_WORKER_ONCE) == 0)
	{
		(void) try_to_work(sdes_rotation_destroy_keks, sdes_rotation_failed);
		(void) try_to_work(expire_audit, NULL);
	}
	do
	{
		if (next != SDES_ROTATION_MORE ||
		    TimestampDifferenceExceeds(loaded_at, GetCurrentTimestamp(), LOAD_EVERY_MS))
		{
			behind = load_for_a_while();
			loaded_at = GetCurrentTimestamp();
		}
		since = GetCurrentTimestamp();
		next = try_to_work(sdes_rotation_work, sdes_rotation_failed);
	} while ((next == SDES_ROTATION_MORE || behind) && rest(since) &&
	         !TimestampDifferenceExceeds(began, GetCurrentTimestamp(), SLICE_MS));
	sdes_rotation_report(DatumGetObjectId(database),
	                     next == SDES_ROTATION_IDLE && behind ? SDES_ROTATION_MORE : next);
	proc_exit(0);
}
