/*
 * breaker.c
 *		See breaker.h.
 */
#include "agent/breaker.h"

bool
sdes_breaker_admit(SdesBreaker *breaker)
{
	if (breaker->circuit == SDES_CIRCUIT_CLOSED)
		return true;
	if (breaker->circuit == SDES_CIRCUIT_OPEN || breaker->trial)
		return false;
	breaker->trial = true;
	return true;
}

void
sdes_breaker_undecided(SdesBreaker *breaker)
{
	breaker->trial = false;
}

bool
sdes_breaker_success(SdesBreaker *breaker)
{
	bool closed = breaker->circuit == SDES_CIRCUIT_HALF_OPEN;

	breaker->served = true;
	/* Open: one that was under way when others failed. That stands. */
	if (breaker->circuit == SDES_CIRCUIT_OPEN)
		return false;
	*breaker = (SdesBreaker){.served = true, .steady = true};
	return closed;
}

bool
sdes_breaker_failure(SdesBreaker *breaker, bool token_answers)
{
	breaker->failures++;
	breaker->trial = false;
	if (breaker->circuit == SDES_CIRCUIT_HALF_OPEN || !token_answers ||
	    breaker->failures >= SDES_BREAKER_TRIP)
		breaker->circuit = SDES_CIRCUIT_OPEN;
	return breaker->circuit == SDES_CIRCUIT_OPEN;
}

void
sdes_breaker_restarting(SdesBreaker *breaker)
{
	breaker->circuit = SDES_CIRCUIT_OPEN;
	breaker->trial = false;
	breaker->steady = false;
	breaker->restarts++;
}

void
sdes_breaker_restarted(SdesBreaker *breaker, bool proven)
{
	breaker->circuit = proven ? SDES_CIRCUIT_CLOSED : SDES_CIRCUIT_HALF_OPEN;
	if (!proven)
		return;
	breaker->failures = 0;
	breaker->restarts = 0;
}

bool
sdes_breaker_hopeless(const SdesBreaker *breaker)
{
	return breaker->served && breaker->restarts >= SDES_BREAKER_RESTARTS;
}
