/*
 * keeper.c
 *		The life of one token's agent.
 *
 * It never calls into the HSM and never waits for the agent: a hung HSM is the
 * agent's to report.
 */
#include "postgres.h"

#include "worker/keeper.h"

#include <sys/wait.h>
#include <unistd.h>

#include "agent/backoff.h"
#include "crypto/kdf.h"
#include "crypto/mac.h"
#include "miscadmin.h"
#include "sdes_guc.h"
#include "utils/timestamp.h"

#define TICK_MS          1000
#define HEALTHY_AFTER_MS 10000 /* an agent that lived so long starts anew at once */
#define STUCK_AFTER_MS   5000  /* without an answer to a status request, or a probe */
#define ORPHAN_RETRY_MS  5000
#define TOKEN_DIGITS     16 /* hexadecimal, of a token's folder */

static TimestampTz
after_ms(int ms)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

static bool
runs_own_agent(void)
{
	return sdes_agent_socket[0] == '\0';
}

static void
publish(SdesKeeper *keeper)
{
	keeper->published.supervisor_pid = MyProcPid;
	keeper->published.agent_pid = keeper->process.pid;
	sdes_agentlink_publish(keeper->link, &keeper->published, keeper->config.secret);
}

/* The log says which token it is about where there are several. */
static const char *
whose(const SdesKeeper *keeper)
{
	return sdes_agentlink_count() > 1 ? psprintf(" of token %d", keeper->link + 1) : "";
}

/*
 * Where an agent notes that its PIN was refused: by the token's URI, so that another
 * order of the tokens, or another token before it, does not have a PIN tried again.
 */
static void
set_state_directory(SdesAgentConfig *config)
{
	SdesBytes uri = sdes_bytes(config->token, strlen(config->token));
	uint8 digest[SDES_DIGEST_SIZE];
	char *at = config->state_directory;

	at += snprintf(at, SDES_CONFIG_VALUE_SIZE, SDES_STATE_DIRECTORY "/token-");
	if (sdes_sha256(&uri, 1, digest) != SDES_OK)
		memset(digest, 0, sizeof(digest));
	sdes_hex(sdes_bytes(digest, TOKEN_DIGITS / 2), at);
}

static void
read_config(const SdesKeeper *keeper, SdesAgentConfig *config)
{
	memset(config, 0, sizeof(*config));
	strlcpy(config->module, sdes_pkcs11_module, sizeof(config->module));
	strlcpy(config->init_args, sdes_pkcs11_init_args, sizeof(config->init_args));
	strlcpy(config->pin_source, sdes_pin_source, sizeof(config->pin_source));
	sdes_config_take_token(sdes_pkcs11_token, keeper->link, config);
	sdes_agentlink_socket(keeper->link, config->socket);
	set_state_directory(config);
	strlcpy(config->forbidden_directory, DataDir, sizeof(config->forbidden_directory));
	config->has_secret = true;
}

static void
forget_token(SdesKeeper *keeper)
{
	keeper->published.token_label[0] = '\0';
	keeper->published.token_serial[0] = '\0';
}

/* An agent that cannot be started, or died young, is tried ever more slowly. */
static void
pause_before_start(SdesKeeper *keeper)
{
	keeper->pause_ms = sdes_backoff_next(keeper->pause_ms);
	keeper->start_again_at = after_ms(keeper->pause_ms);
}

/* Says why the agent cannot be started, once, and tries ever more slowly. */
static void
note_trouble(SdesKeeper *keeper, const char *trouble)
{
	if (strcmp(keeper->published.trouble, trouble) != 0)
		ereport(LOG, (errmsg("sdes: %s", trouble)));
	strlcpy(keeper->published.trouble, trouble, sizeof(keeper->published.trouble));
	pause_before_start(keeper);
}

