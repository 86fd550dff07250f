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

#define STALLED_DETAIL "the PKCS#11 module has not returned from any call for 2 s"

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

void
sdes_job_put_back(SdesJobList *list, SdesJob *job)
{
	SdesJob **at = &list->first;

	while (*at != NULL && (*at)->queued_at <= job->queued_at)
		at = &(*at)->next;
	job->next = *at;
	*at = job;
	if (job->next == NULL)
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
	sdes_secret_free(&job->dek);
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

void
sdes_pool_state(SdesAgentState state, SdesStatus status, const SdesHsmFault *fault)
{
	int64_t now = sdes_agent_now();

	if (sdes_pool.state != state)
		sdes_pool.state_since = now;
	sdes_pool.state = state;
	sdes_pool.status = status;
	if (fault != NULL)
		sdes_pool.fault = *fault;
	sdes_pool_wake();
}

void
sdes_pool_fail_queue(void)
{
	SdesJob *job;

	while ((job = sdes_job_shift(&sdes_pool.queue)) != NULL)
		sdes_job_fail(job, sdes_pool.status, sdes_pool.fault.code, sdes_pool.fault.detail);
}

bool
sdes_jobs_start(const SdesAgentConfig *config)
{
	pthread_condattr_t monotonic;

	sdes_pool.config = config;
	sdes_pool.state_since = sdes_agent_now();
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

/* Half open, the state is READY and the failure the last one. */
static SdesStatus
why_failed(void)
{
	return sdes_pool.status != SDES_OK ? sdes_pool.status : SDES_ERR_HSM;
}

/* What a request borrows becomes its job's. False without memory. */
static bool
keep_values(SdesJob *job, SdesBytes values)
{
	job->values = malloc(values.size);
	if (job->values == NULL)
		return false;
	memcpy(job->values, values.data, values.size);
	job->request.values = sdes_bytes(job->values, values.size);
	return true;
}

static bool
keep_dek(SdesJob *job, SdesBytes dek)
{
	if (sdes_secret_new(&job->dek, dek.size) != SDES_OK)
		return false;
	memcpy(job->dek.data, dek.data, dek.size);
	job->request.dek = sdes_secret_bytes(&job->dek);
	return true;
}

/* A job with a copy of the request and what it borrows; NULL without memory. */
static SdesJob *
job_new(uint64_t client, const SdesRequest *request)
{
	SdesJob *job = calloc(1, sizeof(*job));

	if (job == NULL)
		return NULL;
	job->client = client;
	job->queued_at = sdes_agent_now();
	job->request = *request;
	job->request.values = job->request.dek = sdes_bytes(NULL, 0);
	if ((request->values.size == 0 || keep_values(job, request->values)) &&
	    (request->dek.size == 0 || keep_dek(job, request->dek)))
		return job;
	sdes_job_free(job);
	return NULL;
}

bool
sdes_jobs_submit(uint64_t client, const SdesRequest *request)
{
	SdesJob *job = job_new(client, request);

	if (job == NULL)
		return false;

	pthread_mutex_lock(&sdes_pool.lock);
	if (sdes_pool.stalled)
		sdes_job_fail(job, SDES_ERR_HSM_TIMEOUT, 0, STALLED_DETAIL);
	else if (sdes_pool.state == SDES_AGENT_FAILED ||
	         (sdes_pool.state == SDES_AGENT_READY &&
	          !sdes_breaker_admit(&sdes_pool.breaker)))
		sdes_job_fail(job, why_failed(), sdes_pool.fault.code, sdes_pool.fault.detail);
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

/*
 * Milliseconds that are left of a job (NULL: of a start), never negative; -1 when
 * nothing was begun.
 */
static int64_t
left_of(const SdesJob *job, int64_t begun_at, int64_t now)
{
	int64_t left = begun_at + sdes_job_deadline(job) - now;

	if (begun_at == 0)
		return -1;
	return left > 0 ? left : 0;
}

/*
 * Jobs are queued in order of time, so the oldest comes first. None waits longer
 * for a worker than others may take.
 */
static int64_t
expire_queue(int64_t now)
{
	SdesJob *job;

	while ((job = sdes_pool.queue.first) != NULL)
	{
		int64_t left = left_of(NULL, job->queued_at, now);

		if (left > 0)
			return left;
		sdes_job_shift(&sdes_pool.queue);
		sdes_breaker_undecided(&sdes_pool.breaker);
		sdes_job_fail(job, SDES_ERR_HSM_TIMEOUT, 0, "no worker was free in time");
	}
	return -1;
}

/*
 * Under the lock: milliseconds until all workers have been inside the module for
 * too long, 0 when they have; -1 while one is not inside, or makes a key, which
 * may take its time.
 */
static int64_t
until_stalled(int64_t now)
{
	int64_t last = 0;

	if (sdes_pool.state != SDES_AGENT_READY || sdes_pool.workers == 0)
		return -1;
	for (int i = 0; i < sdes_pool.workers; i++)
	{
		const SdesJob *job = sdes_pool.running[i];

		if (sdes_pool.worker_inside[i] == 0 || job == NULL ||
		    job->request.op == SDES_OP_KEK_CREATE)
			return -1;
		if (sdes_pool.worker_inside[i] > last)
			last = sdes_pool.worker_inside[i];
	}
	return last + SDES_STALL_MS > now ? last + SDES_STALL_MS - now : 0;
}

/*
 * Under the lock: notes whether all workers hang; whoever is queued behind them
 * is told. Returns the milliseconds until that may change, -1 for never.
 */
static int64_t
check_stall(int64_t now, bool *news)
{
	int64_t left = until_stalled(now);
	bool under_way = sdes_pool.queue.count > 0;
	SdesJob *job;

	for (int i = 0; i < SDES_WORKERS; i++)
		under_way = under_way || sdes_pool.running[i] != NULL;
	*news = sdes_pool.stalled != (left == 0);
	if (*news)
	{
		sdes_pool.stalled = left == 0;
		sdes_pool.state_since = now;
	}
	while (sdes_pool.stalled && (job = sdes_job_shift(&sdes_pool.queue)) != NULL)
		sdes_job_fail(job, SDES_ERR_HSM_TIMEOUT, 0, STALLED_DETAIL);
	if (left > 0)
		return left;
	/* Who takes a job does not wake this thread. */
	return under_way ? SDES_STALL_MS / 4 : -1;
}

static void
tell_stall(bool stalled, int64_t since)
{
	if (stalled)
		sdes_agent_log("unavailable: " STALLED_DETAIL);
	else
		sdes_agent_log("available again after %.1f s: the PKCS#11 module has returned",
		               (double) (sdes_agent_now() - since + SDES_STALL_MS) / 1000);
}

int
sdes_jobs_tick(void)
{
	int64_t now = sdes_agent_now(), since;
	int64_t wait;
	bool news, stalled;

	pthread_mutex_lock(&sdes_pool.lock);
	since = sdes_pool.state_since;
	wait = check_stall(now, &news);
	stalled = sdes_pool.stalled;
	wait = sooner(wait, expire_queue(now));
	wait = sooner(wait, left_of(NULL, sdes_pool.manager_inside, now));
	for (int i = 0; i < SDES_WORKERS; i++)
	{
		SdesJob *job = sdes_pool.running[i];
		int64_t left =
		    job != NULL && job->client != 0 ? left_of(job, job->queued_at, now) : -1;

		if (left == 0)
			answer_running(job, "the module did not return in time");
		else
			wait = sooner(wait, left);
		wait = sooner(wait, left_of(job, sdes_pool.worker_inside[i], now));
	}
	pthread_mutex_unlock(&sdes_pool.lock);
	if (news)
		tell_stall(stalled, since);
	return (int) wait;
}

/* Under the lock: whether a thread has been inside the module for too long. */
static bool
is_stuck(int64_t now)
{
	bool stuck = left_of(NULL, sdes_pool.manager_inside, now) == 0;

	for (int i = 0; i < SDES_WORKERS; i++)
		stuck =
		    stuck || left_of(sdes_pool.running[i], sdes_pool.worker_inside[i], now) == 0;
	return stuck;
}

const char *
sdes_jobs_hopeless(void)
{
	const char *why = NULL;
	SdesJob *job;

	pthread_mutex_lock(&sdes_pool.lock);
	if (is_stuck(sdes_agent_now()))
		why = "the PKCS#11 module did not return in time";
	else if (sdes_pool.hopeless)
		why = "starting the PKCS#11 module anew has not helped";
	if (why != NULL)
	{
		while ((job = sdes_job_shift(&sdes_pool.queue)) != NULL)
			sdes_job_fail(job, SDES_ERR_HSM_TIMEOUT, 0, why);
		for (int i = 0; i < SDES_WORKERS; i++)
			answer_running(sdes_pool.running[i], why);
	}
	pthread_mutex_unlock(&sdes_pool.lock);
	return why;
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
	out->seconds = (uint32_t) ((sdes_agent_now() - sdes_pool.state_since) / 1000);
	out->failures = sdes_pool.breaker.failures;
	memcpy(out->module, token->module, sizeof(out->module));
	memcpy(out->token_label, token->label, sizeof(out->token_label));
	memcpy(out->token_serial, token->serial, sizeof(out->token_serial));
	memcpy(out->token_model, token->model, sizeof(out->token_model));
	if (out->state != SDES_AGENT_READY || out->failures > 0)
		memcpy(out->detail, sdes_pool.fault.detail, sizeof(out->detail));
	if (sdes_pool.stalled)
	{
		out->state = SDES_AGENT_FAILED;
		out->status = SDES_ERR_HSM_TIMEOUT;
		strcpy(out->detail, STALLED_DETAIL);
	}
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
