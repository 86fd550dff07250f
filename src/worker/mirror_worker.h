/*
 * mirror_worker.h
 *		The process that copies the audit journal to a second folder.
 */
#ifndef SDES_MIRROR_WORKER_H
#define SDES_MIRROR_WORKER_H

/* Registers it, where there is such a folder; from _PG_init of a preloaded library. */
extern void sdes_mirror_worker_init(void);

#endif
