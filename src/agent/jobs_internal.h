/*
 * jobs_internal.h
 *		State shared by jobs.c (the main thread's side) and manager.c (the
 *		threads that enter the module), and by nobody else.
 *
 * Everything in SdesPool below the lock is under the lock. The lock is held
 * for list operations only, never across a call into the module, a log line or
 * the file system, so that the main thread may take it.
 */
#ifndef SDES_AGENT_JOBS_INTERNAL_H
#define SDES_AGENT_JOBS_INTERNAL_H

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
	SdesJob *running[SDES_WORKERS];
	/* Since when each thread is inside the module, 0 when it is not. */
	int64_t worker_inside[SDES_WORKERS];
	int64_t manager_inside;

	bool stop;    /* workers end after their job */
	bool restart; /* a worker lost the token */
	bool kick;    /* try again now */
	bool pin_retry;

	SdesAgentState state;
	SdesStatus status;
	SdesHsmFault fault;
	SdesHsmTokenInfo token;
	uint32_t logins;
	char pin_identity[SDES_PIN_IDENTITY_SIZE];
} SdesPool;

extern SdesPool sdes_pool;

extern void sdes_job_append(SdesJobList *list, SdesJob *job);
extern SdesJob *sdes_job_shift(SdesJobList *list);
/* Under the lock: puts a job with its reply where the main thread finds it. */
extern void sdes_job_done(SdesJob *job);
/* Under the lock: answers a job with a failure. */
extern void sdes_job_fail(SdesJob *job, SdesStatus status, uint32_t ckr,
                          const char *detail);
/* Wakes the main thread. */
extern void sdes_pool_wake(void);

/* manager.c */
extern bool sdes_manager_start(void);

#endif
