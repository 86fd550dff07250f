/*
 * jobs.c
 *		The main thread's side of the pool: queue, results, deadlines, status.
 *
 * Invariant: a client's job is in exactly one place (queue, running, done), or
 * was answered and lives on as a running job without a client.
 */
#include "agent/jobs_internal.h"

#include "agent/log.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

SdesPool sdes_pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .room = PTHREAD_COND_INITIALIZER,
};

void
sdes_job_append(SdesJobList *list, SdesJob *job)
{
	job->next = NULL;
	if (list->last != NULL)
		list->last->next = job;
	else
		list->first = job;
	list->last = job;
	list->count++;
}

SdesJob *
sdes_job_shift(SdesJobList *list)
{
	SdesJob *job = list->first;

	if (job == NULL)
		return NULL;
	list->first = job->next;
	if (list->first == NULL)
		list->last = NULL;
	list->count--;
	return job;
}

void
sdes_job_free(SdesJob *job)
{
	if (job == NULL)
		return;
	sdes_ops_memory_free(&job->memory);
	if (job->values != NULL)
		OPENSSL_cleanse(job->values, job->request.values.size);
	free(job->values);
	OPENSSL_cleanse(job, sizeof(*job));
	free(job);
}

void
sdes_pool_wake(void)
{
	/* A full pipe wakes as well. */
	if (write(sdes_pool.wake[1], "", 1) < 0)
		return;
}

void
sdes_job_done(SdesJob *job)
{
	sdes_job_append(&sdes_pool.done, job);
	sdes_pool_wake();
}

void
sdes_job_fail(SdesJob *job, SdesStatus status, uint32_t ckr, const char *detail)
{
	memset(&job->reply, 0, sizeof(job->reply));
	job->reply.op = job->request.op;
	job->reply.status = status;
	job->reply.ckr = ckr;
	strncpy(job->reply.detail, detail, sizeof(job->reply.detail) - 1);
	sdes_job_done(job);
}

