/*
 * drop_guard.h
 *		Keeps encrypted columns from going with the extension.
 */
#ifndef SDES_DROP_GUARD_H
#define SDES_DROP_GUARD_H

/* Refuses what would take them along from here on; called once when preloaded. */
extern void sdes_drop_guard_init(void);

#endif
