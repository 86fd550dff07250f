/*
 * register.c
 *		Background workers that are there as long as the server is.
 */
#include "postgres.h"

#include "worker/register.h"

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
