/*
 * doubt.h
 *		When a missing key is worth a start of the module.
 *
 * Nothing but that can tell whether a token without a serial number is still the same.
 * Where it is the same, the module's list of the keys may lack one that another process
 * has made since; that is worth a start once for each key, for it may as well be in
 * another token, and everybody waits for the start. Plain data: whoever shares it locks it.
 */
#ifndef SDES_AGENT_DOUBT_H
#define SDES_AGENT_DOUBT_H

#include "envelope/dek.h"

#include <stdbool.h>
#include <stdint.h>

/* From the end of one start for it to the next, at least. */
#define SDES_DOUBT_TOKEN_MS 3000  /* of the token: service is back within 5 s */
#define SDES_DOUBT_LIST_MS  60000 /* of the module's list */

#define SDES_DOUBT_KEYS 64 /* that are remembered as missing after a start */

/* Begins as zeros. */
typedef struct SdesDoubt
{
	int64_t at; /* when the last start for it began or ended, in milliseconds; 0: none */
	int nmissing;
	int next; /* to be replaced when all are taken */
	uint8_t missing[SDES_DOUBT_KEYS][SDES_KEK_ID_SIZE];
} SdesDoubt;

/* Whether the module is to be started anew for that key. */
extern bool sdes_doubt_due(const SdesDoubt *doubt, const uint8_t *kek, bool token_known,
                           int64_t now);

/* That start begins, or has ended. */
extern void sdes_doubt_started(SdesDoubt *doubt, int64_t now);

/* The key is missing all the same. */
extern void sdes_doubt_in_vain(SdesDoubt *doubt, const uint8_t *kek);

#endif
