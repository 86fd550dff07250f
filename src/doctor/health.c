/*
 * health.c
 *		sdes.health(): one row per check, each with what was found and what to do.
 *
 * It never fails for what it is there to report: every check asks in a way
 * that returns a status. A check that cannot be made because an earlier one
 * failed says so instead of guessing.
 */
#include "postgres.h"

#include <sys/prctl.h>

#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "keyring/instance.h"
#include "keyring/keyring.h"
#include "policy/pan_grants.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "store/sites.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_health);

typedef struct Health
{
	ReturnSetInfo *result;
	bool asked;     /* the agent answered */
	bool logged_in; /* and is logged in */
	SdesAgentInfo info;
	SdesLinkFailure failure; /* why it did not answer */
} Health;

static void
add(Health *health, const char *check, bool ok, const char *detail, const char *hint)
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
	add(health, "preload", sdes_is_preloaded(),
	    sdes_is_preloaded() ? "sdes was loaded when the server started"
	                        : "sdes was not loaded when the server started",
	    "Add 'sdes' to shared_preload_libraries in postgresql.conf and restart the "
	    "server.");
}

static void
check_processes(Health *health)
{
	if (prctl(PR_GET_DUMPABLE) != 0)
		add(health, "memory", false, "processes of this server can be dumped and traced",
		    "The operating system refused PR_SET_DUMPABLE; see the server log.");
	else if (!sdes_agentlink_is_private())
		add(health, "memory", false, "programs outside can attach to the shared memory",
		    "Set shared_memory_type = mmap and restart the server.");
	else
		add(health, "memory", true, "processes of this server cannot be dumped or traced",
		    NULL);
}

static void
check_supervisor(Health *health)
{
	SdesAgentPublic published = sdes_agentlink_public();
	bool ok = published.supervisor_pid != 0;

	add(health, "workers", ok,
	    ok ? psprintf("supervisor runs as process %d", (int) published.supervisor_pid)
	       : "supervisor is not running",
	    "It is started again within a second. If it stays away, see the server log, "
	    "and whether max_worker_processes leaves room for it.");
}

static void
check_agent(Health *health)
{
	SdesAgentPublic published = sdes_agentlink_public();
	SdesRequest request = {.op = SDES_OP_STATUS};
	const SdesReply *reply = sdes_agentlink_try(&request, false, &health->failure);

	if (reply == NULL)
	{
		add(health, "agent", false,
		    published.trouble[0]                ? published.trouble
		    : health->failure.detail[0] != '\0' ? health->failure.detail
		                                        : sdes_status_name(health->failure.status),
		    sdes_status_hint(health->failure.status));
		return;
	}
	health->asked = true;
	health->info = reply->info;
	sdes_agentlink_finish();
	health->logged_in = health->info.state == SDES_AGENT_READY;
	add(health, "agent", true,
	    published.starts == 0 ? psprintf("process %u answers", health->info.pid)
	                          : psprintf("process %u answers, started %u time(s)",
	                                     health->info.pid, published.starts),
	    NULL);
}

/* A check of what comes before the login: how far the agent got tells. */
static void
check_stage(Health *health, const char *check, const char *found, SdesStatus first,
            SdesStatus last)
{
	SdesStatus status = (SdesStatus) health->info.status;
	bool failed = health->info.state == SDES_AGENT_FAILED;

	if (!health->asked)
		add(health, check, false, "not known, since the agent does not answer", NULL);
	else if (failed && status >= first && status <= last)
		add(health, check, false,
		    health->info.detail[0] ? health->info.detail : sdes_status_name(status),
		    sdes_status_hint(status));
	else if (found[0] != '\0')
		add(health, check, true, found, NULL);
	else if (failed && status > last)
		add(health, check, true, "works as far as it was needed", NULL);
	else
		add(health, check, false, "not known yet", "See the other checks.");
}

static void
check_login(Health *health)
{
	SdesStatus status = (SdesStatus) health->info.status;

	if (!health->asked)
		add(health, "login", false, "not known, since the agent does not answer", NULL);
	else if (health->logged_in)
		add(health, "login", true,
		    psprintf("logged in; %u login(s) since the agent started", health->info.logins),
		    NULL);
	else if (health->info.state == SDES_AGENT_STARTING)
		add(health, "login", false, "the agent is starting", "Look again in a moment.");
	else
		add(health, "login", false,
		    health->info.detail[0] ? health->info.detail : sdes_status_name(status),
		    sdes_status_hint(status));
}

