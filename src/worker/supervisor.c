/*
 * supervisor.c
 *		Keeps the key agents running, one for each token.
 *
 * It is attached to no database, so that standbys have it too and nobody's
 * DROP DATABASE waits for it.
 *
 * When this process ends, for whatever reason, the agents follow by end of
 * file on the pipes that only this process holds.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"
#include "worker/keeper.h"
#include "worker/register.h"
#include "worker/supervisor.h"

#define EVENTS (2 + 2 * SDES_MAX_TOKENS)

extern SDES_EXPORT void sdes_supervisor_main(Datum arg);

static SdesKeeper keepers[SDES_MAX_TOKENS];
static int nkeepers = 0;

/* As many as there are tokens; without any there is one, who tells that none is set. */
static int
wanted(void)
{
	const char *list = sdes_agent_socket[0] ? sdes_agent_socket : sdes_pkcs11_token;

	return Max(1, sdes_config_count(list));
}

/* Starts or ends keepers at the end of the list. */
static void
adjust(void)
{
	int n = wanted();

	sdes_agentlink_publish_count(n);
	while (nkeepers > n)
		sdes_keeper_stop(&keepers[--nkeepers]);
	for (; nkeepers < n; nkeepers++)
		if (!sdes_keeper_init(&keepers[nkeepers], nkeepers))
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			                errmsg("sdes: cannot get locked memory")));
}

static void
reload(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	for (int i = 0; i < Min(nkeepers, wanted()); i++)
		sdes_keeper_reload(&keepers[i]);
	adjust();
}

static void
wait_for_something(void)
{
	WaitEventSet *set;
	WaitEvent event;
	long timeout = sdes_keeper_wait_ms(&keepers[0]);

#if PG_VERSION_NUM >= 170000
	set = CreateWaitEventSet(NULL, EVENTS);
#else
	set = CreateWaitEventSet(CurrentMemoryContext, EVENTS);
#endif
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < nkeepers; i++)
	{
		sdes_keeper_add_events(&keepers[i], set);
		timeout = Min(timeout, sdes_keeper_wait_ms(&keepers[i]));
	}
	WaitEventSetWait(set, timeout, &event, 1, PG_WAIT_EXTENSION);
	FreeWaitEventSet(set);
	ResetLatch(MyLatch);
}

/*
 * One after the other, each gets two seconds to end. Pipes are closed as well when
 * this process is gone.
 */
static void
leave(int code, Datum arg)
{
	while (nkeepers > 0)
		sdes_keeper_stop(&keepers[--nkeepers]);
}

void
sdes_supervisor_main(Datum arg)
{
	MemoryContext loop;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	loop =
	    AllocSetContextCreate(TopMemoryContext, "sdes supervisor", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(loop);
	before_shmem_exit(leave, 0);
	adjust();

	while (!ShutdownRequestPending)
	{
		if (ConfigReloadPending)
			reload();
		for (int i = 0; i < nkeepers; i++)
			sdes_keeper_run(&keepers[i]);
		wait_for_something();
		MemoryContextReset(loop);
	}
	/* Status 1, not 0: the postmaster starts us again unless it shuts down. */
	proc_exit(1);
}

void
sdes_supervisor_init(void)
{
	sdes_worker_register("sdes supervisor", "sdes_supervisor_main", 0,
	                     BgWorkerStart_PostmasterStart);
}
