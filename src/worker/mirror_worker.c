/*
 * mirror_worker.c
 *		Copies the audit journal to sdes.audit_mirror, once a second.
 *
 * A process of its own: the disk there may hang, which is to keep nobody else from working.
 */
#include "postgres.h"

#include "worker/mirror_worker.h"

#include <signal.h>

#include "audit/audit.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "worker/register.h"

#define TICK_MS 1000

extern SDES_EXPORT void sdes_mirror_worker_main(Datum arg);

void
sdes_mirror_worker_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	while (!ShutdownRequestPending)
	{
		(void) sdes_worker_nap(TICK_MS);
		if (!ShutdownRequestPending)
			sdes_audit_mirror_copy();
	}
	/* Status 1, not 0: the postmaster starts us again unless it shuts down. */
	proc_exit(1);
}

void
sdes_mirror_worker_init(void)
{
	if (sdes_audit_mirror[0] != '\0')
		sdes_worker_register("sdes audit mirror", "sdes_mirror_worker_main", 0,
		                     BgWorkerStart_PostmasterStart);
}
