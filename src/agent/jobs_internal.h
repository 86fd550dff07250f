/*
 * jobs_internal.h
 *		State shared by jobs.c (the main thread's side) and manager.c and
 *		worker.c (the threads that enter the module), and by nobody else.
 *
 * Everything in SdesPool below the lock is under the lock. The lock is held
 * for list operations only, never across a call into the module, a log line or
 * the file system, so that the main thread may take it.
 */
#ifndef SDES_AGENT_JOBS_INTERNAL_H
#define SDES_AGENT_JOBS_INTERNAL_H

#include "agent/breaker.h"
#include "agent/doubt.h"
#include "agent/jobs.h"
#include "agent/startup.h"

#include <pthread.h>

/* Results the main thread has not fetched; workers wait beyond. Bounds the DEKs. */
#define SDES_JOBS_DONE_MAX 64

typedef struct SdesJobList
{
	SdesJob *first;
	SdesJob *last;
	int count;
} SdesJobList;

typedef struct SdesPool
{
	const SdesAgentConfig *config;
	int wake[2]; /* a pipe: workers write, the main thread polls */

	pthread_mutex_t lock;
	pthread_cond_t work;    /* workers: a job, or stop */
	pthread_cond_t room;    /* workers: the main thread took results */
	pthread_cond_t manager; /* manager: restart, or try again now */

	SdesJobList queue;
	SdesJobList done;
	int workers; /* that were started */
	SdesJob *running[SDES_WORKERS];
	/* Since when each thread is inside the module, 0 when it is not. */
	int64_t worker_inside[SDES_WORKERS];
	int64_t manager_inside;

	bool stop;    /* workers end after their job */
	bool restart; /* the breaker has opened: the module must be started anew */
	bool kick;    /* try again now */
	bool pin_retry;
	bool hopeless; /* nothing has helped: only a new process may */

	SdesDoubt doubt; /* whether a key that is missing is */

	SdesBreaker breaker;
	bool lost;         /* it has opened since the token did not answer at all */
	bool has_good_kek; /* one that was used last, to prove a token by */
	uint8_t good_kek[SDES_KEK_ID_SIZE];

	SdesAgentState state;
	int64_t state_since;
	bool told_ready;      /* the log has its line */
	int64_t outage_since; /* 0: none that was told */
	bool stalled;         /* all workers hang: requests fail at once */
	SdesStatus status;
	SdesHsmFault fault; /* why, also when half open */
	SdesHsmTokenInfo token;
	uint32_t logins;
	char pin_identity[SDES_PIN_IDENTITY_SIZE];
} SdesPool;

extern SdesPool sdes_pool;

/* Milliseconds that a job may take, and a worker be inside the module for it. */
static inline int64_t
sdes_job_deadline(const SdesJob *job)
{
	return job != NULL && job->request.op == SDES_OP_KEK_CREATE ? SDES_KEK_DEADLINE_MS
	                                                            : SDES_JOB_DEADLINE_MS;
}

extern void sdes_job_append(SdesJobList *list, SdesJob *job);
/* Where it belongs by the time when it was queued at first. */
extern void sdes_job_put_back(SdesJobList *list, SdesJob *job);
extern SdesJob *sdes_job_shift(SdesJobList *list);
/* Under the lock: puts a job with its reply where the main thread finds it. */
extern void sdes_job_done(SdesJob *job);
/* Under the lock: changes the state, and tells the main thread. */
extern void sdes_pool_state(SdesAgentState state, SdesStatus status,
                            const SdesHsmFault *fault);
/* Under the lock: answers all that are queued with the pool's failure. */
extern void sdes_pool_fail_queue(void);
/* Under the lock: answers a job with a failure. */
extern void sdes_job_fail(SdesJob *job, SdesStatus status, uint32_t ckr,
                          const char *detail);
/* Wakes the main thread. */
extern void sdes_pool_wake(void);

/* manager.c */
extern bool sdes_manager_start(void);
/* In service, for the first time or again: the log gets its line. */
extern void sdes_pool_tell_available(void);

/* worker.c */
extern SdesOps sdes_worker_ops(const SdesStartup *startup);
/* Runs the workers until the breaker opens. One that cannot be started is missed. */
extern void sdes_workers_run(const SdesStartup *startup);

#endif
