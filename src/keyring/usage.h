/*
 * usage.h
 *		How many messages a key seals.
 *
 * AES-GCM with random nonces bears fewer than 2^32 messages under one key (NIST SP
 * 800-38D, section 8.3). Each one is counted before it is sealed. Blocks of messages are
 * reserved on disk (sdes.usage), from which all backends take in shared memory; so the
 * number on disk is never below the one sealed, and at most a block above it for each
 * time that the server was started.
 */
#ifndef SDES_USAGE_H
#define SDES_USAGE_H

#include "keyring/keyring.h"

#define SDES_USAGE_BLOCK INT64CONST(0x100000)   /* 2^20 */
#define SDES_USAGE_SOFT  INT64CONST(0x40000000) /* 2^30: it is time for another key */
#define SDES_USAGE_HARD  INT64CONST(0x80000000) /* 2^31: no more of it */

/* Hooks for shared memory; called once, from _PG_init of a preloaded library. */
extern void sdes_usage_init(void);

/*
 * Counts n messages that are about to be sealed under a key. An error when it may seal
 * no more. The key stays valid.
 */
extern void sdes_usage_take(const SdesKey *key, int n);

/* An upper bound of what was sealed under a key. */
extern int64 sdes_usage_reserved(const uint8 *key_id);

/* Whether a key has sealed so much that another one should take its place. */
extern bool sdes_usage_due(const uint8 *key_id);

#endif
