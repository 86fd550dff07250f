/*
 * supervisor.c
 *		Keeps one key agent running, replaces it when it dies or is stuck, and
 *		hands it the keys that aborted transactions left in the HSM.
 *
 * It is attached to no database, so that standbys have it too and nobody's
 * DROP DATABASE waits for it. It never calls into the HSM and never waits for
 * the agent: a hung HSM is the agent's to report.
 *
 * When this process ends, for whatever reason, the agent follows by end of
 * file on the pipe that only this process holds.
 */
#include "postgres.h"

#include <signal.h>
#include <sys/wait.h>

#include "agent/backoff.h"
#include "agent/client.h"
#include "agentlink/agentlink.h"
#include "crypto/kdf.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "worker/agent_process.h"
#include "worker/supervisor.h"

#define TICK_MS          1000
#define HEALTHY_AFTER_MS 10000 /* an agent that lived so long starts anew at once */
#define STUCK_AFTER_MS   5000  /* without an answer to a status request */
#define ORPHAN_RETRY_MS  5000

typedef struct Supervisor
{
	SdesAgentPublic published;
	SdesAgentConfig config;
	SdesAgentProcess process;
	TimestampTz started_at;
	TimestampTz start_again_at;
	int pause_ms; /* before that, 0: none was needed */

	/* one request at a time to the agent: is it alive, destroy this key */
	SdesClient *client;
	SdesClientWant want;
	SdesAgentOp asked;
	TimestampTz asked_at;

	bool has_orphan;
	uint8 orphan[SDES_KEK_ID_SIZE];
	TimestampTz orphan_at; /* not before */
} Supervisor;

extern SDES_EXPORT void sdes_supervisor_main(Datum arg);

static Supervisor super = {.process = SDES_NO_AGENT_PROCESS, .want = SDES_CLIENT_DONE};

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
publish(void)
{
	super.published.agent_pid = super.process.pid;
	sdes_agentlink_publish(&super.published, super.config.secret);
}

static void
read_config(SdesAgentConfig *config)
{
	memset(config, 0, sizeof(*config));
	strlcpy(config->module, sdes_pkcs11_module, sizeof(config->module));
	strlcpy(config->init_args, sdes_pkcs11_init_args, sizeof(config->init_args));
	strlcpy(config->token, sdes_pkcs11_token, sizeof(config->token));
	strlcpy(config->pin_source, sdes_pin_source, sizeof(config->pin_source));
	strlcpy(config->socket, SDES_OWN_SOCKET, sizeof(config->socket));
	strlcpy(config->state_directory, SDES_STATE_DIRECTORY, sizeof(config->state_directory));
	strlcpy(config->forbidden_directory, DataDir, sizeof(config->forbidden_directory));
	config->has_secret = true;
}

/* An agent that cannot be started, or died young, is tried ever more slowly. */
static void
pause_before_start(void)
{
	super.pause_ms = sdes_backoff_next(super.pause_ms);
	super.start_again_at = after_ms(super.pause_ms);
}

/* Says why the agent cannot be started, once, and tries ever more slowly. */
static void
note_trouble(const char *trouble)
{
	if (strcmp(super.published.trouble, trouble) != 0)
		ereport(LOG, (errmsg("sdes: %s", trouble)));
	strlcpy(super.published.trouble, trouble, sizeof(super.published.trouble));
	pause_before_start();
}

static void
start_agent(void)
{
	char trouble[sizeof(super.published.trouble)];

	read_config(&super.config);
	super.start_again_at = after_ms(SDES_BACKOFF_MAX_MS);
	if (sdes_random(super.config.secret, SDES_AGENT_SECRET_SIZE) != SDES_OK)
		return;
	/* The secret first: whoever reaches the new agent must know it. */
	publish();
	if (!sdes_agentlink_is_private())
		note_trouble("shared_memory_type must be mmap: other programs of the server's user "
		             "can attach to any other kind and read the agent's secret");
	else if (!sdes_agent_process_start(&super.process, &super.config, trouble,
	                                   sizeof(trouble)))
		note_trouble(trouble);
	else
	{
		super.published.trouble[0] = '\0';
		super.published.starts++;
		super.started_at = GetCurrentTimestamp();
	}
	publish();
}

static void
drop_conversation(void)
{
	sdes_client_close(super.client);
	super.want = SDES_CLIENT_DONE;
	super.asked_at = after_ms(TICK_MS);
}

static void
note_death(int status)
{
	if (WIFSIGNALED(status))
		ereport(LOG, (errmsg("sdes: key agent was ended by signal %d", WTERMSIG(status))));
	else
		ereport(LOG,
		        (errmsg("sdes: key agent exited with status %d", WEXITSTATUS(status))));
	drop_conversation();
	if (TimestampDifferenceExceeds(super.started_at, GetCurrentTimestamp(),
	                               HEALTHY_AFTER_MS))
		super.pause_ms = 0;
	pause_before_start();
	publish();
}

static void
replace_agent(const char *why)
{
	ereport(LOG, (errmsg("sdes: replacing the key agent: %s", why)));
	sdes_agent_process_stop(&super.process);
	drop_conversation();
	super.start_again_at = GetCurrentTimestamp();
	publish();
}

static void
reload(void)
{
	SdesAgentConfig now;

	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	read_config(&now);
	memcpy(now.secret, super.config.secret, sizeof(now.secret));
	if (runs_own_agent() && memcmp(&now, &super.config, sizeof(now)) != 0)
	{
		super.pause_ms = 0;
		replace_agent("its settings changed");
	}
}

/* ---- talking to the agent ---- */

