/*
 * manager.c
 *		The threads that enter the PKCS#11 module.
 *
 * The manager's life: start up; when that fails, wait and try again; when it
 * succeeds, run the workers until one of them loses the token. Whoever is
 * about to enter the module writes down when, so that the main thread can see
 * who never came back. Fork-safety: the module is initialised in this process
 * and no child of it ever calls it.
 */
#include "agent/jobs_internal.h"

#include "agent/log.h"
#include "agent/ops.h"

#include <string.h>
#include <time.h>

#define BACKOFF_FIRST_MS 500
#define BACKOFF_MAX_MS   5000

/* Under the lock: the oldest job that somebody waits for, NULL when there is none. */
static SdesJob *
wanted_job(void)
{
	SdesJob *job;

	while ((job = sdes_job_shift(&sdes_pool.queue)) != NULL && job->client == 0)
		sdes_job_free(job);
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

/* Under the lock: hands the result over, or drops it when nobody waits. */
static void
finish_job(int worker, SdesJob *job, bool token_lost)
{
	sdes_pool.running[worker] = NULL;
	sdes_pool.worker_inside[worker] = 0;
	if (token_lost)
	{
		sdes_pool.restart = true;
		sdes_pool.stop = true;
		pthread_cond_broadcast(&sdes_pool.work);
		pthread_cond_signal(&sdes_pool.manager);
	}
	if (job->client == 0)
	{
		sdes_job_free(job);
		return;
	}
	sdes_job_done(job);
	while (sdes_pool.done.count > SDES_JOBS_DONE_MAX)
		pthread_cond_wait(&sdes_pool.room, &sdes_pool.lock);
}

typedef struct Worker
{
	pthread_t thread;
	int number;
	SdesOps ops;
} Worker;

/*
 * A KEK whose client left before it was told of it belongs to nobody: it is
 * destroyed again. Takes and leaves the lock held.
 */
static bool
undo_if_abandoned(Worker *worker, SdesJob *job, bool token_held)
{
	SdesRequest request = {.op = SDES_OP_KEK_DESTROY};

	if (job->client != 0 || job->request.op != SDES_OP_KEK_CREATE ||
	    job->reply.status != SDES_OK)
		return token_held;
	memcpy(request.kek_id, job->reply.kek_id, sizeof(request.kek_id));
	pthread_mutex_unlock(&sdes_pool.lock);
	token_held = sdes_ops_run(&worker->ops, &request, &job->reply, &job->memory);
	pthread_mutex_lock(&sdes_pool.lock);
	return token_held;
}

static void *
worker_main(void *argument)
{
	Worker *worker = argument;
	SdesJob *job;

	pthread_mutex_lock(&sdes_pool.lock);
	while ((job = next_job(worker->number)) != NULL)
	{
		bool token_held;

		pthread_mutex_unlock(&sdes_pool.lock);
		token_held = sdes_ops_run(&worker->ops, &job->request, &job->reply, &job->memory);
		pthread_mutex_lock(&sdes_pool.lock);
		token_held = undo_if_abandoned(worker, job, token_held);
		finish_job(worker->number, job, !token_held);
	}
	sdes_pool.worker_inside[worker->number] = sdes_agent_now();
	pthread_mutex_unlock(&sdes_pool.lock);
	sdes_ops_close(&worker->ops);
	pthread_mutex_lock(&sdes_pool.lock);
	sdes_pool.worker_inside[worker->number] = 0;
	pthread_mutex_unlock(&sdes_pool.lock);
	return NULL;
}

/* Runs the workers until the token is lost. One that cannot be started is missed. */
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
		worker->ops.provider = startup->provider;
		worker->ops.hsm = startup->hsm;
		if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
			break;
		started++;
	}
	pthread_mutex_lock(&sdes_pool.lock);
	while (started > 0 && !sdes_pool.restart)
		pthread_cond_wait(&sdes_pool.manager, &sdes_pool.lock);
	pthread_mutex_unlock(&sdes_pool.lock);
	for (int i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
}

