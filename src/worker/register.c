/*
 * register.c
 *		Background workers that are there as long as the server is.
 */
#include "postgres.h"

#include "worker/register.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

void
sdes_worker_register(const char *name, const char *function, int flags,
                     BgWorkerStartTime start)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | flags;
	worker.bgw_start_time = start;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "sdes", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, name, sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, name, sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}

bool
sdes_worker_take_settings(void)
{
	bool reload = ConfigReloadPending;

	if (reload)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	return reload;
}

bool
sdes_worker_nap(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
	                 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	return sdes_worker_take_settings();
}