static void
ask(const SdesRequest *request)
{
	super.asked = request->op;
	super.asked_at = GetCurrentTimestamp();
	super.want = sdes_client_begin(super.client,
	                               runs_own_agent() ? SDES_OWN_SOCKET : sdes_agent_socket,
	                               runs_own_agent() ? super.config.secret : NULL, request);
}

static void
ask_next(void)
{
	SdesRequest request = {.op = SDES_OP_STATUS};

	if (!super.has_orphan)
		super.has_orphan = sdes_agentlink_take_orphan(super.orphan);
	if (super.has_orphan && GetCurrentTimestamp() >= super.orphan_at)
	{
		request.op = SDES_OP_KEK_DESTROY;
		memcpy(request.kek_id, super.orphan, SDES_KEK_ID_SIZE);
		ask(&request);
	}
	else if (runs_own_agent() && GetCurrentTimestamp() >= super.asked_at)
		ask(&request);
}

/* An answer, or none: the next question may be asked. */
static void
conclude(void)
{
	if (super.asked == SDES_OP_KEK_DESTROY)
	{
		bool gone = false;

		if (super.want == SDES_CLIENT_DONE)
		{
			SdesStatus status = sdes_client_reply(super.client)->status;

			gone = status == SDES_OK || status == SDES_ERR_HSM_KEY_MISSING;
		}
		super.has_orphan = !gone;
		super.orphan_at = after_ms(gone ? 0 : ORPHAN_RETRY_MS);
	}
	if (super.want == SDES_CLIENT_DONE)
		sdes_client_finish(super.client);
	else
		sdes_client_close(super.client);
	super.want = SDES_CLIENT_DONE;
	super.asked_at = after_ms(TICK_MS);
}

static bool
conversing(void)
{
	return super.want == SDES_CLIENT_READ || super.want == SDES_CLIENT_WRITE;
}

/* A status is answered at once; a key is destroyed, or not, within the agent's deadline. */
static int
patience_ms(void)
{
	return super.asked == SDES_OP_STATUS ? STUCK_AFTER_MS : SDES_LINK_TIMEOUT_MS;
}

/* No answer: our own agent is replaced, of another the connection is dropped. */
static void
give_up(void)
{
	if (super.asked == SDES_OP_KEK_DESTROY)
		super.orphan_at = after_ms(ORPHAN_RETRY_MS);
	if (runs_own_agent())
		replace_agent("it does not answer");
	else
		drop_conversation();
}

static void
converse(void)
{
	if (conversing())
	{
		super.want = sdes_client_step(super.client);
		if (!conversing())
			conclude();
		else if (TimestampDifferenceExceeds(super.asked_at, GetCurrentTimestamp(),
		                                    patience_ms()))
			give_up();
	}
	if (!conversing() && (super.process.pid != 0 || !runs_own_agent()))
	{
		ask_next();
		if (super.want == SDES_CLIENT_FAILED)
			conclude();
	}
}

/* ---- the loop ---- */

static void
wait_for_something(void)
{
	WaitEventSet *set;
	WaitEvent event;
	long timeout = TICK_MS;

	if (runs_own_agent() && super.process.pid == 0)
		timeout = Max(1, TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
		                                                 super.start_again_at));
#if PG_VERSION_NUM >= 170000
	set = CreateWaitEventSet(NULL, 4);
#else
	set = CreateWaitEventSet(CurrentMemoryContext, 4);
#endif
	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	if (super.process.news >= 0)
		AddWaitEventToSet(set, WL_SOCKET_READABLE, super.process.news, NULL, NULL);
	if (conversing() && sdes_client_fd(super.client) >= 0)
		AddWaitEventToSet(
		    set, super.want == SDES_CLIENT_READ ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE,
		    sdes_client_fd(super.client), NULL, NULL);
	WaitEventSetWait(set, Min(timeout, TICK_MS), &event, 1, PG_WAIT_EXTENSION);
	FreeWaitEventSet(set);
	ResetLatch(MyLatch);
}

static void
look_after_agent(void)
{
	int status;

	if (!runs_own_agent())
		return;
	if (super.process.news >= 0 && !sdes_agent_process_drain(&super.process))
	{
		/* It closed its output: it is dying, and waitpid() will soon say so. */
		close(super.process.news);
		super.process.news = -1;
	}
	if (sdes_agent_process_reap(&super.process, &status))
		note_death(status);
	if (super.process.pid == 0 && GetCurrentTimestamp() >= super.start_again_at)
		start_agent();
}

static void
leave(int code, Datum arg)
{
	memset(&super.published, 0, sizeof(super.published));
	sdes_agentlink_publish(&super.published, super.config.secret);
	sdes_agent_process_stop(&super.process);
}

void
sdes_supervisor_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	super.client = sdes_client_new();
	if (super.client == NULL)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
		                errmsg("sdes: cannot get locked memory")));
	super.published.supervisor_pid = MyProcPid;
	before_shmem_exit(leave, 0);
	publish();

	while (!ShutdownRequestPending)
	{
		if (ConfigReloadPending)
			reload();
		look_after_agent();
		converse();
		wait_for_something();
	}
	/* Status 1, not 0: the postmaster starts us again unless it shuts down. */
	proc_exit(1);
}

void
sdes_supervisor_init(void)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_PostmasterStart;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "sdes", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "sdes_supervisor_main",
	        sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_name, "sdes supervisor", sizeof(worker.bgw_name));
	strlcpy(worker.bgw_type, "sdes supervisor", sizeof(worker.bgw_type));
	RegisterBackgroundWorker(&worker);
}
