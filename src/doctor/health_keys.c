/*
 * health_keys.c
 *		Rows of sdes.health() about keys: whether they work, in which tokens they are, and
 *		what is there of them that should not be.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "doctor/internal.h"
#include "keyring/copies.h"
#include "keyring/destroy.h"
#include "keyring/keyring.h"
#include "sdes_errors.h"
#include "store/sites.h"

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

void
sdes_health_keys(Health *health)
{
	check_keks(health);
	check_deks(health);
	if (health->ntokens > 1)
		check_copies(health);
	check_orphans(health);
	check_destruction(health);
}

/* ---- rows that refer to keys ---- */

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
void
sdes_health_rows(Health *health)
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
