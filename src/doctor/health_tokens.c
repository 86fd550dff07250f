/*
 * health_tokens.c
 *		Rows of sdes.health() about each token, from its agent to the HSM, and how long
 *		sessions get along without.
 */
#include "postgres.h"

#include "agentlink/agentlink.h"
#include "doctor/internal.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "utils/timestamp.h"

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

/* How one token is reached, from the agent on. */
void
sdes_health_token(Health *health)
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

/* ---- without the HSM ---- */

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
void
sdes_health_cache(Health *health)
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
