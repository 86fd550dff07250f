/*
 * launcher.h
 *		What is done in each database in the background: a launcher, and workers that it
 *		starts.
 */
#ifndef SDES_LAUNCHER_H
#define SDES_LAUNCHER_H

#include "postgres.h"

/* In bgw_extra of a worker: it is to do what is done once in a nap, too. */
#define SDES_WORKER_ONCE "once"

/* Registers the launcher; from _PG_init of a preloaded library. */
extern void sdes_launcher_init(void);

#endif
