/*
 * manager.c
 *		The threads that enter the PKCS#11 module.
 *
 * The manager's life: start up; when that fails, wait and try again; when it
 * succeeds, run the workers until the breaker opens. Whoever is about to enter
 * the module writes down when, so that the main thread can see who never came
 * back. Fork-safety: the module is initialised in this process and no child of
 * it ever calls it.
 *
 * The log gets a line when service ends and one when it is back, and one for
 * each other kind of reason in between: never one per request or try.
 */
#include "agent/jobs_internal.h"

#include "agent/backoff.h"
#include "agent/log.h"
#include "agent/ops.h"

#include <string.h>
#include <time.h>

#define DOUBT_INTERVAL_MS 5000

/* Under the lock: the oldest job that somebody waits for, NULL when there is none. */
static SdesJob *
wanted_job(void)
{
	SdesJob *job;

	while ((job = sdes_job_shift(&sdes_pool.queue)) != NULL && job->client == 0)
	{
		sdes_breaker_undecided(&sdes_pool.breaker);
		sdes_job_free(job);
	}
	return job;
}

/* Under the lock: the next job for this worker, NULL when it shall end. */
static SdesJob *
next_job(int worker)
{
	SdesJob *job = NULL;

	while (!sdes_pool.stop && (job = wanted_job()) == NULL)
		pthread_cond_wait(&sdes_pool.work, &sdes_pool.lock);
	if (job == NULL)
		return NULL;
	sdes_pool.running[worker] = job;
	sdes_pool.worker_inside[worker] = sdes_agent_now();
	return job;
}

/* Under the lock: the workers end, and the module is started anew. */
static void
restart_module(void)
{
	sdes_pool.restart = true;
	sdes_pool.stop = true;
	pthread_cond_broadcast(&sdes_pool.work);
	pthread_cond_signal(&sdes_pool.manager);
}

/*
 * Under the lock: a key is missing, and nothing but a start of the module can
 * tell whether the token is still the same. Now and then that is worth it; who
 * waits meanwhile is served after it.
 */
static void
doubt_token(void)
{
	int64_t now = sdes_agent_now();

	if (sdes_pool.restart ||
	    (sdes_pool.doubted_at != 0 && now - sdes_pool.doubted_at < DOUBT_INTERVAL_MS))
		return;
	sdes_pool.doubted_at = now;
	sdes_pool.lost = true;
	sdes_pool_state(SDES_AGENT_STARTING, SDES_ERR_HSM_STARTING, NULL);
	restart_module();
}

/* Under the lock: what a request has failed with is why nobody is served now. */
static void
open_breaker(const SdesReply *reply)
{
	SdesHsmFault fault = {.code = reply->ckr};

	strcpy(fault.detail, reply->detail);
	sdes_pool_state(SDES_AGENT_FAILED, reply->status, &fault);
	sdes_pool_fail_queue();
	restart_module();
}

/* Under the lock: the breaker learns what came of a job. True when that closed it. */
static bool
judge(const SdesJob *job, SdesOpsOutcome outcome)
{
	switch (outcome)
	{
		case SDES_OPS_SERVED:
			memcpy(sdes_pool.good_kek, sdes_ops_kek(&job->request, &job->reply),
			       SDES_KEK_ID_SIZE);
			sdes_pool.has_good_kek = true;
			if (!sdes_breaker_success(&sdes_pool.breaker))
				return false;
			sdes_pool_state(SDES_AGENT_READY, SDES_OK, NULL);
			return true;
		case SDES_OPS_MISSING:
			doubt_token();
			/* fall through */
		case SDES_OPS_NEUTRAL:
			sdes_breaker_undecided(&sdes_pool.breaker);
			return false;
		default:
			/* Those under way when it opens fail, too: the first has told why. */
			if (sdes_breaker_failure(&sdes_pool.breaker, outcome != SDES_OPS_LOST) &&
			    !sdes_pool.restart)
			{
				sdes_pool.lost = outcome == SDES_OPS_LOST;
				open_breaker(&job->reply);
			}
			return false;
	}
}

/* Under the lock: hands the result over, or drops it when nobody waits. */
static void
finish_job(int worker, SdesJob *job)
{
	sdes_pool.running[worker] = NULL;
	sdes_pool.worker_inside[worker] = 0;
	if (job->client == 0)
	{
		sdes_pool_wake();
		sdes_job_free(job);
		return;
	}
	sdes_job_done(job);
	while (sdes_pool.done.count > SDES_JOBS_DONE_MAX)
		pthread_cond_wait(&sdes_pool.room, &sdes_pool.lock);
}

/* In service, for the first time or again. */
static void
tell_available(void)
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

