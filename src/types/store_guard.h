/*
 * store_guard.h
 *		Keeps what an implicit cast opens out of plain columns.
 */
#ifndef SDES_STORE_GUARD_H
#define SDES_STORE_GUARD_H

/* Refuses such statements from here on; called once when preloaded. */
extern void sdes_store_guard_init(void);

#endif
