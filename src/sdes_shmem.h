/*
 * sdes_shmem.h
 *		Pieces of shared memory, each with a lock of its own.
 */
#ifndef SDES_SHMEM_H
#define SDES_SHMEM_H

#include "postgres.h"

#include "storage/lwlock.h"

/* Fills a piece that was just made. Its lock is there by then. */
typedef void (*SdesShmemInit)(void *memory, LWLock *lock);

/*
 * Has a piece of "size" bytes made as the server starts, of which the first "zeroed" are
 * zero; the others hold anything, and take no memory until they are written. *memory points
 * to it in every process from then on, and is NULL before. name, a constant, is that of the
 * piece and of its lock's tranche. From _PG_init of a preloaded library only.
 */
extern void sdes_shmem_add(const char *name, Size size, Size zeroed, void **memory,
                           SdesShmemInit init);

#endif