/* Whether requests reach the HSM, or fail at once while the agent tries to mend it. */
static void
check_hsm(Health *health)
{
	const SdesAgentInfo *info = &health->info;
	const char *why =
	    info->detail[0] ? info->detail : sdes_status_name((SdesStatus) info->status);

	if (!health->asked)
		add(health, "hsm", false, "not known, since the agent does not answer", NULL);
	else if (info->state == SDES_AGENT_STARTING)
		add(health, "hsm", false, "the agent is starting", "Look again in a moment.");
	else if (info->state == SDES_AGENT_FAILED)
		add(health, "hsm", false,
		    psprintf("out of service for %u s: %s", info->seconds, why),
		    sdes_status_hint((SdesStatus) info->status));
	else if (info->failures > 0)
		add(health, "hsm", false,
		    psprintf("%u failure(s) in a row, the last: %s", info->failures, why),
		    sdes_status_hint(SDES_ERR_HSM));
	else
		add(health, "hsm", true, psprintf("in service for %u s", info->seconds), NULL);
}

static const char *
bucket_name(const uint8 *uuid)
{
	SdesBucketRow row;

	return sdes_store_bucket_by_uuid(uuid, &row) ? pstrdup(row.name) : "?";
}

/* What is the matter with the first bad one, and how many there are. */
typedef struct Tally
{
	int total;
	int bad;
	SdesStatus status;
	const char *first;
} Tally;

static void
count(Tally *tally, const uint8 *bucket, SdesStatus status, const char *detail)
{
	tally->total++;
	if (status == SDES_OK)
		return;
	if (tally->bad++ == 0)
	{
		tally->status = status;
		tally->first = psprintf("bucket \"%s\": %s%s%s", bucket_name(bucket),
		                        sdes_status_name(status), detail[0] ? ": " : "", detail);
	}
}

static void
add_tally(Health *health, const char *check, const Tally *tally, const char *all_well)
{
	if (tally->bad > 0)
		add(health, check, false,
		    psprintf("%d of %d: %s", tally->bad, tally->total, tally->first),
		    sdes_status_hint(tally->status));
	else if (tally->total == 0)
		add(health, check, true, "there are no buckets yet", NULL);
	else
		add(health, check, true, psprintf("%d %s", tally->total, all_well), NULL);
}

static void
check_keks(Health *health)
{
	Tally tally = {0};
	List *keks = sdes_store_keks();
	ListCell *cell;

	if (!health->logged_in)
	{
		add(health, "kek", false, "not known without a login", NULL);
		return;
	}
	foreach (cell, keks)
	{
		SdesKekRow *kek = lfirst(cell);
		SdesRequest request = {.op = SDES_OP_KEK_CHECK};
		SdesLinkFailure failure = {SDES_OK};

		memcpy(request.kek_id, kek->id, SDES_KEK_ID_SIZE);
		if (sdes_agentlink_try(&request, false, &failure) != NULL)
			sdes_agentlink_finish();
		count(&tally, kek->bucket, failure.status, failure.detail);
	}
	add_tally(health, "kek", &tally,
	          "key encryption key(s) in the token, non-extractable, round trip done");
}

static void
check_deks(Health *health)
{
	Tally tally = {0};
	List *deks = sdes_store_deks();
	ListCell *cell;

	if (!health->logged_in)
	{
		add(health, "dek", false, "not known without a login", NULL);
		return;
	}
	foreach (cell, deks)
	{
		SdesDekRow *dek = lfirst(cell);
		char detail[SDES_DETAIL_MAX + 1];
		SdesStatus status;

		if (dek->state != SDES_KEY_ACTIVE && dek->state != SDES_KEY_DECRYPT_ONLY)
			continue;
		status = sdes_keyring_round_trip(dek, detail, sizeof(detail));
		count(&tally, dek->binding.bucket, status, detail);
	}
	add_tally(health, "dek", &tally, "data encryption key(s) unwrapped and checked");
}

static bool
is_known(const List *keks, const uint8 *id)
{
	ListCell *cell;

	foreach (cell, keks)
		if (memcmp(((SdesKekRow *) lfirst(cell))->id, id, SDES_KEK_ID_SIZE) == 0)
			return true;
	return false;
}

/* One of the two keys of this site. */
static bool
is_site_key(const List *sites, const uint8 *id)
{
	ListCell *cell;

	foreach (cell, sites)
	{
		const SdesSiteRow *site = lfirst(cell);

		if (site->own && (memcmp(site->signing_key, id, SDES_KEK_ID_SIZE) == 0 ||
		                  memcmp(site->encryption_key, id, SDES_KEK_ID_SIZE) == 0 ||
		                  memcmp(site->kem_key, id, SDES_KEK_ID_SIZE) == 0))
			return true;
	}
	return false;
}