/* Whether waiting may heal a failed start, or somebody has to do something. */
static bool
may_heal(SdesStatus status)
{
	return status != SDES_ERR_HSM_UNSET && status != SDES_ERR_HSM_PIN;
}

/* Under the lock: everybody who waits is told why. */
static void
fail_queue(void)
{
	SdesJob *job;

	while ((job = sdes_job_shift(&sdes_pool.queue)) != NULL)
		sdes_job_fail(job, sdes_pool.status, sdes_pool.fault.code, sdes_pool.fault.detail);
}

/* Publishes how a start ended. Logs a failure once, not at every retry of it. */
static void
publish(const SdesStartup *startup, SdesStatus status, const SdesHsmFault *fault)
{
	bool news;

	pthread_mutex_lock(&sdes_pool.lock);
	news = status == SDES_OK || sdes_pool.state != SDES_AGENT_FAILED ||
	       sdes_pool.status != status || strcmp(sdes_pool.fault.detail, fault->detail) != 0;
	sdes_pool.state = status == SDES_OK ? SDES_AGENT_READY : SDES_AGENT_FAILED;
	sdes_pool.status = status;
	sdes_pool.fault = *fault;
	sdes_pool.token = startup->token;
	sdes_pool.logins = startup->logins;
	memcpy(sdes_pool.pin_identity, startup->pin_identity, sizeof(sdes_pool.pin_identity));
	sdes_pool.manager_inside = 0;
	sdes_pool.stop = false;
	sdes_pool.restart = false;
	if (status == SDES_OK)
		sdes_pool.pin_retry = false;
	else
		fail_queue();
	sdes_pool_wake();
	pthread_mutex_unlock(&sdes_pool.lock);

	if (status == SDES_OK)
		sdes_agent_log("ready: token \"%s\", serial \"%s\", module \"%s\"",
		               startup->token.label, startup->token.serial, startup->token.module);
	else if (news)
		sdes_agent_log("failed: %s: %s", sdes_status_name(status), fault->detail);
}

/* One start of module and token. */
static bool
start(SdesStartup *startup)
{
	SdesHsmFault fault;
	SdesStatus status;

	memset(&fault, 0, sizeof(fault));
	memset(&startup->token, 0, sizeof(startup->token));
	pthread_mutex_lock(&sdes_pool.lock);
	startup->pin_retry = startup->pin_retry || sdes_pool.pin_retry;
	sdes_pool.pin_retry = false;
	sdes_pool.kick = false;
	sdes_pool.manager_inside = sdes_agent_now();
	sdes_pool_wake(); /* the main thread has a deadline to watch now */
	pthread_mutex_unlock(&sdes_pool.lock);
	status = sdes_startup(startup, &fault);
	if (status == SDES_OK)
		startup->pin_retry = false;
	publish(startup, status, &fault);
	return status == SDES_OK;
}

/* The token is lost: nobody is ready until it is there again. */
static void
shut_down(SdesStartup *startup)
{
	pthread_mutex_lock(&sdes_pool.lock);
	sdes_pool.state = SDES_AGENT_STARTING;
	sdes_pool.status = SDES_ERR_HSM_STARTING;
	sdes_pool.manager_inside = sdes_agent_now();
	sdes_pool_wake();
	pthread_mutex_unlock(&sdes_pool.lock);
	sdes_agent_log("the token is lost: starting the module again");
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

static void *
manager_main(void *argument)
{
	SdesStartup startup = {.config = argument, .provider = sdes_hsm_pkcs11()};
	int backoff = BACKOFF_FIRST_MS;

	for (;;)
	{
		int64_t began = sdes_agent_now();
		int wait = backoff;

		backoff = backoff * 2 < BACKOFF_MAX_MS ? backoff * 2 : BACKOFF_MAX_MS;
		if (start(&startup))
		{
			run_workers(&startup);
			shut_down(&startup);
			/* A token that was held for a while is taken again at once. */
			if (sdes_agent_now() - began > BACKOFF_MAX_MS)
			{
				backoff = BACKOFF_FIRST_MS;
				wait = 0;
			}
		}
		else if (!may_heal(sdes_pool.status)) /* only this thread writes it */
			wait = -1;
		wait_for_kick(wait);
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
