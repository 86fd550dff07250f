/*
 * test_breaker.c
 *		The ladder's decisions, and how long it waits between them.
 */
#include "agent/backoff.h"
#include "agent/breaker.h"
#include "tap.h"

#define DRAWS 20000

static void
test_trips(void)
{
	SdesBreaker b = {0};
	int admitted = 0;

	ok(sdes_breaker_admit(&b) && b.circuit == SDES_CIRCUIT_CLOSED, "closed at first");
	for (int round = 0; round < 10; round++)
	{
		for (int i = 1; i < SDES_BREAKER_TRIP; i++)
			sdes_breaker_failure(&b, true);
		sdes_breaker_success(&b);
		admitted += sdes_breaker_admit(&b);
	}
	ok(admitted == 10, "failures with successes between them: closed");
	for (int i = 1; i < SDES_BREAKER_TRIP; i++)
		sdes_breaker_failure(&b, true);
	sdes_breaker_undecided(&b);
	ok(sdes_breaker_admit(&b), "one failure too few: closed");
	ok(sdes_breaker_failure(&b, true) && !sdes_breaker_admit(&b), "one more: open");
	ok(!sdes_breaker_success(&b) && !sdes_breaker_admit(&b),
	   "what was under way then and went well does not close it");
	b = (SdesBreaker){0};
	ok(sdes_breaker_failure(&b, false) && !sdes_breaker_admit(&b),
	   "a token that does not answer: open at once");
}

static void
test_half_open(void)
{
	SdesBreaker b = {0};

	sdes_breaker_failure(&b, false);
	sdes_breaker_restarting(&b);
	ok(!sdes_breaker_admit(&b), "open while the module is started");
	sdes_breaker_restarted(&b, false);
	ok(sdes_breaker_admit(&b), "half open: one request goes through");
	ok(!sdes_breaker_admit(&b), "and no other meanwhile");
	sdes_breaker_undecided(&b);
	ok(sdes_breaker_admit(&b), "it says nothing: another may try");
	ok(sdes_breaker_failure(&b, true) && !sdes_breaker_admit(&b), "it fails: open again");
	sdes_breaker_restarting(&b);
	sdes_breaker_restarted(&b, false);
	sdes_breaker_admit(&b);
	ok(sdes_breaker_success(&b), "it goes well: closed, which is news");
	ok(sdes_breaker_admit(&b) && sdes_breaker_admit(&b) && b.failures == 0,
	   "all go through");
	ok(!sdes_breaker_success(&b), "and that is no news any more");
	sdes_breaker_failure(&b, false);
	sdes_breaker_restarting(&b);
	sdes_breaker_restarted(&b, true);
	ok(sdes_breaker_admit(&b) && sdes_breaker_admit(&b) && b.failures == 0,
	   "a start that proves it: closed");
}

static void
test_last_rung(void)
{
	SdesBreaker fresh = {0}, b = {0};

	for (int i = 0; i < 10; i++)
		sdes_breaker_restarting(&fresh);
	ok(!sdes_breaker_hopeless(&fresh), "a process that never served need not be replaced");
	sdes_breaker_success(&b);
	sdes_breaker_failure(&b, false);
	for (int i = 1; i < SDES_BREAKER_RESTARTS; i++)
		sdes_breaker_restarting(&b);
	ok(!sdes_breaker_hopeless(&b), "one that served: not before the last start");
	sdes_breaker_restarting(&b);
	ok(sdes_breaker_hopeless(&b), "but when that did not help");
	sdes_breaker_restarted(&b, true);
	ok(!sdes_breaker_hopeless(&b), "and not when it did");
	sdes_breaker_restarting(&b);
	sdes_breaker_restarted(&b, false);
	ok(b.restarts == 1, "without a proof it counts");
}

static void
test_backoff(void)
{
	long low = 0, high = 0, wild = 0, longest = 0, shortest = SDES_BACKOFF_MAX_MS;
	int wait = 0;

	for (int i = 0; i < DRAWS; i++)
	{
		int next = sdes_backoff_next(wait);

		low += next < SDES_BACKOFF_MIN_MS;
		high += next > SDES_BACKOFF_MAX_MS;
		wild += wait > 0 && next > 3 * wait;
		wait = next;
		longest = next > longest ? next : longest;
		shortest = next < shortest ? next : shortest;
	}
	none_failed(low, DRAWS, "no wait is below the minimum");
	none_failed(high, DRAWS, "none is above the maximum");
	none_failed(wild, DRAWS, "none is above three times the previous one");
	ok(longest > SDES_BACKOFF_MAX_MS * 9 / 10 && shortest < SDES_BACKOFF_MIN_MS * 2,
	   "they are spread all over that");
	for (int i = high = 0; i < 1000; i++)
		high += sdes_backoff_next(0) > 3 * SDES_BACKOFF_MIN_MS ||
		        sdes_backoff_next(-1) > 3 * SDES_BACKOFF_MIN_MS;
	none_failed(high, 1000, "the first one is short");
}

int
main(void)
{
	test_trips();
	test_half_open();
	test_last_rung();
	test_backoff();
	return done_testing();
}
