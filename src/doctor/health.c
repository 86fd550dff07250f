/*
 * health.c
 *		sdes.health(): one row per check, each with what was found and what to do. Those
 *		about the server and this database are made here.
 *
 * It never fails for what it is there to report: every check asks in a way
 * that returns a status. A check that cannot be made because an earlier one
 * failed says so instead of guessing.
 */
#include "postgres.h"

#include <sys/prctl.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "agentlink/agentlink.h"
#include "catalog/pg_extension.h"
#include "doctor/internal.h"
#include "keyring/instance.h"
#include "policy/pan_grants.h"
#include "sdes_compat.h"
#include "sdes_crypto.h"
#include "sdes_guc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

SDES_SQL_FUNCTION(sdes_health);

void
sdes_health_add(Health *health, const char *check, bool ok, const char *detail,
                const char *hint)
{
	Datum values[4];
	bool nulls[4] = {false};

	values[0] = CStringGetTextDatum(check);
	values[1] = BoolGetDatum(ok);
	values[2] = CStringGetTextDatum(detail);
	nulls[3] = ok || hint == NULL;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(hint);
	tuplestore_putvalues(health->result->setResult, health->result->setDesc, values, nulls);
}

static void
check_preload(Health *health)
{
	sdes_health_add(
	    health, "preload", sdes_is_preloaded(),
	    sdes_is_preloaded() ? "sdes was loaded when the server started"
	                        : "sdes was not loaded when the server started",
	    "Add 'sdes' to shared_preload_libraries in postgresql.conf and restart the "
	    "server.");
}

/* Of the extension in this database. */
static const char *
installed_version(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	const char *version = "?";
	HeapTuple tuple;
	ScanKeyData key;
	SysScanDesc scan;
	bool null;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
	            CStringGetDatum("sdes"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		version = TextDatumGetCString(heap_getattr(tuple, Anum_pg_extension_extversion,
		                                           RelationGetDescr(rel), &null));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

static void
check_version(Health *health)
{
	const char *version = installed_version();
	bool ok = strcmp(version, SDES_VERSION) == 0;

	sdes_health_add(
	    health, "version", ok,
	    ok ? "version " SDES_VERSION
	       : psprintf("the server runs version %s, the extension in this "
	                  "database is of version %s",
	                  SDES_VERSION, version),
	    "Run ALTER EXTENSION sdes UPDATE as a superuser, in each database. If the "
	    "server's version is the older one, restart it before.");
}

static void
check_processes(Health *health)
{
	if (prctl(PR_GET_DUMPABLE) != 0)
		sdes_health_add(
		    health, "memory", false, "processes of this server can be dumped and traced",
		    "The operating system refused PR_SET_DUMPABLE; see the server log.");
	else if (!sdes_agentlink_is_private())
		sdes_health_add(health, "memory", false,
		                "programs outside can attach to the shared memory",
		                "Set shared_memory_type = mmap and restart the server.");
	else
		sdes_health_add(health, "memory", true,
		                "processes of this server cannot be dumped or traced", NULL);
}

/* Whose AES this is, and whether a faster one was passed over for its self-test. */
static void
check_crypto(Health *health)
{
	SdesProviderChoice choice = sdes_crypto_choice();
	const char *used = choice.provider == NULL
	                       ? "no provider can be used"
	                       : psprintf("AES-256-GCM by %s, HMAC-SHA-256 by %s%s",
	                                  choice.provider->aead_by, choice.provider->mac_by,
	                                  choice.fips ? ", which is in FIPS mode" : "");

	sdes_health_add(health, "crypto", choice.failed == NULL && choice.provider != NULL,
	                choice.failed == NULL ? used
	                                      : psprintf("%s; \"%s\" fails its self-test: %s",
	                                                 used, choice.failed->name, choice.why),
	                "Install another version of that library and restart the server, or "
	                "set sdes.crypto_provider.");
}

static void
check_supervisor(Health *health)
{
	SdesAgentPublic published = sdes_agentlink_public(health->link);
	bool ok = published.supervisor_pid != 0;

	sdes_health_add(
	    health, "workers", ok,
	    ok ? psprintf("supervisor runs as process %d", (int) published.supervisor_pid)
	       : "supervisor is not running",
	    "It is started again within a second. If it stays away, see the server log, "
	    "and whether max_worker_processes leaves room for it.");
}

/* A copy of a database shares keys with the original, which neither may destroy. */
static void
check_owner(Health *health)
{
	bool owner = sdes_instance_is_owner();

	sdes_health_add(
	    health, "owner", owner,
	    owner ? "this database owns its keys"
	          : "this database is a copy of the one that owns its keys",
	    "It was restored or made of a template. If the original is gone, or this copy "
	    "shall "
	    "have keys of its own: SELECT sdes.adopt_keys().");
}

/* What memberships have added up to; grants themselves are judged when they are made. */
static void
check_grants(Health *health)
{
	const char *found = NULL;
	ListCell *cell;

	foreach (cell, sdes_store_buckets())
	{
		SdesBucketRow *bucket = lfirst(cell);
		const char *guesser = sdes_pan_guesser(bucket->uuid, InvalidOid);

		if (guesser != NULL && sdes_store_has_column(SDES_ENC_PAN, bucket->hash))
			found = psprintf("role \"%s\" could find out card numbers of bucket \"%s\" by "
			                 "guessing",
			                 guesser, bucket->name);
	}
	sdes_health_add(
	    health, "grants", found == NULL,
	    found ? found : "no role could find out card numbers by guessing",
	    "It holds mask together with search or encrypt, and without decrypt, maybe by a "
	    "role that it is a member of. End that, or grant one of them again with force => "
	    "true.");
}

Datum
sdes_health(PG_FUNCTION_ARGS)
{
	Health health = {0};

	InitMaterializedSRF(fcinfo, 0);
	health.result = (ReturnSetInfo *) fcinfo->resultinfo;
	check_preload(&health);
	if (!sdes_is_preloaded())
		return (Datum) 0;
	health.ntokens = sdes_agentlink_count();
	check_version(&health);
	check_processes(&health);
	check_crypto(&health);
	check_supervisor(&health);
	for (health.link = 0; health.link < health.ntokens; health.link++)
		sdes_health_token(&health);
	sdes_health_cache(&health);
	sdes_health_rows(&health);
	check_grants(&health);
	sdes_health_audit(&health);
	check_owner(&health);
	sdes_health_keys(&health);
	return (Datum) 0;
}
