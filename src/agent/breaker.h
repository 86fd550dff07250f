/*
 * breaker.h
 *		Whether requests may go to the HSM: a circuit breaker, and the ladder of
 *		what is tried when they may not.
 *
 * Closed, they go. After SDES_BREAKER_TRIP failures in a row, or one after which
 * the token does not answer at all, it opens: they fail at once, and the module
 * is started anew. Where nothing but a request can tell whether that has helped,
 * the breaker stands half open and lets one at a time through. When starting
 * the module anew has not helped SDES_BREAKER_RESTARTS times, a process that it
 * has served well before has one thing left to try: to end, for a new one.
 *
 * What a key, a blob or a value is refused for is no failure. Plain data:
 * whoever shares it locks it.
 */
#ifndef SDES_AGENT_BREAKER_H
#define SDES_AGENT_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define SDES_BREAKER_TRIP     3
#define SDES_BREAKER_RESTARTS 2

typedef enum SdesCircuit
{
	SDES_CIRCUIT_CLOSED,
	SDES_CIRCUIT_OPEN,
	SDES_CIRCUIT_HALF_OPEN
} SdesCircuit;

/* Begins as zeros. */
typedef struct SdesBreaker
{
	SdesCircuit circuit;
	bool trial;        /* half open: a request is under way */
	bool served;       /* this process, at least once */
	bool steady;       /* a request was served since the module was started */
	uint32_t failures; /* in a row, of requests */
	int restarts;      /* of the module in a row that did not help */
} SdesBreaker;

/* Whether a request may go to the HSM now. Half open, it is the trial if so. */
extern bool sdes_breaker_admit(SdesBreaker *breaker);

/* A trial came to nothing: nobody waits for it, or it was refused for its own sake. */
extern void sdes_breaker_undecided(SdesBreaker *breaker);

/* A request was served. True when that closed the breaker. */
extern bool sdes_breaker_success(SdesBreaker *breaker);

/* One failed, after its retry. True when the breaker is open after it. */
extern bool sdes_breaker_failure(SdesBreaker *breaker, bool token_answers);

/* The module is about to be started anew. */
extern void sdes_breaker_restarting(SdesBreaker *breaker);

/* It was started, and works: proven, or as far as can be told without a request. */
extern void sdes_breaker_restarted(SdesBreaker *breaker, bool proven);

/* True when a new process is all that is left. */
extern bool sdes_breaker_hopeless(const SdesBreaker *breaker);

#endif
