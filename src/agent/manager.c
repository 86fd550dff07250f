/*
 * manager.c
 *		The thread that starts the PKCS#11 module, and starts it again.
 *
 * The manager's life: start up; when that fails, wait and try again; when it
 * succeeds, run the workers until the breaker opens. Fork-safety: the module is
 * initialised in this process and no child of it ever calls it.
 *
 * The log gets a line when service ends and one when it is back, and one for
 * each other kind of reason in between: never one per request or try.
 */
#include "agent/jobs_internal.h"

#include "agent/backoff.h"
#include "agent/log.h"

#include <string.h>
#include <time.h>

void
sdes_pool_tell_available(void)
{
	SdesHsmTokenInfo token;
	int64_t since;
	bool told;

	pthread_mutex_lock(&sdes_pool.lock);
	since = sdes_pool.outage_since;
	sdes_pool.outage_since = 0;
	token = sdes_pool.token;
	told = sdes_pool.told_ready;
	sdes_pool.told_ready = true;
	pthread_mutex_unlock(&sdes_pool.lock);
	if (since != 0)
		sdes_agent_log("available again after %.1f s: token \"%s\", serial \"%s\", module "
		               "\"%s\"",
		               (double) (sdes_agent_now() - since) / 1000, token.label,
		               token.serial, token.module);
	else if (!told)
		sdes_agent_log("ready: token \"%s\", serial \"%s\", module \"%s\"", token.label,
		               token.serial, token.module);
}

/* Says why nobody is served: once in an outage for each kind of reason. */
static void
tell_unavailable(int64_t since, SdesStatus status, const char *detail)
{
	static uint64_t told; /* statuses of this outage; the manager's */
	bool first;

	pthread_mutex_lock(&sdes_pool.lock);
	first = sdes_pool.outage_since == 0;
	if (first)
		sdes_pool.outage_since = since;
	pthread_mutex_unlock(&sdes_pool.lock);
	if (first)
		told = 0;
	if ((told >> status & 1) == 0)
		sdes_agent_log("unavailable: %s: %s", sdes_status_name(status), detail);
	told |= UINT64_C(1) << status;
}

/* Whether waiting may heal a failed start, or somebody has to do something. */
static bool
may_heal(SdesStatus status)
{
	return status != SDES_ERR_HSM_UNSET && status != SDES_ERR_HSM_PIN;
}

/* Whether a new process may do what a new start of the module did not. */
static bool
may_need_process(SdesStatus status)
{
	return status == SDES_ERR_HSM || status == SDES_ERR_HSM_MODULE ||
	       status == SDES_ERR_HSM_TOKEN || status == SDES_ERR_MEMORY;
}

/* One start of module and token, and a look whether they work. */
static SdesStatus
start(SdesStartup *startup, SdesHsmFault *fault)
{
	uint8_t kek[SDES_KEK_ID_SIZE];
	bool has_kek;
	SdesStatus status;

	memset(fault, 0, sizeof(*fault));
	memset(&startup->token, 0, sizeof(startup->token));
	pthread_mutex_lock(&sdes_pool.lock);
	startup->pin_retry = startup->pin_retry || sdes_pool.pin_retry;
	sdes_pool.pin_retry = false;
	sdes_pool.kick = false;
	has_kek = sdes_pool.has_good_kek;
	memcpy(kek, sdes_pool.good_kek, sizeof(kek));
	sdes_pool.manager_inside = sdes_agent_now();
	sdes_pool_wake(); /* the main thread has a deadline to watch now */
	pthread_mutex_unlock(&sdes_pool.lock);
	status = sdes_startup(startup, fault);
	if (status == SDES_OK)
	{
		SdesOps ops = sdes_worker_ops(startup);

		startup->pin_retry = false;
		status = sdes_ops_probe(&ops, has_kek ? kek : NULL, fault);
	}
	return status;
}

/*
 * Publishes how a start ended. The breaker closes when the start has proved what
 * had failed: a key, or that the token answers.
 */
static void
publish(const SdesStartup *startup, SdesStatus status, const SdesHsmFault *fault,
        bool token_was_lost)
{
	bool proven = sdes_pool.has_good_kek || token_was_lost;
	int64_t since;

	pthread_mutex_lock(&sdes_pool.lock);
	sdes_pool.token = startup->token;
	sdes_pool.logins = startup->logins;
	memcpy(sdes_pool.pin_identity, startup->pin_identity, sizeof(sdes_pool.pin_identity));
	sdes_pool.manager_inside = 0;
	if (sdes_pool.state == SDES_AGENT_STARTING && sdes_pool.doubt.at != 0)
		sdes_doubt_started(&sdes_pool.doubt, sdes_agent_now());
	sdes_pool.stop = false;
	sdes_pool.restart = false;
	if (status == SDES_OK)
	{
		sdes_pool.pin_retry = false;
		sdes_breaker_restarted(&sdes_pool.breaker, proven);
		/* Half open, the last failure stays, for those that are not let through. */
		sdes_pool_state(SDES_AGENT_READY, proven ? SDES_OK : sdes_pool.status,
		                proven ? fault : NULL);
	}
	else
	{
		sdes_pool_state(SDES_AGENT_FAILED, status, fault);
		sdes_pool_fail_queue();
	}
	since = sdes_pool.state_since;
	pthread_mutex_unlock(&sdes_pool.lock);

	if (status != SDES_OK)
		tell_unavailable(since, status, fault->detail);
	else if (proven)
		sdes_pool_tell_available();
}

