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

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "catalog/pg_extension.h"
#include "doctor/internal.h"
#include "keyring/copies.h"
#include "keyring/destroy.h"
#include "keyring/instance.h"
#include "keyring/keyring.h"
#include "policy/pan_grants.h"
#include "sdes_compat.h"
#include "sdes_crypto.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "store/sites.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

SDES_SQL_FUNCTION(sdes_health);

static Seen *
seen(Health *health)
{
	return &health->seen[health->link];
}

/* Checks of the second token are called "agent 2" and so on. */
static const char *
of_token(const Health *health, const char *check)
{
	return health->link == 0 ? check : psprintf("%s %d", check, health->link + 1);
}

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

static void
check_agent(Health *health)
{
	SdesAgentPublic published = sdes_agentlink_public(health->link);
	SdesRequest request = {.op = SDES_OP_STATUS};
	const SdesReply *reply =
	    sdes_agentlink_try_at(health->link, &request, SDES_ONCE, &seen(health)->failure);

	if (reply == NULL)
	{
		sdes_health_add(health, of_token(health, "agent"), false,
		                published.trouble[0] ? published.trouble
		                : seen(health)->failure.detail[0] != '\0'
		                    ? seen(health)->failure.detail
		                    : sdes_status_name(seen(health)->failure.status),
		                sdes_status_hint(seen(health)->failure.status));
		return;
	}
	seen(health)->asked = true;
	seen(health)->info = reply->info;
	sdes_agentlink_finish();
	seen(health)->logged_in = seen(health)->info.state == SDES_AGENT_READY;
	sdes_health_add(health, of_token(health, "agent"), true,
	                published.starts == 0
	                    ? psprintf("process %u answers", seen(health)->info.pid)
	                    : psprintf("process %u answers, started %u time(s)",
	                               seen(health)->info.pid, published.starts),
	                NULL);
}

/* A check of what comes before the login: how far the agent got tells. */
static void
check_stage(Health *health, const char *check, const char *found, SdesStatus first,
            SdesStatus last)
{
	SdesStatus status = (SdesStatus) seen(health)->info.status;
	bool failed = seen(health)->info.state == SDES_AGENT_FAILED;

	if (!seen(health)->asked)
		sdes_health_add(health, of_token(health, check), false,
		                "not known, since the agent does not answer", NULL);
	else if (failed && status >= first && status <= last)
		sdes_health_add(health, of_token(health, check), false,
		                seen(health)->info.detail[0] ? seen(health)->info.detail
		                                             : sdes_status_name(status),
		                sdes_status_hint(status));
	else if (found[0] != '\0')
		sdes_health_add(health, of_token(health, check), true, found, NULL);
	else if (failed && status > last)
		sdes_health_add(health, of_token(health, check), true,
		                "works as far as it was needed", NULL);
	else
		sdes_health_add(health, of_token(health, check), false, "not known yet",
		                "See the other checks.");
}

static void
check_login(Health *health)
{
	SdesStatus status = (SdesStatus) seen(health)->info.status;

	if (!seen(health)->asked)
		sdes_health_add(health, of_token(health, "login"), false,
		                "not known, since the agent does not answer", NULL);
	else if (seen(health)->logged_in)
		sdes_health_add(health, of_token(health, "login"), true,
		                psprintf("logged in; %u login(s) since the agent started",
		                         seen(health)->info.logins),
		                NULL);
	else if (seen(health)->info.state == SDES_AGENT_STARTING)
		sdes_health_add(health, of_token(health, "login"), false, "the agent is starting",
		                "Look again in a moment.");
	else
		sdes_health_add(health, of_token(health, "login"), false,
		                seen(health)->info.detail[0] ? seen(health)->info.detail
		                                             : sdes_status_name(status),
		                sdes_status_hint(status));
}

