/*
 * supervisor.h
 *		The background worker that keeps the key agent running.
 */
#ifndef SDES_SUPERVISOR_H
#define SDES_SUPERVISOR_H

/* Registers the worker; called once, from _PG_init of a preloaded library. */
extern void sdes_supervisor_init(void);

#endif
