/*
 * jobs.h
 *		The threads that enter the PKCS#11 module, and the queue to them.
 *
 * A manager thread loads the module, logs in and starts SDES_WORKERS workers,
 * each with its own session; when the breaker opens it stops them, finalises
 * the module and begins again (breaker.h). The main thread only puts jobs in and takes
 * results out: it never enters the module and never waits for who does, since
 * a thread stuck in a module cannot be rescued. It watches the clock instead.
 *
 * All functions here are the main thread's, and none blocks.
 */
#ifndef SDES_AGENT_JOBS_H
#define SDES_AGENT_JOBS_H

#include "agent/ops.h"

#define SDES_WORKERS         4
#define SDES_JOB_DEADLINE_MS 10000 /* of a job, and of one start of the module */
#define SDES_KEK_DEADLINE_MS 60000 /* of KEK_CREATE: small HSMs take long for RSA keys */
/* When no worker has come back for so long, nobody is sent after them. */
#define SDES_STALL_MS 2000

typedef struct SdesJob
{
	struct SdesJob *next;
	uint64_t client;   /* who waits for it; 0 when nobody does any more */
	int64_t queued_at; /* sdes_agent_now() */
	bool again;        /* its key was missing: the module was started anew for it */
	SdesRequest request;
	uint8_t *values; /* what request.values points to */
	SdesSecret dek;  /* what request.dek points to */
	SdesReply reply;
	SdesOpsMemory memory; /* what the reply points into */
} SdesJob;

/* Starts the manager thread. config must stay. */
extern bool sdes_jobs_start(const SdesAgentConfig *config);

/* Readable when there is something to take, or the state has changed. */
extern int sdes_jobs_fd(void);

/* Empties the descriptor; then take until NULL. */
extern void sdes_jobs_drain_fd(void);

/*
 * Queues a request of a client that has none under way. False without memory.
 * While the agent is FAILED, or the breaker does not admit it, the job comes back
 * at once with the failure.
 */
extern bool sdes_jobs_submit(uint64_t client, const SdesRequest *request);

/* The client is gone: what was meant for it is dropped and wiped. */
extern void sdes_jobs_forget(uint64_t client);

/* A job with its reply, NULL when there is none; sdes_job_free() it. */
extern SdesJob *sdes_jobs_take(void);
extern void sdes_job_free(SdesJob *job);

/*
 * Answers what is past its deadline with SDES_ERR_HSM_TIMEOUT. Returns the
 * milliseconds until it must be called again, -1 for never.
 */
extern int sdes_jobs_tick(void);

/*
 * Why this process must end for a new one, NULL unless it must: a thread has
 * been inside the module for too long, or nothing has helped against its
 * failures. All jobs then come back.
 */
extern const char *sdes_jobs_hopeless(void);

extern void sdes_jobs_info(SdesAgentInfo *out);

/* An administrator says the PIN is right. */
extern void sdes_jobs_pin_retry(void);

/*
 * To be called every second while it returns true: looks whether the source
 * of a refused PIN has changed, and starts anew if so.
 */
extern bool sdes_jobs_watch_pin(void);

#endif