typedef struct Worker
{
	pthread_t thread;
	int number;
	SdesOps ops;
} Worker;

/*
 * Between the values of a batch the module is left for a moment, which shows
 * that it does not hang. False when the client has gone or was told that it
 * takes too long.
 */
static bool
batch_goes_on(void *argument)
{
	const Worker *worker = argument;
	int64_t now = sdes_agent_now();
	const SdesJob *job;
	bool wanted;

	pthread_mutex_lock(&sdes_pool.lock);
	job = sdes_pool.running[worker->number];
	wanted = job->client != 0 && now < job->queued_at + SDES_JOB_DEADLINE_MS;
	sdes_pool.worker_inside[worker->number] = now;
	pthread_mutex_unlock(&sdes_pool.lock);
	return wanted;
}

/*
 * A KEK whose client left before it was told of it belongs to nobody: it is
 * destroyed again. Takes and leaves the lock held.
 */
static void
undo_if_abandoned(Worker *worker, SdesJob *job)
{
	SdesRequest request = {.op = SDES_OP_KEK_DESTROY};

	if (job->client != 0 || job->request.op != SDES_OP_KEK_CREATE ||
	    job->reply.status != SDES_OK)
		return;
	memcpy(request.kek_id, job->reply.kek_id, sizeof(request.kek_id));
	pthread_mutex_unlock(&sdes_pool.lock);
	sdes_ops_run(&worker->ops, &request, &job->reply, &job->memory);
	pthread_mutex_lock(&sdes_pool.lock);
}

/* Under the lock, which is let go meanwhile: works off one job. */
static void
work_off(Worker *worker, SdesJob *job)
{
	SdesOpsOutcome outcome;
	bool closed;

	pthread_mutex_unlock(&sdes_pool.lock);
	outcome = sdes_ops_run(&worker->ops, &job->request, &job->reply, &job->memory);
	pthread_mutex_lock(&sdes_pool.lock);
	closed = judge(job, outcome);
	undo_if_abandoned(worker, job);
	finish_job(worker->number, job);
	if (!closed)
		return;
	pthread_mutex_unlock(&sdes_pool.lock);
	tell_available();
	pthread_mutex_lock(&sdes_pool.lock);
}

static void *
worker_main(void *argument)
{
	Worker *worker = argument;
	SdesJob *job;

	pthread_mutex_lock(&sdes_pool.lock);
	while ((job = next_job(worker->number)) != NULL)
		work_off(worker, job);
	sdes_pool.worker_inside[worker->number] = sdes_agent_now();
	pthread_mutex_unlock(&sdes_pool.lock);
	sdes_ops_close(&worker->ops);
	pthread_mutex_lock(&sdes_pool.lock);
	sdes_pool.worker_inside[worker->number] = 0;
	pthread_mutex_unlock(&sdes_pool.lock);
	return NULL;
}

static SdesOps
make_ops(const SdesStartup *startup)
{
	return (SdesOps){
	    .provider = startup->provider,
	    .hsm = startup->hsm,
	    .token = &startup->token,
	    .mute = startup->mute,
	};
}

/* Runs the workers until the breaker opens. One that cannot be started is missed. */
static void
run_workers(const SdesStartup *startup)
{
	Worker workers[SDES_WORKERS];
	int started = 0;

	memset(workers, 0, sizeof(workers));
	while (started < SDES_WORKERS)
	{
		Worker *worker = &workers[started];

		worker->number = started;
		worker->ops = make_ops(startup);
		worker->ops.go_on = batch_goes_on;
		worker->ops.argument = worker;
		if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
			break;
		started++;
	}
	pthread_mutex_lock(&sdes_pool.lock);
	sdes_pool.workers = started;
	while (started > 0 && !sdes_pool.restart)
		pthread_cond_wait(&sdes_pool.manager, &sdes_pool.lock);
	pthread_mutex_unlock(&sdes_pool.lock);
	for (int i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_mutex_lock(&sdes_pool.lock);
	sdes_pool.workers = 0;
	pthread_mutex_unlock(&sdes_pool.lock);
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
		SdesOps ops = make_ops(startup);

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
		tell_available();
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
	int64_t since;
	bool steady;

	run_workers(startup);
	pthread_mutex_lock(&sdes_pool.lock);
	outage->status = sdes_pool.status;
	outage->lost = sdes_pool.lost;
	since = sdes_pool.state_since;
	steady = sdes_pool.breaker.steady;
	strcpy(detail, sdes_pool.fault.detail);
	pthread_mutex_unlock(&sdes_pool.lock);
	if (outage->status != SDES_ERR_HSM_STARTING) /* see doubt_token() */
		tell_unavailable(since, outage->status, detail);
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
