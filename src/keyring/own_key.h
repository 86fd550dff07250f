/*
 * own_key.h
 *		Waiting for a key that this database made itself. Private to this room.
 *
 * A copy of a database has the keys of its original, active ones too. Both sealing under
 * one of them would be more messages than either counts (keyring/usage.h), and what one
 * of them destroys would be the other's.
 */
#ifndef SDES_OWN_KEY_H
#define SDES_OWN_KEY_H

#include "postgres.h"

#include "envelope/dek.h"

/* Whether there is one, as far as this backend hears when it is called. */
typedef bool (*SdesOwnKeyTest)(const uint8 *bucket, SdesDekPurpose purpose);

/*
 * Has a bucket's own key made and returns when there is one. An error after ten seconds,
 * or where none can be made. Not where the server must not wait.
 */
extern void sdes_keyring_await_own(const uint8 *bucket, SdesDekPurpose purpose,
                                   SdesOwnKeyTest is_there);

#endif
