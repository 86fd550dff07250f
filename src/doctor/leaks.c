/*
 * leaks.c
 *		What sdes.leak_check() does not find in catalogs: how the server was started, what
 *		its processes let others see, where its journal is.
 *
 * The rest of that function is SQL, in the extension's script.
 */
#include "postgres.h"

#include <sys/prctl.h>

#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_server_leaks);

typedef struct Leak
{
	const char *severity; /* high, medium, low */
	const char *leak;     /* of what kind */
	const char *object;
	const char *detail;
	const char *remedy;
} Leak;

static void
add(ReturnSetInfo *result, const Leak *leak)
{
	Datum values[5] = {
	    CStringGetTextDatum(leak->severity), CStringGetTextDatum(leak->leak),
	    CStringGetTextDatum(leak->object),   CStringGetTextDatum(leak->detail),
	    CStringGetTextDatum(leak->remedy),
	};
	bool nulls[5] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Nothing guards columns, results or processes then, and no setting of ours is there. */
static void
check_preload(ReturnSetInfo *result)
{
	Leak leak = {
	    "high", "preload", "shared_preload_libraries",
	    "sdes was not loaded when the server started: nothing keeps plaintext out of "
	    "columns and the server log",
	    "Add 'sdes' to shared_preload_libraries in postgresql.conf and restart the "
	    "server."};

	if (!sdes_is_preloaded())
		add(result, &leak);
}

static void
check_memory(ReturnSetInfo *result)
{
	Leak dump = {"high", "memory", "processes",
	             "programs of the server's user can read keys and values in its memory, "
	             "and so can who reads a core file",
	             "The operating system refused PR_SET_DUMPABLE: see the server log."};
	Leak attach = {"medium", "memory", "shared memory",
	               "programs of the server's user can attach to it",
	               "Set shared_memory_type = mmap and restart the server."};

	if (prctl(PR_GET_DUMPABLE) != 0)
		add(result, &dump);
	if (!sdes_agentlink_is_private())
		add(result, &attach);
}

/* The folder as it is in the file system, whatever links lead to it. */
static void
check_journal(ReturnSetInfo *result)
{
	char folder[MAXPGPATH];
	char *real_folder;
	char *real_data = realpath(DataDir, NULL);
	Leak leak = {"low", "audit", "sdes.audit_directory",
	             "the audit journal is in the data directory: base backups copy it, and "
	             "who restores one goes back in it",
	             "Set sdes.audit_directory to a folder elsewhere and restart the server."};

	sdes_audit_directory_path(folder);
	real_folder = realpath(folder, NULL);
	if (real_folder != NULL && real_data != NULL &&
	    path_is_prefix_of_path(real_data, real_folder))
		add(result, &leak);
	free(real_folder);
	free(real_data);
}

Datum
sdes_server_leaks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result;

	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	check_preload(result);
	if (sdes_is_preloaded())
	{
		check_memory(result);
		check_journal(result);
	}
	return (Datum) 0;
}
