/*
 * rotation_launcher.h
 *		Background re-encryption: a launcher, and workers that it starts.
 */
#ifndef SDES_ROTATION_LAUNCHER_H
#define SDES_ROTATION_LAUNCHER_H

#include "postgres.h"

/* In bgw_extra of a worker: it is to destroy KEKs, too. */
#define SDES_ROTATION_KEKS "keks"

/* Registers the launcher; from _PG_init of a preloaded library. */
extern void sdes_rotation_launcher_init(void);

#endif
