/*
 * honey.h
 *		Values whose opening always raises an alarm. Private to this room.
 */
#ifndef SDES_VALUE_HONEY_H
#define SDES_VALUE_HONEY_H

#include "postgres.h"

#include "envelope/envelope.h"
#include "keyring/keyring.h"

/*
 * A value is about to be opened for a user: if it is honey, that is on record, and in the
 * server log, when this returns. To be called before its plaintext is had.
 */
extern void sdes_honey_opened(const SdesEnvelope *envelope, const SdesKeyOwner *owner);

/* A value was sealed anew: if it is honey, so is the other one. */
extern void sdes_honey_renewed(const SdesEnvelope *old, struct varlena *renewed);

#endif