/* Whether requests reach the HSM, or fail at once while the agent tries to mend it. */
static void
check_hsm(Health *health)
{
	const SdesAgentInfo *info = &seen(health)->info;
	const char *why =
	    info->detail[0] ? info->detail : sdes_status_name((SdesStatus) info->status);

	if (!seen(health)->asked)
		sdes_health_add(health, of_token(health, "hsm"), false,
		                "not known, since the agent does not answer", NULL);
	else if (info->state == SDES_AGENT_STARTING)
		sdes_health_add(health, of_token(health, "hsm"), false, "the agent is starting",
		                "Look again in a moment.");
	else if (info->state == SDES_AGENT_FAILED)
		sdes_health_add(health, of_token(health, "hsm"), false,
		                psprintf("out of service for %u s: %s", info->seconds, why),
		                sdes_status_hint((SdesStatus) info->status));
	else if (sdes_agentlink_suspected(health->link, NULL))
		sdes_health_add(
		    health, of_token(health, "hsm"), false,
		    "did not answer in time: the other tokens are asked first",
		    "It is asked every other second, and takes its turn again once it answers.");
	else if (info->failures > 0)
		sdes_health_add(
		    health, of_token(health, "hsm"), false,
		    psprintf("%u failure(s) in a row, the last: %s", info->failures, why),
		    sdes_status_hint(SDES_ERR_HSM));
	else
		sdes_health_add(health, of_token(health, "hsm"), true,
		                psprintf("in service for %u s", info->seconds), NULL);
}

/* Seconds in a unit that people think in, rounded down. */
static const char *
for_people(int64 seconds)
{
	if (seconds < 2 * SECS_PER_MINUTE)
		return psprintf("%d s", (int) seconds);
	if (seconds < 2 * SECS_PER_HOUR)
		return psprintf("%d min", (int) (seconds / SECS_PER_MINUTE));
	return psprintf("%d h", (int) (seconds / SECS_PER_HOUR));
}

/* Seconds until the key that any session fetched last expires, 0 if it has. */
static int64
last_expiry(void)
{
	int64 age = GetCurrentTimestamp() - sdes_agentlink_last_fetch();

	return Max(sdes_key_cache_max_age * USECS_PER_SEC - age, 0) / USECS_PER_SEC;
}

/* Whether there is no token that serves. */
static bool
is_away(const Health *health)
{
	for (int i = 0; i < health->ntokens; i++)
		if (health->seen[i].logged_in && health->seen[i].info.failures == 0)
			return false;
	return true;
}

/*
 * How long sessions get along without the HSM. A key that is in use was fetched anew in
 * the last sdes.key_cache_ttl before the HSM went away, which was after the last fetch of
 * all: so of those keys none expires earlier than that much before the last.
 */
static void
check_cache(Health *health)
{
	bool away = is_away(health);
	int64 last = away ? last_expiry() : sdes_key_cache_max_age;
	int64 first = Max(last - sdes_key_cache_ttl, 0);
	const char *detail;

	if (!away)
		detail = psprintf("without the HSM, sessions would go on for %s to %s",
		                  for_people(first), for_people(last));
	else if (first > 0)
		detail = psprintf("sessions go on with the keys they have for another %s to %s",
		                  for_people(first), for_people(last));
	else if (last > 0)
		detail = psprintf("the keys that sessions have are expiring, the last one in %s",
		                  for_people(last));
	else
		detail = "no session has a key";
	sdes_health_add(
	    health, "cache", !away || first > 0, detail,
	    "Bring the HSM back, see the rows above. Keys that have not expired yet live on if "
	    "sdes.key_cache_max_age is raised in postgresql.conf, and the server reloaded.");
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
		sdes_health_add(health, check, false,
		                psprintf("%d of %d: %s", tally->bad, tally->total, tally->first),
		                sdes_status_hint(tally->status));
	else if (tally->total == 0)
		sdes_health_add(health, check, true, "there are no buckets yet", NULL);
	else
		sdes_health_add(health, check, true, psprintf("%d %s", tally->total, all_well),
		                NULL);
}

/* The token that a KEK is in; with one there is no other. -1: none of the settings'. */
static int
home_of(const Health *health, const SdesKekRow *kek)
{
	for (int i = 0; i < health->ntokens; i++)
		if (health->ntokens == 1 ||
		    (strcmp(health->seen[i].info.token_label, kek->token_label) == 0 &&
		     strcmp(health->seen[i].info.token_serial, kek->token_serial) == 0))
			return i;
	return -1;
}

static bool
any_login(const Health *health)
{
	bool any = false;

	for (int i = 0; i < health->ntokens; i++)
		any = any || health->seen[i].logged_in;
	return any;
}

