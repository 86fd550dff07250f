/*
 * freshness.h
 *		How old a key may get. Private to this room.
 *
 * A key is fetched anew at its next use once it is older than
 * sdes.key_cache_ttl. While it cannot be had, the one at hand is used on until
 * it is older than sdes.key_cache_max_age.
 *
 * The clock is read once in a statement and once in some hundred uses, so that
 * a value costs what its cipher costs.
 */
#ifndef SDES_FRESHNESS_H
#define SDES_FRESHNESS_H

#include "postgres.h"

#include "access/xact.h"
#include "crypto/status.h"
#include "portability/instr_time.h"

typedef struct SdesFreshness
{
	instr_time fetched;
	TimestampTz checked_in; /* the statement that looked last */
	int uses_left;          /* until somebody looks again */
} SdesFreshness;

typedef enum SdesKeyAge
{
	SDES_KEY_FRESH,
	SDES_KEY_STALE,  /* to be fetched anew, but good while it cannot be */
	SDES_KEY_EXPIRED /* not to be used any more */
} SdesKeyAge;

/* Whether the key's age was looked at a moment ago; counts this use. */
static inline bool
sdes_freshness_known(SdesFreshness *freshness)
{
	return freshness->checked_in == GetCurrentStatementStartTimestamp() &&
	       --freshness->uses_left > 0;
}

/* The key was fetched just now. */
extern void sdes_freshness_start(SdesFreshness *freshness);

/* Looks at the clock. */
extern SdesKeyAge sdes_freshness_age(SdesFreshness *freshness);

/* Milliseconds until it expires, 0 if it has. */
extern int sdes_freshness_left_ms(const SdesFreshness *freshness);

/*
 * Whether to try a refresh now: the last one that failed is long enough ago, and
 * the server may wait here.
 */
extern bool sdes_refresh_due(void);
extern void sdes_refresh_ended(bool failed);

/*
 * True when a key could not be had for a reason that says nothing of the key: the
 * agent or the HSM is not there. False when it is the key or its row.
 */
extern bool sdes_is_outage(SdesStatus status);

/*
 * Has sdes_expiry_due() become true after that time, also in a backend that is
 * idle then: it wakes and runs an empty transaction, whose end callbacks look. Does
 * nothing while a time is set for the limit that is in force.
 */
extern void sdes_expiry_set(int ms);

/* Nothing is left that could expire. */
extern void sdes_expiry_none(void);

/*
 * True when it is time to look what has expired: that time has come, an error took
 * the alarm away, or the limit is another one now.
 */
extern bool sdes_expiry_due(void);

#endif