static void
start_agent(SdesKeeper *keeper)
{
	char trouble[sizeof(keeper->published.trouble)];

	read_config(keeper, &keeper->config);
	keeper->start_again_at = after_ms(SDES_BACKOFF_MAX_MS);
	if (sdes_random(keeper->config.secret, SDES_AGENT_SECRET_SIZE) != SDES_OK)
		return;
	/* The secret first: whoever reaches the new agent must know it. */
	publish(keeper);
	if (!sdes_agentlink_is_private())
		note_trouble(keeper,
		             "shared_memory_type must be mmap: other programs of the server's user "
		             "can attach to any other kind and read the agent's secret");
	else if (!sdes_agent_process_start(&keeper->process, &keeper->config, trouble,
	                                   sizeof(trouble)))
		note_trouble(keeper, trouble);
	else
	{
		keeper->published.trouble[0] = '\0';
		keeper->published.starts++;
		keeper->started_at = GetCurrentTimestamp();
	}
	publish(keeper);
}

static void
drop_conversation(SdesKeeper *keeper)
{
	sdes_client_close(keeper->client);
	keeper->want = SDES_CLIENT_DONE;
	keeper->asked_at = after_ms(TICK_MS);
}

static void
note_death(SdesKeeper *keeper, int status)
{
	if (WIFSIGNALED(status))
		ereport(LOG, (errmsg("sdes: key agent%s was ended by signal %d", whose(keeper),
		                     WTERMSIG(status))));
	else
		ereport(LOG, (errmsg("sdes: key agent%s exited with status %d", whose(keeper),
		                     WEXITSTATUS(status))));
	drop_conversation(keeper);
	if (TimestampDifferenceExceeds(keeper->started_at, GetCurrentTimestamp(),
	                               HEALTHY_AFTER_MS))
		keeper->pause_ms = 0;
	pause_before_start(keeper);
	publish(keeper);
}

static void
replace_agent(SdesKeeper *keeper, const char *why)
{
	ereport(LOG, (errmsg("sdes: replacing the key agent%s: %s", whose(keeper), why)));
	sdes_agent_process_stop(&keeper->process);
	drop_conversation(keeper);
	keeper->start_again_at = GetCurrentTimestamp();
	publish(keeper);
}

void
sdes_keeper_reload(SdesKeeper *keeper)
{
	SdesAgentConfig now;

	if (!runs_own_agent())
		return;
	read_config(keeper, &now);
	memcpy(now.secret, keeper->config.secret, sizeof(now.secret));
	if (memcmp(&now, &keeper->config, sizeof(now)) == 0)
		return;
	keeper->pause_ms = 0;
	forget_token(keeper);
	/* What was suspected of one token is not said of another. */
	sdes_agentlink_trust(keeper->link);
	if (keeper->process.pid != 0)
		replace_agent(keeper, "its settings changed");
	else
		keeper->start_again_at = GetCurrentTimestamp();
}

/* ---- talking to the agent ---- */

static void
ask(SdesKeeper *keeper, const SdesRequest *request)
{
	char path[SDES_SOCKET_SIZE];

	sdes_agentlink_socket(keeper->link, path);
	keeper->asked = request->op;
	keeper->heard &= request->op != SDES_OP_STATUS;
	keeper->asked_at = GetCurrentTimestamp();
	keeper->want = sdes_client_begin(
	    keeper->client, path, runs_own_agent() ? keeper->config.secret : NULL, request);
}

/*
 * Of a token that did not answer in time: does it do now what it was asked for? The
 * list of keys of a label that there is none of takes a call into the module, too.
 */
static bool
make_probe(const SdesKeeper *keeper, SdesRequest *request)
{
	static const uint8 none[SDES_KEK_ID_SIZE] = {0};

	if (!sdes_agentlink_suspected(keeper->link, request->kek_id))
		return false;
	request->op = SDES_OP_KEK_CHECK;
	if (memcmp(request->kek_id, none, sizeof(none)) == 0)
	{
		request->op = SDES_OP_KEK_LIST;
		strcpy(request->label, "sdes probe");
	}
	return true;
}

