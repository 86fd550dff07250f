/*
 * loading.h
 *		Constraints on plaintext, while the rows of a dump are loaded.
 */
#ifndef SDES_LOADING_H
#define SDES_LOADING_H

#include "postgres.h"

#include "fmgr.h"

/* Takes notice of statements from here on; called once when preloaded. */
extern void sdes_loading_init(void);

/* Whether the statement that is running loads rows of a dump. Quick. */
extern bool sdes_is_loading(void);

/*
 * For a call while loading whose arguments cannot be opened now: whether it may give NULL
 * in place of an error. Then it is part of a CHECK constraint, which NULL passes. An error
 * that says what to do where triggers of the table would see the row.
 */
extern bool sdes_loading_passes(const FmgrInfo *call);

#endif
