/*
 * worker.c
 *		The threads that work off requests, and what the breaker learns of it.
 *
 * Whoever is about to enter the module writes down when, so that the main thread
 * can see who never came back.
 */
#include "agent/jobs_internal.h"

#include "agent/log.h"

#include <string.h>

/* Inside the module for so long, a worker is not to be waited for. */
#define BUSY_MS 500

typedef struct Worker
{
	pthread_t thread;
	int number;
	SdesOps ops;
} Worker;

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

/* Whether the module is being started anew for a missing key, and nothing has failed. */
static bool
doubting(void)
{
	return sdes_pool.restart && sdes_pool.status == SDES_ERR_HSM_STARTING;
}

/* Whether everybody would wait long for another worker, before the module can be started. */
static bool
others_are_busy(const Worker *worker, int64_t now)
{
	for (int i = 0; i < SDES_WORKERS; i++)
	{
		const SdesJob *job = sdes_pool.running[i];

		if (i != worker->number && job != NULL &&
		    (job->request.op == SDES_OP_KEK_CREATE ||
		     now - sdes_pool.worker_inside[i] >= BUSY_MS))
			return true;
	}
	return sdes_pool.stalled;
}

/*
 * Under the lock: a job's key is missing, which may be worth a start of the module
 * (doubt.h); who waits meanwhile is served after it. A token that says who it is was
 * looked at: then only for who wants to use the key, and only where that is soon done.
 */
static void
doubt_token(const Worker *worker, const SdesJob *job)
{
	bool known = sdes_ops_knows_token(&worker->ops);
	int64_t now = sdes_agent_now();

	if (sdes_pool.restart || job->again || job->client == 0 ||
	    (known && (!sdes_ops_wants_key(&job->request) || others_are_busy(worker, now))) ||
	    !sdes_doubt_due(&sdes_pool.doubt, sdes_ops_kek(&job->request, &job->reply), known,
	                    now))
		return;
	sdes_doubt_started(&sdes_pool.doubt, now);
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
judge(const Worker *worker, const SdesJob *job, SdesOpsOutcome outcome)
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
			if (job->again)
				sdes_doubt_in_vain(&sdes_pool.doubt,
				                   sdes_ops_kek(&job->request, &job->reply));
			doubt_token(worker, job);
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
	wanted = job->client != 0 && now < job->queued_at + sdes_job_deadline(job);
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

/* Under the lock: whether the module's start that is under way is a job's second chance. */
static bool
may_ask_again(const SdesJob *job, SdesOpsOutcome outcome)
{
	return outcome == SDES_OPS_MISSING && doubting() && !job->again &&
	       sdes_ops_wants_key(&job->request);
}

/* Under the lock: back into the queue. */
static void
ask_again(int worker, SdesJob *job)
{
	sdes_pool.running[worker] = NULL;
	sdes_pool.worker_inside[worker] = 0;
	sdes_ops_memory_free(&job->memory);
	job->again = true;
	sdes_job_put_back(&sdes_pool.queue, job);
	sdes_pool_wake();
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
	closed = judge(worker, job, outcome);
	if (may_ask_again(job, outcome))
	{
		ask_again(worker->number, job);
		return;
	}
	undo_if_abandoned(worker, job);
	finish_job(worker->number, job);
	if (!closed)
		return;
	pthread_mutex_unlock(&sdes_pool.lock);
	sdes_pool_tell_available();
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

SdesOps
sdes_worker_ops(const SdesStartup *startup)
{
	return (SdesOps){
	    .provider = startup->provider,
	    .hsm = startup->hsm,
	    .token = &startup->token,
	    .mute = startup->mute,
	};
}

void
sdes_workers_run(const SdesStartup *startup)
{
	Worker workers[SDES_WORKERS];
	int started = 0;

	memset(workers, 0, sizeof(workers));
	while (started < SDES_WORKERS)
	{
		Worker *worker = &workers[started];

		worker->number = started;
		worker->ops = sdes_worker_ops(startup);
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
