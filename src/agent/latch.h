/*
 * latch.h
 *		One try per PIN, remembered across restarts of agent and server.
 *
 * A small file in the state directory names the PIN's source and the token,
 * never anything derived from the PIN. "trying" is durable before C_Login is
 * called, so that an agent killed in the middle of a login cannot be brought
 * by its supervisor's restarts to spend the token's last try.
 */
#ifndef SDES_AGENT_LATCH_H
#define SDES_AGENT_LATCH_H

#include "agent/pin.h"

#define SDES_LATCH_KEY_SIZE (SDES_PIN_IDENTITY_SIZE + 64)

typedef enum SdesLatchState
{
	SDES_LATCH_CLEAR,     /* no file, or of another source or token */
	SDES_LATCH_TRYING,    /* a login was begun and did not end */
	SDES_LATCH_REFUSED,   /* the token refused this PIN */
	SDES_LATCH_CHANGED,   /* it refused one, and the source has changed since */
	SDES_LATCH_UNREADABLE /* a file is there and cannot be understood */
} SdesLatchState;

/* What a latch is about: the token's serial number and the source's identity. */
extern void sdes_latch_key(const char *serial, const char *identity,
                           char out[SDES_LATCH_KEY_SIZE]);

extern SdesLatchState sdes_latch_read(const char *directory, const char *key);

/* Durable when it returns SDES_OK. */
extern SdesStatus sdes_latch_write(const char *directory, SdesLatchState state,
                                   const char *key, SdesHsmFault *fault);

/* Durable too; no file is fine. */
extern SdesStatus sdes_latch_remove(const char *directory, SdesHsmFault *fault);

#endif
