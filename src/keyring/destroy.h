/*
 * destroy.h
 *		How KEKs end. Callers hold the lock under which keys are made.
 */
#ifndef SDES_DESTROY_H
#define SDES_DESTROY_H

#include "store/store.h"

/* Whether a KEK wraps a key of this database that is not destroyed. */
extern bool sdes_keyring_kek_in_use(const uint8 *kek_id);

/*
 * A bucket's active KEKs that wrap nothing any more: ordered to be destroyed
 * (SDES_KEK_DESTROYING), or kept in the HSM so that backups can be opened
 * (SDES_KEK_RETIRED).
 */
extern void sdes_keyring_retire_keks(const uint8 *bucket, SdesKekState state);

/* The rows of KEKs that are to be destroyed. */
extern List *sdes_keyring_doomed_keks(void);

typedef struct SdesKekFate
{
	const SdesKekRow *kek;
	const char *obstacle; /* what stands in the way; NULL: it is destroyed */
} SdesKekFate;

/*
 * Destroys in the HSM what was ordered to be by then, and can be; a list of SdesKekFate.
 */
extern List *sdes_keyring_destroy_keks(TimestampTz ordered_until);

#endif