/* Keys in the token that carry this database's label but that no row knows. */
static void
check_orphans(Health *health)
{
	SdesRequest request = {.op = SDES_OP_KEK_LIST};
	SdesLinkFailure failure;
	List *keks = sdes_store_keks();
	List *sites = sdes_store_sites();
	StringInfoData ids;
	int orphans = 0;
	int listed;

	if (!health->logged_in)
	{
		add(health, "orphans", false, "not known without a login", NULL);
		return;
	}
	/* What a standby has not replayed yet is no orphan. */
	if (RecoveryInProgress())
	{
		add(health, "orphans", true, "for the primary to say", NULL);
		return;
	}
	initStringInfo(&ids);
	sdes_keyring_label_prefix(request.label, sizeof(request.label));
	do
	{
		const SdesReply *reply = sdes_agentlink_try(&request, false, &failure);

		if (reply == NULL)
		{
			add(health, "orphans", false, sdes_status_name(failure.status),
			    sdes_status_hint(failure.status));
			return;
		}
		listed = reply->nkeks;
		for (int i = 0; i < listed; i++)
		{
			if (is_known(keks, reply->keks[i]) || is_site_key(sites, reply->keks[i]))
				continue;
			if (orphans++ > 0)
				appendStringInfoString(&ids, ", ");
			for (int j = 0; j < SDES_KEK_ID_SIZE; j++)
				appendStringInfo(&ids, "%02x", reply->keks[i][j]);
		}
		if (listed > 0)
			memcpy(request.kek_id, reply->keks[listed - 1], SDES_KEK_ID_SIZE);
		sdes_agentlink_finish();
	} while (listed == SDES_KEK_LIST_MAX);

	add(health, "orphans", orphans == 0,
	    orphans == 0
	        ? "no key of this database in the token is without its row"
	        : psprintf("%d key(s) in the token without a row: %s", orphans, ids.data),
	    "A transaction that creates a bucket is running, or one failed and its key is "
	    "about to be removed. A copy of this database (restored, cloned) has keys of the "
	    "same "
	    "label: never delete one whose id stands in sdes.kek of any copy.");
}

static bool
has_bucket(const List *buckets, const uint8 *uuid)
{
	ListCell *cell;

	foreach (cell, buckets)
		if (memcmp(((SdesBucketRow *) lfirst(cell))->uuid, uuid, SDES_UUID_SIZE) == 0)
			return true;
	return false;
}

/* The tables have no foreign keys: a parallel restore loads them in any order. */
static void
check_rows(Health *health)
{
	List *buckets = sdes_store_buckets();
	List *keks = sdes_store_keks();
	int strays = 0;
	ListCell *cell;

	foreach (cell, keks)
		strays += !has_bucket(buckets, ((SdesKekRow *) lfirst(cell))->bucket);
	foreach (cell, sdes_store_deks())
	{
		SdesDekRow *dek = lfirst(cell);

		strays += !has_bucket(buckets, dek->binding.bucket) ||
		          !is_known(keks, dek->binding.kek_id);
	}
	foreach (cell, sdes_store_access())
		strays += !has_bucket(buckets, ((SdesAccessRow *) lfirst(cell))->bucket);
	add(health, "rows", strays == 0,
	    strays == 0
	        ? "buckets, keys and grants fit together"
	        : psprintf("%d row(s) refer to a bucket or key that is not there", strays),
	    "Rows of sdes.bucket, sdes.kek, sdes.dek or sdes.access were lost. Restore them.");
}

/* A copy of a database shares keys with the original, which neither may destroy. */
static void
check_owner(Health *health)
{
	bool owner = sdes_instance_is_owner();

	add(health, "owner", owner,
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
	add(health, "grants", found == NULL,
	    found ? found : "no role could find out card numbers by guessing",
	    "It holds mask together with search or encrypt, and without decrypt, maybe by a "
	    "role that it is a member of. End that, or grant one of them again with force => "
	    "true.");
}

Datum
sdes_health(PG_FUNCTION_ARGS)
{
	Health health = {0};
	char token[80];

	InitMaterializedSRF(fcinfo, 0);
	health.result = (ReturnSetInfo *) fcinfo->resultinfo;
	check_preload(&health);
	if (!sdes_is_preloaded())
		return (Datum) 0;
	check_processes(&health);
	check_supervisor(&health);
	check_agent(&health);
	check_stage(&health, "module", health.info.module, SDES_ERR_HSM_UNSET,
	            SDES_ERR_HSM_MODULE);
	snprintf(token, sizeof(token), "%s%s%s", health.info.token_label,
	         health.info.token_serial[0] ? ", serial " : "", health.info.token_serial);
	check_stage(&health, "token", token, SDES_ERR_HSM_TOKEN, SDES_ERR_HSM_TOKEN);
	check_login(&health);
	check_hsm(&health);
	check_rows(&health);
	check_grants(&health);
	check_owner(&health);
	check_keks(&health);
	check_deks(&health);
	check_orphans(&health);
	return (Datum) 0;
}
