/*
 * agentlink.c
 *		One question to the agents in turn, one answer, interruptible throughout.
 */
#include "postgres.h"

#include "agentlink/agentlink.h"

#include "access/xact.h"
#include "agent/client.h"
#include "agentlink/shared.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#define RETRY_PAUSE_MS 50
#define MEANWHILE_MS   1000 /* between two looks at what else there is to do */

static SdesClient *client = NULL;
static bool (*meanwhile)(void) = NULL;
static bool connected = false;    /* with a reply to be used, or kept */
static bool idle_noticed = false; /* hang_up_at_idle() will be called */

static void
hang_up(void)
{
	connected = false;
	if (client)
		sdes_client_close(client);
}

/* Also after an error between a reply and its use. */
static void
hang_up_at_end(XactEvent event, void *arg)
{
	if (connected)
		hang_up();
}

static void
hang_up_at_idle(void *arg)
{
	idle_noticed = false;
	if (connected)
		hang_up();
}

void
sdes_agentlink_init(void)
{
	sdes_shared_init();
	RegisterXactCallback(hang_up_at_end, NULL);
}

void
sdes_agentlink_close(void)
{
	if (client)
		sdes_client_free(client);
	client = NULL;
}

static void
close_at_exit(int code, Datum arg)
{
	sdes_agentlink_close();
}

/*
 * A key is fetched once and kept, so the connection is not: as many backends
 * as the server allows must find the agent free.
 */
void
sdes_agentlink_finish(void)
{
	hang_up();
}

/*
 * Values of mode hsm are opened one by one. The server empties MessageContext
 * before it waits for the client's next command; a process without a client has
 * none, and waits for nobody within a transaction.
 */
void
sdes_agentlink_finish_for_now(void)
{
	MemoryContextCallback *idle;

	sdes_client_finish(client);
	if (idle_noticed || MessageContext == NULL)
		return;
	idle = MemoryContextAllocZero(MessageContext, sizeof(*idle));
	idle->func = hang_up_at_idle;
	MemoryContextRegisterResetCallback(MessageContext, idle);
	idle_noticed = true;
}

static int
elapsed_ms(instr_time since)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, since);
	return (int) INSTR_TIME_GET_MILLISEC(now);
}

static SdesStatus
fail(SdesLinkFailure *failure, SdesStatus status, const char *detail)
{
	failure->status = status;
	strlcpy(failure->detail, detail, sizeof(failure->detail));
	return status;
}

void
sdes_agentlink_while_waiting(bool (*function)(void))
{
	meanwhile = function;
}

