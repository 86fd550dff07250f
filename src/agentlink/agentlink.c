/*
 * agentlink.c
 *		One question to the agent, one answer, interruptible throughout.
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

static SdesClient *client = NULL;
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

		if (left <= 0)
			return fail(failure, SDES_ERR_AGENT_TIMEOUT, "");
		wait_for(want == SDES_CLIENT_READ ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE,
		         sdes_client_fd(client), left);
		want = sdes_client_step(client);
	}
	if (want == SDES_CLIENT_FAILED)
		return fail(failure, sdes_client_status(client), "");
	return SDES_OK;
}

static int
timeout_of(const SdesRequest *request, SdesPatience patience)
{
	if (patience == SDES_BRIEF)
		return SDES_LINK_BRIEF_MS;
	return request->op == SDES_OP_KEK_CREATE ? SDES_LINK_KEK_TIMEOUT_MS
	                                         : SDES_LINK_TIMEOUT_MS;
}

static SdesStatus
attempt(const SdesRequest *request, SdesPatience patience, SdesLinkFailure *failure)
{
	bool service = sdes_agent_socket[0] != '\0';
	uint8 secret[SDES_AGENT_SECRET_SIZE];
	SdesStatus status;

	LWLockAcquire(sdes_shared->lock, LW_SHARED);
	memcpy(secret, sdes_shared->secret, sizeof(secret));
	LWLockRelease(sdes_shared->lock);

	status =
	    converse(sdes_client_begin(client, service ? sdes_agent_socket : SDES_OWN_SOCKET,
	                               service ? NULL : secret, request),
	             timeout_of(request, patience), failure);
	sdes_wipe(secret, sizeof(secret));
	if (status == SDES_OK && sdes_client_reply(client)->status != SDES_OK)
		status = fail(failure, sdes_client_reply(client)->status,
		              sdes_client_reply(client)->detail);
	return status;
}

/* Whether to ask once more: the agent is gone, but it is being started again. */
static bool
worth_another(const SdesRequest *request, const SdesLinkFailure *failure, int waited_ms)
{
	if (waited_ms >= SDES_LINK_RESTART_MS || sdes_agentlink_public().trouble[0] != '\0')
		return false;
	if (failure->status == SDES_ERR_AGENT_ABSENT)
		return true;
	/* A new agent has a new secret, which the supervisor publishes first. */
	if (failure->status == SDES_ERR_AGENT_REFUSED)
		return true;
	return failure->status == SDES_ERR_AGENT_LOST && request->op != SDES_OP_KEK_CREATE;
}

/* Patience counts from the first failure: a long wait for an answer is no reason. */
static SdesStatus
ask_until_answered(const SdesRequest *request, SdesPatience patience,
                   SdesLinkFailure *failure)
{
	SdesStatus status = attempt(request, patience, failure);
	instr_time failed;

	INSTR_TIME_SET_CURRENT(failed);
	while (status != SDES_OK && patience == SDES_PATIENT &&
	       worth_another(request, failure, elapsed_ms(failed)))
	{
		sdes_client_close(client);
		wait_for(0, PGINVALID_SOCKET, RETRY_PAUSE_MS);
		status = attempt(request, patience, failure);
	}
	return status;
}

bool
sdes_must_not_wait(void)
{
	return InterruptHoldoffCount > 0 || CritSectionCount > 0;
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

/* The agent's own words say more than ours about why it cannot be reached. */
static void
explain_absence(SdesLinkFailure *failure)
{
	if (failure->status == SDES_ERR_AGENT_ABSENT && failure->detail[0] == '\0')
		strlcpy(failure->detail, sdes_agentlink_public().trouble, sizeof(failure->detail));
}

const SdesReply *
sdes_agentlink_try(const SdesRequest *request, SdesPatience patience,
                   SdesLinkFailure *failure)
{
	volatile SdesStatus status = prepare(failure);

	if (status != SDES_OK)
		return NULL;
	PG_TRY();
	{
		status = ask_until_answered(request, patience, failure);
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
	explain_absence(failure);
	hang_up();
	return NULL;
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

int
sdes_agentlink_count(void)
{
	return 1;
}

const SdesReply *
sdes_agentlink_try_at(int link, const SdesRequest *request, SdesPatience patience,
                      SdesLinkFailure *failure)
{
	return sdes_agentlink_try(request, patience, failure);
}