bool
sdes_jobs_start(const SdesAgentConfig *config)
{
	pthread_condattr_t monotonic;

	sdes_pool.config = config;
	if (pipe2(sdes_pool.wake, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	if (pthread_condattr_init(&monotonic) != 0 ||
	    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
	    pthread_cond_init(&sdes_pool.manager, &monotonic) != 0)
		return false;
	return sdes_manager_start();
}

int
sdes_jobs_fd(void)
{
	return sdes_pool.wake[0];
}

void
sdes_jobs_drain_fd(void)
{
	char bytes[256];

	while (read(sdes_pool.wake[0], bytes, sizeof(bytes)) > 0)
		;
}

/* A job with a copy of the request and its values; NULL without memory. */
static SdesJob *
job_new(uint64_t client, const SdesRequest *request)
{
	SdesJob *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->client = client;
	job->queued_at = sdes_agent_now();
	job->request = *request;
	if (request->values.size == 0)
		return job;
	job->values = malloc(request->values.size);
	if (job->values == NULL)
	{
		job->request.values = sdes_bytes(NULL, 0);
		sdes_job_free(job);
		return NULL;
	}
	memcpy(job->values, request->values.data, request->values.size);
	job->request.values.data = job->values;
	return job;
}

bool
sdes_jobs_submit(uint64_t client, const SdesRequest *request)
{
	SdesJob *job = job_new(client, request);

	if (job == NULL)
		return false;

	pthread_mutex_lock(&sdes_pool.lock);
	if (sdes_pool.state == SDES_AGENT_FAILED)
		sdes_job_fail(job, sdes_pool.status, sdes_pool.fault.code, sdes_pool.fault.detail);
	else
	{
		sdes_job_append(&sdes_pool.queue, job);
		pthread_cond_signal(&sdes_pool.work);
	}
	pthread_mutex_unlock(&sdes_pool.lock);
	return true;
}

SdesJob *
sdes_jobs_take(void)
{
	SdesJob *job;

	pthread_mutex_lock(&sdes_pool.lock);
	job = sdes_job_shift(&sdes_pool.done);
	pthread_cond_signal(&sdes_pool.room);
	pthread_mutex_unlock(&sdes_pool.lock);
	return job;
}

static void
forget_in(SdesJob *job, uint64_t client)
{
	for (; job != NULL; job = job->next)
	{
		if (job->client == client)
			job->client = 0;
	}
}

void
sdes_jobs_forget(uint64_t client)
{
	pthread_mutex_lock(&sdes_pool.lock);
	forget_in(sdes_pool.queue.first, client);
	forget_in(sdes_pool.done.first, client);
	for (int i = 0; i < SDES_WORKERS; i++)
	{
		if (sdes_pool.running[i] != NULL && sdes_pool.running[i]->client == client)
			sdes_pool.running[i]->client = 0;
	}
	pthread_mutex_unlock(&sdes_pool.lock);
}

/*
 * Answers the client of a job that a worker has in hand: the job itself stays
 * the worker's, so the answer is a job of its own.
 */
static void
answer_running(SdesJob *running, const char *detail)
{
	SdesJob *answer;

	if (running == NULL || running->client == 0)
		return;
	answer = calloc(1, sizeof(*answer));
	if (answer == NULL)
		return; /* the client has a deadline of its own */
	answer->client = running->client;
	answer->request.op = running->request.op;
	running->client = 0;
	sdes_job_fail(answer, SDES_ERR_HSM_TIMEOUT, 0, detail);
}

/* Sooner of two waits, where -1 is never. */
static int64_t
sooner(int64_t a, int64_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* Milliseconds that are left, never negative; -1 when nothing was begun. */
static int64_t
left_of(int64_t begun_at, int64_t now)
{
	int64_t left = begun_at + SDES_JOB_DEADLINE_MS - now;

	if (begun_at == 0)
		return -1;
	return left > 0 ? left : 0;
}

/* Jobs are queued in order of time, so the oldest comes first. */
static int64_t
expire_queue(int64_t now)
{
	SdesJob *job;

	while ((job = sdes_pool.queue.first) != NULL)
	{
		int64_t left = left_of(job->queued_at, now);

		if (left > 0)
			return left;
		sdes_job_shift(&sdes_pool.queue);
		sdes_job_fail(job, SDES_ERR_HSM_TIMEOUT, 0, "no worker was free in time");
	}
	return -1;
}

int
sdes_jobs_tick(void)
{
	int64_t now = sdes_agent_now();
	int64_t wait;

	pthread_mutex_lock(&sdes_pool.lock);
	wait = sooner(expire_queue(now), left_of(sdes_pool.manager_inside, now));
	for (int i = 0; i < SDES_WORKERS; i++)
	{
		SdesJob *job = sdes_pool.running[i];
		int64_t left = job != NULL && job->client != 0 ? left_of(job->queued_at, now) : -1;

		if (left == 0)
			answer_running(job, "the module did not return in time");
		else
			wait = sooner(wait, left);
		wait = sooner(wait, left_of(sdes_pool.worker_inside[i], now));
	}
	pthread_mutex_unlock(&sdes_pool.lock);
	return (int) wait;
}

bool
sdes_jobs_stuck(void)
{
	int64_t now = sdes_agent_now();
	bool stuck;
	SdesJob *job;

	pthread_mutex_lock(&sdes_pool.lock);
	stuck = left_of(sdes_pool.manager_inside, now) == 0;
	for (int i = 0; i < SDES_WORKERS; i++)
		stuck = stuck || left_of(sdes_pool.worker_inside[i], now) == 0;
	if (stuck)
	{
		while ((job = sdes_job_shift(&sdes_pool.queue)) != NULL)
			sdes_job_fail(job, SDES_ERR_HSM_TIMEOUT, 0, "the module is stuck");
		for (int i = 0; i < SDES_WORKERS; i++)
			answer_running(sdes_pool.running[i], "the module is stuck");
	}
	pthread_mutex_unlock(&sdes_pool.lock);
	return stuck;
}

void
sdes_jobs_info(SdesAgentInfo *out)
{
	const SdesHsmTokenInfo *token = &sdes_pool.token;

	memset(out, 0, sizeof(*out));
	out->pid = (uint32_t) getpid();
	pthread_mutex_lock(&sdes_pool.lock);
	out->state = (uint8_t) sdes_pool.state;
	out->status = (uint16_t) sdes_pool.status;
	out->logins = sdes_pool.logins;
	memcpy(out->module, token->module, sizeof(out->module));
	memcpy(out->token_label, token->label, sizeof(out->token_label));
	memcpy(out->token_serial, token->serial, sizeof(out->token_serial));
	memcpy(out->token_model, token->model, sizeof(out->token_model));
	memcpy(out->detail, sdes_pool.fault.detail, sizeof(out->detail));
	pthread_mutex_unlock(&sdes_pool.lock);
}

static void
kick_manager(bool pin_retry)
{
	pthread_mutex_lock(&sdes_pool.lock);
	if (sdes_pool.state != SDES_AGENT_READY)
	{
		sdes_pool.kick = true;
		sdes_pool.pin_retry = sdes_pool.pin_retry || pin_retry;
		pthread_cond_signal(&sdes_pool.manager);
	}
	pthread_mutex_unlock(&sdes_pool.lock);
}

void
sdes_jobs_pin_retry(void)
{
	kick_manager(true);
}

bool
sdes_jobs_watch_pin(void)
{
	char refused[SDES_PIN_IDENTITY_SIZE], current[SDES_PIN_IDENTITY_SIZE];
	bool latched;

	pthread_mutex_lock(&sdes_pool.lock);
	latched = sdes_pool.state == SDES_AGENT_FAILED && sdes_pool.status == SDES_ERR_HSM_PIN;
	memcpy(refused, sdes_pool.pin_identity, sizeof(refused));
	pthread_mutex_unlock(&sdes_pool.lock);
	if (!latched)
		return false;
	sdes_pin_identity(sdes_pool.config, current);
	if (strcmp(current, refused) != 0)
		kick_manager(false);
	return true;
}