/* Sleeps on the latch, and on the client's socket when events ask for it. */
static void
wait_for(int events, pgsocket fd, int timeout_ms)
{
	int rc =
	    WaitLatchOrSocket(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | events,
	                      fd, timeout_ms, PG_WAIT_EXTENSION);

	if (rc & WL_LATCH_SET)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Drives the client to an end. SDES_OK: a reply is there. */
static SdesStatus
converse(SdesClientWant want, int timeout_ms, SdesLinkFailure *failure)
{
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	while (want == SDES_CLIENT_READ || want == SDES_CLIENT_WRITE)
	{
		int left = timeout_ms - elapsed_ms(start);

		if (left <= 0 || (meanwhile != NULL && !meanwhile()))
			return fail(failure, SDES_ERR_AGENT_TIMEOUT, "");
		if (meanwhile != NULL)
			left = Min(left, MEANWHILE_MS);
		wait_for(want == SDES_CLIENT_READ ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE,
		         sdes_client_fd(client), left);
		want = sdes_client_step(client);
	}
	if (want == SDES_CLIENT_FAILED)
		return fail(failure, sdes_client_status(client), "");
	return SDES_OK;
}

/*
 * pg_rewind takes a socket in the data directory of its source for a file, and fails midway.
 * What is named as temporary files are it leaves alone, and so does pg_basebackup.
 */
#define SOCKET SDES_STATE_DIRECTORY "/pgsql_tmp.agent"

void
sdes_agentlink_socket(int link, char *path)
{
	path[0] = '\0';
	if (sdes_agent_socket[0] != '\0')
		(void) sdes_config_item(sdes_agent_socket, link, path, SDES_SOCKET_SIZE);
	else if (link == 0)
		strcpy(path, SOCKET ".sock");
	else
		snprintf(path, SDES_SOCKET_SIZE, SOCKET "-%d.sock", link + 1);
}

/* What is asked, of whom, and for how long. */
typedef struct Asking
{
	const SdesRequest *request; /* the same for all, or made anew */
	SdesRequestMaker make;
	void *arg;
	SdesPatience patience;
	int order[SDES_MAX_TOKENS];
	int n;
	bool restarting; /* of those that failed, one will be there again soon */
} Asking;

/* With others to ask, none is waited for long. */
static int
timeout_of(const Asking *asking, const SdesRequest *request, bool last)
{
	if (asking->patience == SDES_BRIEF)
		return SDES_LINK_BRIEF_MS;
	if (request->op == SDES_OP_KEK_CREATE)
		return SDES_LINK_KEK_TIMEOUT_MS;
	return last ? SDES_LINK_TIMEOUT_MS : SDES_LINK_FAILOVER_MS;
}

static SdesStatus
attempt(int link, const SdesRequest *request, int timeout_ms, SdesLinkFailure *failure)
{
	bool service = sdes_agent_socket[0] != '\0';
	uint8 secret[SDES_AGENT_SECRET_SIZE];
	char path[SDES_SOCKET_SIZE];
	SdesStatus status;

	LWLockAcquire(sdes_shared->lock, LW_SHARED);
	memcpy(secret, sdes_shared->links[link].secret, sizeof(secret));
	LWLockRelease(sdes_shared->lock);

	sdes_agentlink_socket(link, path);
	status = converse(sdes_client_begin(client, path, service ? NULL : secret, request),
	                  timeout_ms, failure);
	sdes_wipe(secret, sizeof(secret));
	if (status == SDES_OK && sdes_client_reply(client)->status != SDES_OK)
		status = fail(failure, sdes_client_reply(client)->status,
		              sdes_client_reply(client)->detail);
	return status;
}

/* The key that a request is about; zeros for none. */
static const uint8 *
kek_of(const SdesRequest *request)
{
	switch (request->op)
	{
		case SDES_OP_DEK_CREATE:
		case SDES_OP_DEK_UNWRAP:
		case SDES_OP_DEK_WRAP:
			return request->binding.kek_id;
		default:
			return request->kek_id;
	}
}

/*
 * A token that hangs, or its agent, holds up one statement of one backend, not all of
 * them. A new key may take its time, and a brief look says nothing.
 */
static void
note_silence(const Asking *asking, int link, const SdesRequest *request, SdesStatus status)
{
	if ((status == SDES_ERR_AGENT_TIMEOUT || status == SDES_ERR_HSM_TIMEOUT) &&
	    asking->patience != SDES_BRIEF && request->op != SDES_OP_KEK_CREATE &&
	    sdes_agentlink_count() > 1)
		sdes_link_suspect(link, kek_of(request));
}

/* One agent, with each of the requests that there are for it. */
static SdesStatus
ask_link(const Asking *asking, int link, bool last, SdesLinkFailure *failure)
{
	SdesStatus status = fail(failure, SDES_ERR_HSM_KEY_MISSING, "");
	SdesRequest made;

	for (int i = 0; status == SDES_ERR_HSM_KEY_MISSING; i++)
	{
		const SdesRequest *request = asking->request ? asking->request : &made;

		if (asking->request ? i > 0 : !asking->make(link, i, &made, asking->arg))
			break;
		status = attempt(link, request, timeout_of(asking, request, last), failure);
		note_silence(asking, link, request, status);
	}
	return status;
}

/* Whether another token may do what one did not. */
static bool
is_local(SdesStatus status)
{
	switch (status)
	{
		case SDES_ERR_AGENT_ABSENT:
		case SDES_ERR_AGENT_LOST:
		case SDES_ERR_AGENT_PROTOCOL:
		case SDES_ERR_AGENT_REFUSED:
		case SDES_ERR_AGENT_TIMEOUT:
		case SDES_ERR_HSM_STARTING:
		case SDES_ERR_HSM_UNSET:
		case SDES_ERR_HSM_MODULE:
		case SDES_ERR_HSM_TOKEN:
		case SDES_ERR_HSM_PIN_SOURCE:
		case SDES_ERR_HSM_PIN:
		case SDES_ERR_HSM_PIN_LOCKED:
		case SDES_ERR_HSM_MECHANISM:
		case SDES_ERR_HSM_KEY_MISSING:
		case SDES_ERR_HSM_TIMEOUT:
		case SDES_ERR_HSM:
			return true;
		default:
			return false;
	}
}

/* Whether an agent is gone, but is being started again. */
static bool
is_restarting(const Asking *asking, int link, SdesStatus status)
{
	bool once_only = asking->request && asking->request->op == SDES_OP_KEK_CREATE;

	if (sdes_agentlink_public(link).trouble[0] != '\0')
		return false;
	if (status == SDES_ERR_AGENT_ABSENT)
		return true;
	/* A new agent has a new secret, which the supervisor publishes first. */
	if (status == SDES_ERR_AGENT_REFUSED)
		return true;
	return status == SDES_ERR_AGENT_LOST && !once_only;
}

/*
 * All agents, one after the other. What fails is told by the first one; but that a key
 * is missing only if none that could not be asked may have it.
 */
static SdesStatus
ask_round(Asking *asking, SdesLinkFailure *failure)
{
	SdesStatus status = SDES_OK;
	bool only_missing = true; /* that a token lacks a key is no failure of it */

	asking->restarting = false;
	for (int i = 0; i < asking->n; i++)
	{
		SdesLinkFailure another;

		status = ask_link(asking, asking->order[i], i == asking->n - 1, &another);
		if (status == SDES_OK && asking->n > 1 && (i == 0 || !only_missing))
			sdes_link_serves(asking->order[i]);
		if (status == SDES_OK)
			return status;
		only_missing = only_missing && status == SDES_ERR_HSM_KEY_MISSING;
		if (i == 0 || !is_local(status) ||
		    (failure->status == SDES_ERR_HSM_KEY_MISSING && status != failure->status))
			*failure = another;
		if (!is_local(status))
			return status;
		asking->restarting |= is_restarting(asking, asking->order[i], status);
		if (i < asking->n - 1)
			sdes_client_close(client);
	}
	return failure->status;
}

/* Patience counts from the first failure: a long wait for an answer is no reason. */
static SdesStatus
ask_until_answered(Asking *asking, SdesLinkFailure *failure)
{
	SdesStatus status = ask_round(asking, failure);
	instr_time failed;

	INSTR_TIME_SET_CURRENT(failed);
	while (status != SDES_OK && asking->patience == SDES_PATIENT && asking->restarting &&
	       elapsed_ms(failed) < SDES_LINK_RESTART_MS)
	{
		sdes_client_close(client);
		wait_for(0, PGINVALID_SOCKET, RETRY_PAUSE_MS);
		status = ask_round(asking, failure);
	}
	return status;
}

static SdesStatus
prepare(SdesLinkFailure *failure)
{
	sdes_require_preload();
	/* There the key should have been at hand. */
	if (sdes_must_not_wait())
		return fail(failure, SDES_ERR_AGENT_TIMEOUT,
		            "A key is needed where the server must not wait.");
	if (client == NULL)
	{
		client = sdes_client_new();
		if (client == NULL)
			return fail(failure, SDES_ERR_LOCKED_MEMORY, "");
		before_shmem_exit(close_at_exit, 0);
	}
	return SDES_OK;
}

/* The supervisor's words say more than ours about why an agent cannot be reached. */
static void
explain_absence(int link, SdesLinkFailure *failure)
{
	if (failure->status == SDES_ERR_AGENT_ABSENT && failure->detail[0] == '\0')
		strlcpy(failure->detail, sdes_agentlink_public(link).trouble,
		        sizeof(failure->detail));
}

static const SdesReply *
ask(Asking *asking, SdesLinkFailure *failure)
{
	volatile SdesStatus status = SDES_OK;

	PG_TRY();
	{
		status = ask_until_answered(asking, failure);
	}
	PG_CATCH();
	{
		hang_up();
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (status == SDES_OK)
	{
		connected = true;
		return sdes_client_reply(client);
	}
	explain_absence(asking->order[0], failure);
	hang_up();
	return NULL;
}

/* Those that are known to hang come last. */
static void
put_in_order(Asking *asking)
{
	int n = sdes_agentlink_count();

	for (int suspect = 0; suspect <= 1; suspect++)
		for (int link = 0; link < n; link++)
			if (sdes_agentlink_suspected(link, NULL) == (suspect != 0))
				asking->order[asking->n++] = link;
}

static const SdesReply *
ask_in_order(Asking *asking, SdesLinkFailure *failure)
{
	if (prepare(failure) != SDES_OK)
		return NULL;
	put_in_order(asking);
	return ask(asking, failure);
}

const SdesReply *
sdes_agentlink_try(const SdesRequest *request, SdesPatience patience,
                   SdesLinkFailure *failure)
{
	Asking asking = {.request = request, .patience = patience};

	return ask_in_order(&asking, failure);
}

const SdesReply *
sdes_agentlink_try_each(SdesRequestMaker make, void *arg, SdesPatience patience,
                        SdesLinkFailure *failure)
{
	Asking asking = {.make = make, .arg = arg, .patience = patience};

	return ask_in_order(&asking, failure);
}

const SdesReply *
sdes_agentlink_try_at(int link, const SdesRequest *request, SdesPatience patience,
                      SdesLinkFailure *failure)
{
	Asking asking = {.request = request, .patience = patience, .order = {link}, .n = 1};

	return prepare(failure) == SDES_OK ? ask(&asking, failure) : NULL;
}

const SdesReply *
sdes_agentlink_ask(const SdesRequest *request)
{
	SdesLinkFailure failure;
	const SdesReply *reply = sdes_agentlink_try(request, SDES_PATIENT, &failure);

	if (reply == NULL)
		sdes_report(ERROR, failure.status, failure.detail);
	return reply;
}

const SdesReply *
sdes_agentlink_ask_at(int link, const SdesRequest *request)
{
	SdesLinkFailure failure;
	const SdesReply *reply = sdes_agentlink_try_at(link, request, SDES_PATIENT, &failure);

	if (reply == NULL)
		sdes_report(ERROR, failure.status, failure.detail);
	return reply;
}
