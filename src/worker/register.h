/*
 * register.h
 *		Background workers that are there as long as the server is. Private to this room.
 */
#ifndef SDES_REGISTER_H
#define SDES_REGISTER_H

#include "postgres.h"

#include "postmaster/bgworker.h"

/*
 * Has the postmaster start a worker, and start it again a second after it has ended. name
 * is what ps and pg_stat_activity show, function is its main function; both are constants.
 */
extern void sdes_worker_register(const char *name, const char *function, int flags,
                                 BgWorkerStartTime start);

/* Takes new settings, if there are some; whether there were. */
extern bool sdes_worker_take_settings(void);

/* The same after a sleep until the latch is set, or that long. */
extern bool sdes_worker_nap(long ms);

#endif
