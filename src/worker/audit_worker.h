/*
 * audit_worker.h
 *		The background worker that signs the audit journal.
 */
#ifndef SDES_AUDIT_WORKER_H
#define SDES_AUDIT_WORKER_H

/* Registers the worker; called once, from _PG_init of a preloaded library. */
extern void sdes_audit_worker_init(void);

#endif
