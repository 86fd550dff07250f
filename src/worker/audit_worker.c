/*
 * audit_worker.c
 *		Writes the records that nobody waits for, and signs the audit journal.
 *
 * Once a second, or when many records have come. It is attached to no database, so that
 * standbys have it too. Nobody needs it: statements write their own records, and a journal
 * that was not signed for a while is signed later.
 */
#include "postgres.h"

#include <signal.h>

#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "sdes_compat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "worker/audit_worker.h"
#include "worker/register.h"

#define TICK_MS 1000 /* how late the ends of uses may be written, and signatures */

extern SDES_EXPORT void sdes_audit_worker_main(Datum arg);

/* Also after an error that has left a lock behind. */
static void
leave(int code, Datum arg)
{
	LWLockReleaseAll();
	sdes_audit_watch(NULL);
}

/* An HSM that does not answer keeps neither records nor a shutdown waiting. */
static bool
meanwhile(void)
{
	sdes_audit_tick();
	return !ShutdownRequestPending;
}

void
sdes_audit_worker_main(Datum arg)
{
	MemoryContext loop;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	loop = AllocSetContextCreate(TopMemoryContext, "sdes audit", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(loop);
	before_shmem_exit(leave, 0);
	sdes_audit_watch(MyLatch);
	sdes_agentlink_while_waiting(meanwhile);
	sdes_audit_compare_settings();

	while (!ShutdownRequestPending)
	{
		if (sdes_worker_nap(TICK_MS))
			sdes_audit_compare_settings();
		/* A disk that hangs may have kept us from saying so. */
		if (!ShutdownRequestPending && !sdes_audit_is_watched())
			sdes_audit_watch(MyLatch);
		sdes_audit_compare_tokens();
		if (!ShutdownRequestPending)
			sdes_audit_sign();
		MemoryContextReset(loop);
	}
	sdes_audit_watch(NULL);
	sdes_audit_stop();
	/* Status 1, not 0: the postmaster starts us again unless it shuts down. */
	proc_exit(1);
}

void
sdes_audit_worker_init(void)
{
	sdes_worker_register("sdes audit", "sdes_audit_worker_main", 0,
	                     BgWorkerStart_PostmasterStart);
}
