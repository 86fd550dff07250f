/*
 * backoff.c
 *		Waits with "decorrelated jitter": each is drawn between the shortest and
 *		a multiple of the one before, so that they grow and yet spread.
 */
#include "agent/backoff.h"

#include "crypto/kdf.h"

#define GROWTH 3

int
sdes_backoff_next(int previous_ms)
{
	int most = SDES_BACKOFF_MIN_MS * GROWTH;
	uint32_t drawn;

	if (previous_ms > SDES_BACKOFF_MAX_MS / GROWTH)
		most = SDES_BACKOFF_MAX_MS;
	else if (previous_ms > SDES_BACKOFF_MIN_MS)
		most = previous_ms * GROWTH;
	if (sdes_random(&drawn, sizeof(drawn)) != SDES_OK)
		return most;
	return SDES_BACKOFF_MIN_MS +
	       (int) (drawn % (uint32_t) (most - SDES_BACKOFF_MIN_MS + 1));
}
