/*
 * manners.c
 *		The window of hours, and replicas that lag.
 *
 * Load is seen to elsewhere: the worker rests in proportion to how long its batches
 * take (sdes.rotation_share), and on a busy server they take longer.
 */
#include "postgres.h"

#include "rotation/manners.h"

#include "pgtime.h"
#include "rotation/horizon.h"
#include "sdes_guc.h"
#include "utils/timestamp.h"

#define MINUTES_A_DAY (24 * 60)

/* Minutes since midnight in the server's time zone. */
static int
minute_of_day(void)
{
	pg_time_t now = (pg_time_t) time(NULL);
	struct pg_tm *local = pg_localtime(&now, log_timezone);

	return local->tm_hour * 60 + local->tm_min;
}

/* A window may go past midnight. */
static bool
outside_window(void)
{
	int from, to;
	int now = minute_of_day();

	if (!sdes_rotation_window_minutes(&from, &to))
		return false;
	return (now - from + MINUTES_A_DAY) % MINUTES_A_DAY >=
	       (to - from + MINUTES_A_DAY) % MINUTES_A_DAY;
}

static bool
replicas_lag(void)
{
	return sdes_rotation_max_lag >= 0 &&
	       sdes_horizon_lag() > (uint64) sdes_rotation_max_lag * 1024 * 1024;
}

const char *
sdes_manners_wait(void)
{
	if (outside_window())
		return "waiting for the hours of sdes.rotation_window";
	if (replicas_lag())
		return "waiting for a replica that lags by more than sdes.rotation_max_lag";
	return NULL;
}
