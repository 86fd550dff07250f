/*
 * freshness.c
 *		The ages of keys, the pauses between refreshes that fail, and the alarm
 *		that gets an idle backend to let go of a key.
 */
#include "postgres.h"

#include "keyring/freshness.h"

#include "agentlink/agentlink.h"
#include "crypto/kdf.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/sinval.h"
#include "utils/timeout.h"

#define USES_PER_LOOK    256
#define FIRST_PAUSE_MS   1000
#define LONGEST_PAUSE_MS 30000

static int pause_ms = 0; /* 0: the last refresh went well */
static instr_time paused_at;

static TimeoutId alarm_id = MAX_TIMEOUTS; /* MAX_TIMEOUTS: not registered */
static volatile sig_atomic_t alarm_rang = false;
static bool awaited = false; /* something is to expire */
static int alarm_limit;      /* sdes.key_cache_max_age when the alarm was set */

static double
ms_since(instr_time then)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, then);
	return INSTR_TIME_GET_MILLISEC(now);
}

/* A lower one than the soft limit acts as both. */
static double
soft_limit_ms(void)
{
	return 1000.0 * Min(sdes_key_cache_ttl, sdes_key_cache_max_age);
}

static void
looked(SdesFreshness *freshness)
{
	freshness->checked_in = GetCurrentStatementStartTimestamp();
	freshness->uses_left = USES_PER_LOOK;
}

void
sdes_freshness_start(SdesFreshness *freshness)
{
	INSTR_TIME_SET_CURRENT(freshness->fetched);
	looked(freshness);
}

SdesKeyAge
sdes_freshness_age(SdesFreshness *freshness)
{
	double age = ms_since(freshness->fetched);

	looked(freshness);
	if (age >= 1000.0 * sdes_key_cache_max_age)
		return SDES_KEY_EXPIRED;
	return age >= soft_limit_ms() ? SDES_KEY_STALE : SDES_KEY_FRESH;
}

int
sdes_freshness_left_ms(const SdesFreshness *freshness)
{
	double left = 1000.0 * sdes_key_cache_max_age - ms_since(freshness->fetched);

	return left > 0 ? (int) left + 1 : 0;
}

bool
sdes_refresh_due(void)
{
	if (sdes_must_not_wait())
		return false;
	return pause_ms == 0 || ms_since(paused_at) >= pause_ms;
}

/* Between half and all of that, so that backends do not come in step. */
static int
jittered(int ms)
{
	uint16 chance = 0;

	/* Without random bytes the pause is the longest one. */
	if (sdes_random(&chance, sizeof(chance)) != SDES_OK)
		return ms;
	return ms / 2 + (int) ((int64) ms / 2 * chance / PG_UINT16_MAX);
}

void
sdes_refresh_ended(bool failed)
{
	static int longest = FIRST_PAUSE_MS;

	if (!failed)
	{
		pause_ms = 0;
		longest = FIRST_PAUSE_MS;
		return;
	}
	pause_ms = jittered(longest);
	longest = Min(2 * longest, LONGEST_PAUSE_MS);
	INSTR_TIME_SET_CURRENT(paused_at);
}

bool
sdes_is_outage(SdesStatus status)
{
	switch (status)
	{
		case SDES_ERR_FORMAT:
		case SDES_ERR_TAG:
		case SDES_ERR_COMMITMENT:
		case SDES_ERR_HSM_KEY_MISSING:
		case SDES_ERR_HSM_KEY_AMBIGUOUS:
		case SDES_ERR_HSM_KEY_UNSAFE:
			return false;
		default:
			return true;
	}
}

/*
 * In a signal handler. PostgreSQL has no way for an extension to be called while a
 * backend waits for its client; but a backend that is told to catch up with
 * invalidations then runs an empty transaction, and those have callbacks. In the
 * middle of a transaction it has none: there the key goes when it ends, or at the
 * next use of any key.
 */
static void
ring(void)
{
	alarm_rang = true;
	HandleCatchupInterrupt();
}

static bool
alarm_is_right(void)
{
	return alarm_id != MAX_TIMEOUTS && get_timeout_active(alarm_id) &&
	       alarm_limit == sdes_key_cache_max_age;
}

void
sdes_expiry_set(int ms)
{
	if (alarm_id == MAX_TIMEOUTS)
		alarm_id = RegisterTimeout(USER_TIMEOUT, ring);
	awaited = true;
	if (alarm_is_right())
		return;
	alarm_limit = sdes_key_cache_max_age;
	enable_timeout_after(alarm_id, Max(ms, 1));
}

void
sdes_expiry_none(void)
{
	awaited = false;
}

bool
sdes_expiry_due(void)
{
	bool rang = alarm_rang;

	alarm_rang = false;
	return rang || (awaited && !alarm_is_right());
}
