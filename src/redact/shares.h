/*
 * shares.h
 *		Shares of a key backup, in what goes into the log.
 */
#ifndef SDES_SHARES_H
#define SDES_SHARES_H

#include "postgres.h"

/* Overwrites the digits of every share in a text; NULL is fine. */
extern void sdes_blot_shares(char *text);

/* Whether the client's statement holds one. */
extern bool sdes_statement_has_share(void);

#endif