static void
ask_next(SdesKeeper *keeper)
{
	SdesRequest request = {.op = SDES_OP_STATUS};

	if (!keeper->has_orphan)
		keeper->has_orphan = sdes_agentlink_take_orphan(keeper->link, &keeper->orphan);
	if (keeper->has_orphan && GetCurrentTimestamp() >= keeper->orphan_at)
	{
		request.op = SDES_OP_KEK_DESTROY;
		memcpy(request.kek_id, keeper->orphan.kek_id, SDES_KEK_ID_SIZE);
		ask(keeper, &request);
	}
	else if (GetCurrentTimestamp() >= keeper->asked_at ||
	         (keeper->heard && keeper->published.token_label[0] == '\0'))
	{
		keeper->probed = !keeper->probed && make_probe(keeper, &request);
		ask(keeper, &request);
	}
}

/* A key that this token does not have may be in the next one, if settings changed. */
static void
conclude_orphan(SdesKeeper *keeper, SdesStatus status)
{
	int n = sdes_agentlink_count();

	if (status == SDES_ERR_HSM_KEY_MISSING && ++keeper->orphan.asked < n)
	{
		keeper->orphan.link = (keeper->link + 1) % n;
		sdes_agentlink_put_orphan(&keeper->orphan);
		keeper->has_orphan = false;
	}
	else
		keeper->has_orphan = status != SDES_OK && status != SDES_ERR_HSM_KEY_MISSING;
	keeper->orphan_at = after_ms(keeper->has_orphan ? ORPHAN_RETRY_MS : 0);
}

static void
note_token(SdesKeeper *keeper, const SdesAgentInfo *info)
{
	SdesAgentPublic *published = &keeper->published;

	if (info->token_label[0] == '\0' ||
	    (strcmp(published->token_label, info->token_label) == 0 &&
	     strcmp(published->token_serial, info->token_serial) == 0))
		return;
	strlcpy(published->token_label, info->token_label, sizeof(published->token_label));
	strlcpy(published->token_serial, info->token_serial, sizeof(published->token_serial));
	publish(keeper);
}

/* An answer, or none: the next question may be asked. */
static void
conclude(SdesKeeper *keeper)
{
	bool answered = keeper->want == SDES_CLIENT_DONE;
	const SdesReply *reply = answered ? sdes_client_reply(keeper->client) : NULL;
	SdesStatus status = answered ? reply->status : SDES_ERR_AGENT_LOST;

	if (keeper->asked == SDES_OP_KEK_DESTROY)
		conclude_orphan(keeper, status);
	else if (keeper->asked == SDES_OP_STATUS && status == SDES_OK)
		note_token(keeper, &reply->info);
	/* Whatever else it says, it says in time. */
	else if (answered && keeper->asked != SDES_OP_STATUS && status != SDES_ERR_HSM_TIMEOUT)
		sdes_agentlink_trust(keeper->link);
	if (answered)
		sdes_client_finish(keeper->client);
	else
		sdes_client_close(keeper->client);
	keeper->want = SDES_CLIENT_DONE;
	keeper->asked_at = after_ms(TICK_MS);
}

static bool
conversing(const SdesKeeper *keeper)
{
	return keeper->want == SDES_CLIENT_READ || keeper->want == SDES_CLIENT_WRITE;
}

/* A status is answered at once; a key is destroyed, or not, within the agent's deadline. */
static int
patience_ms(const SdesKeeper *keeper)
{
	return keeper->asked == SDES_OP_KEK_DESTROY ? SDES_LINK_TIMEOUT_MS : STUCK_AFTER_MS;
}

/*
 * No answer: our own agent is replaced, of another the connection is dropped. What a
 * probe is not answered for is the module's fault, which the agent sees to.
 */
