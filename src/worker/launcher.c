/*
 * launcher.c
 *		Starts workers: one in each database that has work, a few at a time.
 *
 * It is attached to no database itself. It looks into every database once in
 * sdes.rotation_naptime, at once when a session calls, and soon after a session has used
 * keys, whose records are then to be loaded; it comes back soon to those that have more to
 * do. On a standby it does not run; after a promotion it does.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "audit/audit.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "rotation/rotation.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "worker/launcher.h"
#include "worker/register.h"

#define SHORTEST_NAP_MS 50
#define BREATH_MS       250 /* between two workers in one database: DROP DATABASE gets in */
#define MAX_DOUBLINGS   10
#define REVISIT_MS      1000 /* where there is more to do that waits */
#define NEWS_MS         5000 /* after a visit, when keys have been used meanwhile */

extern SDES_EXPORT void sdes_launcher_main(Datum arg);

typedef struct Database
{
	Oid oid;
	TimestampTz due;
	TimestampTz visited_at; /* when a worker was started last */
	TimestampTz once_at;    /* the same of one that does what is done once in a nap */
	bool called;            /* since the last worker was started */
	int failures;           /* of workers in a row */
	bool seen;              /* in the last list of databases */
	BackgroundWorkerHandle *worker; /* NULL: none is running */
} Database;

static List *databases = NIL;
static uint64 calls_seen = 0;
static TimestampTz listed_at = 0;

static TimestampTz
after_ms(long ms)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

static Database *
database_of(Oid oid)
{
	MemoryContext old;
	Database *database;
	ListCell *cell;

	foreach (cell, databases)
		if (((Database *) lfirst(cell))->oid == oid)
			return lfirst(cell);
	old = MemoryContextSwitchTo(TopMemoryContext);
	database = palloc0(sizeof(Database));
	database->oid = oid;
	database->due = GetCurrentTimestamp();
	databases = lappend(databases, database);
	MemoryContextSwitchTo(old);
	return database;
}

/* Forgets those that are gone. */
static void
sweep(void)
{
	ListCell *cell;

	foreach (cell, databases)
	{
		Database *database = lfirst(cell);

		if (!database->seen && database->worker == NULL)
		{
			databases = foreach_delete_current(databases, cell);
			pfree(database);
		}
		else
			database->seen = false;
	}
}

static void
list_databases(void)
{
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		if (row->datallowconn && !row->datistemplate && row->datconnlimit != -2)
			database_of(row->oid)->seen = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	sweep();
	listed_at = GetCurrentTimestamp();
}

static void
start_worker(Database *database)
{
	BackgroundWorker worker = {0};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(database->oid);
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "sdes", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "sdes_database_worker_main",
	        sizeof(worker.bgw_function_name));
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "sdes worker");
	strlcpy(worker.bgw_type, "sdes worker", sizeof(worker.bgw_type));
	/* For each KEK the HSM is asked: once in a nap, not with each batch. */
	if (TimestampDifferenceExceeds(database->once_at, GetCurrentTimestamp(),
	                               1000 * sdes_rotation_naptime))
		strlcpy(worker.bgw_extra, SDES_WORKER_ONCE, sizeof(worker.bgw_extra));
	/* Without a free slot it is tried again. */
	if (!RegisterDynamicBackgroundWorker(&worker, &database->worker))
		database->worker = NULL;
	else if (worker.bgw_extra[0] != '\0')
		database->once_at = GetCurrentTimestamp();
	database->due = after_ms(REVISIT_MS);
	database->visited_at = GetCurrentTimestamp();
	database->called = false;
	MemoryContextSwitchTo(old);
}

