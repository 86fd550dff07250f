/*
 * typmod.h
 *		The SQL types of encrypted values, and which columns may have them.
 */
#ifndef SDES_TYPMOD_H
#define SDES_TYPMOD_H

/* Refuses columns of no bucket from here on; called once when preloaded. */
extern void sdes_column_guard_init(void);

#endif