static void
close_module(SdesStartup *startup)
{
	pthread_mutex_lock(&sdes_pool.lock);
	sdes_pool.manager_inside = sdes_agent_now();
	sdes_pool_wake();
	pthread_mutex_unlock(&sdes_pool.lock);
	startup->provider->close(startup->hsm);
	startup->hsm = NULL;
	pthread_mutex_lock(&sdes_pool.lock);
	sdes_pool.manager_inside = 0;
	pthread_mutex_unlock(&sdes_pool.lock);
}

/* Waits so long, or until kicked; for ever when ms is negative. */
static void
wait_for_kick(int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long) (ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000)
	{
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&sdes_pool.lock);
	while (!sdes_pool.kick)
	{
		int result =
		    ms < 0 ? pthread_cond_wait(&sdes_pool.manager, &sdes_pool.lock)
		           : pthread_cond_timedwait(&sdes_pool.manager, &sdes_pool.lock, &until);

		if (result != 0)
			break;
	}
	pthread_mutex_unlock(&sdes_pool.lock);
}

/* Service has ended: for a failed start, or since the breaker is open. */
typedef struct Outage
{
	SdesStatus status;
	bool lost; /* the token did not answer at all */
	int wait_ms;
} Outage;

/* Serves until the breaker opens, and closes the module then. */
static void
serve(SdesStartup *startup, Outage *outage)
{
	char detail[SDES_HSM_DETAIL_MAX + 1];
	SdesOps ops = sdes_worker_ops(startup);
	bool known = sdes_ops_knows_token(&ops);
	int64_t since;
	bool steady;

	sdes_workers_run(startup);
	pthread_mutex_lock(&sdes_pool.lock);
	outage->status = sdes_pool.status;
	outage->lost = sdes_pool.lost;
	since = sdes_pool.state_since;
	steady = sdes_pool.breaker.steady;
	strcpy(detail, sdes_pool.fault.detail);
	pthread_mutex_unlock(&sdes_pool.lock);
	if (outage->status != SDES_ERR_HSM_STARTING)
		tell_unavailable(since, outage->status, detail);
	else if (known) /* else that is every few seconds */
		sdes_agent_log("a key is missing: the module is started anew to look for it");
	close_module(startup);
	/* A module that has served is taken again at once. */
	outage->wait_ms = steady || outage->status == SDES_ERR_HSM_STARTING
	                      ? 0
	                      : sdes_backoff_next(outage->wait_ms);
}

/* Nothing more can be tried here: the main thread ends the process. */
static void
give_up(void)
{
	pthread_mutex_lock(&sdes_pool.lock);
	sdes_pool.hopeless = true;
	sdes_pool_wake();
	for (;;)
		pthread_cond_wait(&sdes_pool.manager, &sdes_pool.lock);
}

/* Under the lock of its own: a new try begins. True when there is nothing left to try. */
static bool
climb(SdesStatus status)
{
	bool hopeless;

	pthread_mutex_lock(&sdes_pool.lock);
	hopeless = sdes_breaker_hopeless(&sdes_pool.breaker) && may_need_process(status);
	if (!hopeless)
		sdes_breaker_restarting(&sdes_pool.breaker);
	pthread_mutex_unlock(&sdes_pool.lock);
	return hopeless;
}

static void *
manager_main(void *argument)
{
	SdesStartup startup = {.config = argument, .provider = sdes_hsm_pkcs11()};
	Outage outage = {.lost = true};
	SdesHsmFault fault;

	for (;;)
	{
		SdesStatus status = start(&startup, &fault);

		publish(&startup, status, &fault, outage.lost);
		if (status == SDES_OK)
			serve(&startup, &outage);
		else
		{
			close_module(&startup);
			outage.status = status;
			outage.lost = true;
			outage.wait_ms = sdes_backoff_next(outage.wait_ms);
			if (!may_heal(status))
				outage.wait_ms = -1;
		}
		wait_for_kick(outage.wait_ms);
		if (climb(outage.status))
			give_up();
	}
	return NULL;
}

bool
sdes_manager_start(void)
{
	pthread_t thread;

	sdes_pool.status = SDES_ERR_HSM_STARTING;
	return pthread_create(&thread, NULL, manager_main,
	                      (void *) (uintptr_t) sdes_pool.config) == 0;
}