static void
check_kek(const Health *health, const SdesKekRow *kek, Tally *tally)
{
	SdesRequest request = {.op = SDES_OP_KEK_CHECK};
	SdesLinkFailure failure = {SDES_OK};
	int home = home_of(health, kek);

	memcpy(request.kek_id, kek->id, SDES_KEK_ID_SIZE);
	if (home < 0)
	{
		failure.status = SDES_ERR_HSM_TOKEN;
		snprintf(
		    failure.detail, sizeof(failure.detail),
		    "token \"%s\" (serial \"%s\") does not answer, or is not among those of the "
		    "settings",
		    kek->token_label, kek->token_serial);
	}
	else if (sdes_agentlink_try_at(home, &request, SDES_ONCE, &failure) != NULL)
		sdes_agentlink_finish();
	count(tally, kek->bucket, failure.status, failure.detail);
}

static void
check_keks(Health *health)
{
	Tally tally = {0};
	ListCell *cell;

	if (!any_login(health))
	{
		sdes_health_add(health, "kek", false, "not known without a login", NULL);
		return;
	}
	foreach (cell, sdes_store_keks())
		if (((SdesKekRow *) lfirst(cell))->state < SDES_KEK_DESTROYING)
			check_kek(health, lfirst(cell), &tally);
	add_tally(health, "kek", &tally,
	          "key encryption key(s) in the token, non-extractable, round trip done");
}

static void
check_deks(Health *health)
{
	Tally tally = {0};
	List *deks = sdes_store_deks();
	ListCell *cell;

	if (!any_login(health))
	{
		sdes_health_add(health, "dek", false, "not known without a login", NULL);
		return;
	}
	foreach (cell, deks)
	{
		SdesDekRow *dek = lfirst(cell);
		char detail[SDES_DETAIL_MAX + 1];
		SdesStatus status;

		if (dek->state == SDES_KEY_RETIRED || dek->state == SDES_KEY_DESTROYED)
			continue;
		status = sdes_keyring_round_trip(dek, detail, sizeof(detail));
		count(&tally, dek->binding.bucket, status, detail);
	}
	add_tally(health, "dek", &tally, "data encryption key(s) unwrapped and checked");
}

/* Keys that a token could not take over, as far as tokens have told their names. */
static void
check_copies(Health *health)
{
	SdesHsmToken tokens[SDES_MAX_TOKENS];
	int n = sdes_tokens_look(tokens);
	int lacking = 0;
	const char *first = NULL;
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *dek = lfirst(cell);

		if (dek->state == SDES_KEY_DESTROYED || dek->binding.mode == SDES_MODE_HSM)
			continue;
		for (int i = 0; i < n; i++)
		{
			if (tokens[i].label[0] == '\0' || sdes_keyring_is_in(dek, &tokens[i]))
				continue;
			if (lacking++ == 0)
				first = psprintf("bucket \"%s\", token \"%s\"",
				                 bucket_name(dek->binding.bucket), tokens[i].label);
		}
	}
	sdes_health_add(health, "copies", lacking == 0,
	                lacking == 0
	                    ? "every data encryption key is wrapped in every token"
	                    : psprintf("%d wrapped key(s) lack, the first: %s", lacking, first),
	                "Run SELECT * FROM sdes.sync_tokens().");
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

