/*
 * spool.h
 *		Keeps the plaintext of results that the server spools off the disk.
 *		Private to this room.
 */
#ifndef SDES_REVEAL_SPOOL_H
#define SDES_REVEAL_SPOOL_H

#include "postgres.h"

#include "tcop/dest.h"

/*
 * The receiver to be used for the result of a FETCH or EXECUTE of a client's own
 * instead of dest, which may be dest itself. It lives as long as the result.
 */
extern DestReceiver *sdes_spool_for_utility(DestReceiver *dest);

/* Whether that is such a receiver. */
extern bool sdes_spool_is(const DestReceiver *dest);

/*
 * An error for the rows of a cursor WITH HOLD that were opened for another role or
 * before access changed.
 */
extern void sdes_spool_check_held(const char *cursor);

extern void sdes_spool_init(void);

#endif