static void
give_up(SdesKeeper *keeper)
{
	if (keeper->asked == SDES_OP_KEK_DESTROY)
		keeper->orphan_at = after_ms(ORPHAN_RETRY_MS);
	if (runs_own_agent() && !keeper->probed)
		replace_agent(keeper, "it does not answer");
	else
		drop_conversation(keeper);
}

static void
converse(SdesKeeper *keeper)
{
	if (conversing(keeper))
	{
		keeper->want = sdes_client_step(keeper->client);
		if (!conversing(keeper))
			conclude(keeper);
		else if (TimestampDifferenceExceeds(keeper->asked_at, GetCurrentTimestamp(),
		                                    patience_ms(keeper)))
			give_up(keeper);
	}
	if (!conversing(keeper) && (keeper->process.pid != 0 || !runs_own_agent()))
	{
		ask_next(keeper);
		if (keeper->want == SDES_CLIENT_FAILED)
			conclude(keeper);
	}
}

/* ---- what the supervisor calls ---- */

/* It says that its state has changed: it may know its token now. */
static void
listen_to_agent(SdesKeeper *keeper)
{
	bool said_something;

	if (!sdes_agent_process_drain(&keeper->process, &said_something))
	{
		/* It closed its output: it is dying, and waitpid() will soon say so. */
		close(keeper->process.news);
		keeper->process.news = -1;
	}
	keeper->heard |= said_something;
}

static void
look_after_agent(SdesKeeper *keeper)
{
	int status;

	if (!runs_own_agent())
		return;
	if (keeper->process.news >= 0)
		listen_to_agent(keeper);
	if (sdes_agent_process_reap(&keeper->process, &status))
		note_death(keeper, status);
	if (keeper->process.pid == 0 && GetCurrentTimestamp() >= keeper->start_again_at)
		start_agent(keeper);
}

bool
sdes_keeper_init(SdesKeeper *keeper, int link)
{
	static const SdesAgentProcess none = SDES_NO_AGENT_PROCESS;

	memset(keeper, 0, sizeof(*keeper));
	keeper->link = link;
	keeper->process = none;
	keeper->want = SDES_CLIENT_DONE;
	keeper->client = sdes_client_new();
	if (keeper->client == NULL)
		return false;
	publish(keeper);
	return true;
}

void
sdes_keeper_run(SdesKeeper *keeper)
{
	look_after_agent(keeper);
	converse(keeper);
}

void
sdes_keeper_stop(SdesKeeper *keeper)
{
	if (keeper->client == NULL)
		return;
	if (keeper->has_orphan)
		sdes_agentlink_put_orphan(&keeper->orphan);
	sdes_agent_process_stop(&keeper->process);
	sdes_client_free(keeper->client);
	keeper->client = NULL;
	sdes_wipe(keeper->config.secret, sizeof(keeper->config.secret));
	memset(&keeper->published, 0, sizeof(keeper->published));
	sdes_agentlink_trust(keeper->link);
	sdes_agentlink_publish(keeper->link, &keeper->published, keeper->config.secret);
}

long
sdes_keeper_wait_ms(const SdesKeeper *keeper)
{
	long left = TICK_MS;

	if (runs_own_agent() && keeper->process.pid == 0)
		left =
		    TimestampDifferenceMilliseconds(GetCurrentTimestamp(), keeper->start_again_at);
	return Max(1, Min(left, TICK_MS));
}

void
sdes_keeper_add_events(const SdesKeeper *keeper, WaitEventSet *set)
{
	if (keeper->process.news >= 0)
		AddWaitEventToSet(set, WL_SOCKET_READABLE, keeper->process.news, NULL, NULL);
	if (conversing(keeper) && sdes_client_fd(keeper->client) >= 0)
		AddWaitEventToSet(set,
		                  keeper->want == SDES_CLIENT_READ ? WL_SOCKET_READABLE
		                                                   : WL_SOCKET_WRITEABLE,
		                  sdes_client_fd(keeper->client), NULL, NULL);
}