/* Whether a key may be in a token, by its row. */
static bool
may_be_there(const List *keks, const uint8 *id)
{
	ListCell *cell;

	foreach (cell, keks)
	{
		const SdesKekRow *kek = lfirst(cell);

		if (memcmp(kek->id, id, SDES_KEK_ID_SIZE) == 0)
			return kek->state != SDES_KEK_DESTROYED;
	}
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

/*
 * Appends the ids of keys in a token that carry this database's label but that no row
 * knows, or whose row says that they are destroyed. False when it cannot be asked.
 */
static bool
find_orphans(int link, StringInfo ids, int *orphans, SdesLinkFailure *failure)
{
	List *keks = sdes_store_keks();
	List *sites = sdes_store_sites();
	SdesRequest request = {.op = SDES_OP_KEK_LIST};
	int listed;

	sdes_keyring_label_prefix(request.label, sizeof(request.label));
	do
	{
		const SdesReply *reply = sdes_agentlink_try_at(link, &request, SDES_ONCE, failure);

		if (reply == NULL)
			return false;
		listed = reply->nkeks;
		for (int i = 0; i < listed; i++)
		{
			if (may_be_there(keks, reply->keks[i]) || is_site_key(sites, reply->keks[i]))
				continue;
			if ((*orphans)++ > 0)
				appendStringInfoString(ids, ", ");
			for (int j = 0; j < SDES_KEK_ID_SIZE; j++)
				appendStringInfo(ids, "%02x", reply->keks[i][j]);
		}
		if (listed > 0)
			memcpy(request.kek_id, reply->keks[listed - 1], SDES_KEK_ID_SIZE);
		sdes_agentlink_finish();
	} while (listed == SDES_KEK_LIST_MAX);
	return true;
}

static void
check_orphans(Health *health)
{
	SdesLinkFailure failure;
	StringInfoData ids;
	int orphans = 0;

	if (!any_login(health))
	{
		sdes_health_add(health, "orphans", false, "not known without a login", NULL);
		return;
	}
	/* What a standby has not replayed yet is no orphan. */
	if (RecoveryInProgress())
	{
		sdes_health_add(health, "orphans", true, "for the primary to say", NULL);
		return;
	}
	initStringInfo(&ids);
	for (int link = 0; link < health->ntokens; link++)
	{
		if (!health->seen[link].logged_in)
			continue;
		if (find_orphans(link, &ids, &orphans, &failure))
			continue;
		sdes_health_add(health, "orphans", false, sdes_status_name(failure.status),
		                sdes_status_hint(failure.status));
		return;
	}
	sdes_health_add(
	    health, "orphans", orphans == 0,
	    orphans == 0
	        ? "no key of this database in the token is without its row"
	        : psprintf("%d key(s) in the token without a row: %s", orphans, ids.data),
	    "A transaction that creates a bucket is running, or one failed and its key is "
	    "about to be removed. A copy of this database (restored, cloned) has keys of the "
	    "same "
	    "label: never delete one whose id stands in sdes.kek of any copy.");
}

/* What was ordered to be destroyed and is in a token yet, as far as is known. */
static void
check_destruction(Health *health)
{
	int waiting = list_length(sdes_keyring_doomed_keks());

	sdes_health_add(
	    health, "destruction", waiting == 0,
	    waiting == 0
	        ? "no key encryption key waits to be destroyed"
	        : psprintf("%d key encryption key(s) wait to be destroyed in the HSM", waiting),
	    "SELECT * FROM sdes.destroy_keks() destroys them, and says of each that it cannot "
	    "destroy what stands in the way.");
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
		          !is_known(keks, dek->binding.kek_id) ||
		          sdes_store_reserved(dek->binding.key_id) < 0;
	}
	foreach (cell, sdes_store_access())
		strays += !has_bucket(buckets, ((SdesAccessRow *) lfirst(cell))->bucket);
	sdes_health_add(
	    health, "rows", strays == 0,
	    strays == 0
	        ? "buckets, keys and grants fit together"
	        : psprintf("%d row(s) refer to a bucket or key that is not there", strays),
	    "Rows of sdes.bucket, sdes.kek, sdes.dek, sdes.usage or sdes.access were lost. "
	    "Restore "
	    "them.");
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

/* How one token is reached, from the agent on. */
static void
check_token(Health *health)
{
	SdesAgentInfo *info = &seen(health)->info;
	char token[80];

	check_agent(health);
	check_stage(health, "module", info->module, SDES_ERR_HSM_UNSET, SDES_ERR_HSM_MODULE);
	snprintf(token, sizeof(token), "%s%s%s", info->token_label,
	         info->token_serial[0] ? ", serial " : "", info->token_serial);
	check_stage(health, "token", token, SDES_ERR_HSM_TOKEN, SDES_ERR_HSM_TOKEN);
	check_login(health);
	check_hsm(health);
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
		check_token(&health);
	check_cache(&health);
	check_rows(&health);
	check_grants(&health);
	sdes_health_audit(&health);
	check_owner(&health);
	check_keks(&health);
	check_deks(&health);
	if (health.ntokens > 1)
		check_copies(&health);
	check_orphans(&health);
	check_destruction(&health);
	return (Datum) 0;
}
