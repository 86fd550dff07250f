/*
 * manners.h
 *		When re-encryption stands back. Private to this room.
 */
#ifndef SDES_MANNERS_H
#define SDES_MANNERS_H

#include "postgres.h"

/* Why no row is to be re-encrypted now; NULL when it may. */
extern const char *sdes_manners_wait(void);

#endif
