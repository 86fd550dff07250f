/*
 * prepared.h
 *		Which prepared statements are the client's own. Private to this room.
 */
#ifndef SDES_REVEAL_PREPARED_H
#define SDES_REVEAL_PREPARED_H

#include "postgres.h"

/* A statement that the client has just prepared. */
extern void sdes_prepared_remember(const char *name);

/* A statement that something else has: its text may be where the client's was. */
extern void sdes_prepared_forget(const char *name);

/*
 * To be called before a statement is executed by its name: what the client prepared
 * by the protocol becomes known only now.
 */
extern void sdes_prepared_used(const char *name);

/* Whether that is the text of such a statement, the very string. */
extern bool sdes_prepared_is(const char *source);

/* Whether it would show encrypted values, as far as it is known before it runs. */
extern bool sdes_prepared_shows(const char *name);

#endif