/* What failed is tried ever more slowly: each time has its lines in the log. */
static int
pause_after(Database *database, SdesRotationNext next)
{
	int nap = 1000 * sdes_rotation_naptime;

	database->failures = next == SDES_ROTATION_FAILED ? database->failures + 1 : 0;
	switch (next)
	{
		case SDES_ROTATION_MORE:
			return BREATH_MS;
		case SDES_ROTATION_WAIT:
			return REVISIT_MS;
		case SDES_ROTATION_FAILED:
			return Min(REVISIT_MS << Min(database->failures - 1, MAX_DOUBLINGS), nap);
		default:
			return nap;
	}
}

/* Whether a worker is running in that database. */
static bool
is_busy(Database *database)
{
	pid_t pid;

	if (database->worker == NULL)
		return false;
	if (GetBackgroundWorkerPid(database->worker, &pid) != BGWH_STOPPED)
		return true;
	pfree(database->worker);
	database->worker = NULL;
	database->due = after_ms(pause_after(database, sdes_rotation_reported(database->oid)));
	/* A call may have come while it was at work. */
	if (database->called)
		database->due = GetCurrentTimestamp();
	return false;
}

/* In databases that are due, only where somebody waits if so; how many were started. */
static int
start_workers(int most, bool wished)
{
	TimestampTz now = GetCurrentTimestamp();
	int started = 0;
	ListCell *cell;

	foreach (cell, databases)
	{
		Database *database = lfirst(cell);

		if (started >= most || database->worker != NULL || now < database->due ||
		    (wished && !sdes_rotation_is_wished(database->oid)))
			continue;
		start_worker(database);
		started += database->worker != NULL;
	}
	return started;
}

static void
look_after_databases(void)
{
	int busy = 0;
	ListCell *cell;

	foreach (cell, databases)
		busy += is_busy(lfirst(cell));
	busy += start_workers(SDES_ROTATION_WORKERS - busy, true);
	(void) start_workers(SDES_ROTATION_WORKERS - busy, false);
}

static void
call_all(void)
{
	ListCell *cell;

	foreach (cell, databases)
	{
		Database *database = lfirst(cell);

		database->called = true;
		database->due = GetCurrentTimestamp();
	}
}

/* A session has called, from whatever database. */
static void
hear_calls(void)
{
	uint64 calls = sdes_rotation_calls();

	if (calls == calls_seen)
		return;
	call_all();
	calls_seen = calls;
}

/* Keys were used in a database since a worker was there. */
static void
hear_news(void)
{
	ListCell *cell;

	foreach (cell, databases)
	{
		Database *database = lfirst(cell);

		if (database->worker == NULL && database->failures == 0 &&
		    TimestampDifferenceExceeds(database->visited_at, GetCurrentTimestamp(),
		                               NEWS_MS) &&
		    sdes_audit_take_news(database->oid))
			database->due = Min(database->due, GetCurrentTimestamp());
	}
}

/* Until the next database is due, a worker ends or a session calls. */
static long
nap_ms(void)
{
	TimestampTz now = GetCurrentTimestamp();
	long nap = Min(1000L * sdes_rotation_naptime, NEWS_MS);
	ListCell *cell;

	foreach (cell, databases)
	{
		Database *database = lfirst(cell);

		if (database->worker == NULL)
			nap = Min(nap, TimestampDifferenceMilliseconds(now, database->due));
	}
	return Max(nap, SHORTEST_NAP_MS);
}

void
sdes_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	sdes_rotation_listen();
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		/* What waits may wait no more: for the hour, or for the end of a longer nap. */
		if (sdes_worker_take_settings())
			call_all();
		if (listed_at == 0 || calls_seen != sdes_rotation_calls() ||
		    TimestampDifferenceExceeds(listed_at, GetCurrentTimestamp(),
		                               1000 * sdes_rotation_naptime))
			list_databases();
		hear_calls();
		hear_news();
		look_after_databases();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, nap_ms(),
		                 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}

void
sdes_launcher_init(void)
{
	sdes_worker_register("sdes launcher", "sdes_launcher_main",
	                     BGWORKER_BACKEND_DATABASE_CONNECTION,
	                     BgWorkerStart_RecoveryFinished);
}
