/*
 * secret.h
 *		Memory for key bytes, and a process that cannot be looked into.
 *
 * Invariant: a raw key lives only in OpenSSL's secure heap, which is locked,
 * kept out of core files and fenced by guard pages, and is wiped when freed.
 * The heap belongs to one process: locks are not inherited by fork(), so a
 * process that inherited a started heap must not use it. For that reason the
 * postmaster never starts it; each process does so at its first secret.
 */
#ifndef SDES_SECRET_H
#define SDES_SECRET_H

#include "crypto/bytes.h"
#include "crypto/status.h"

#include <openssl/crypto.h>

/* Bytes of locked memory a process takes at its first secret (a power of 2). */
#define SDES_SECRET_HEAP_SIZE 32768

typedef struct SdesSecret
{
	uint8_t *data; /* NULL when empty */
	size_t size;
} SdesSecret;

/*
 * Allocates size zeroed bytes of locked memory into *out.
 * SDES_ERR_LOCKED_MEMORY when the heap cannot be locked or is exhausted, and
 * when this process inherited its heap over fork().
 */
extern SdesStatus sdes_secret_new(SdesSecret *out, size_t size);

/* Wipes and frees; leaves *secret empty. An empty secret is fine. */
extern void sdes_secret_free(SdesSecret *secret);

/*
 * Whole pages for an expanded key, zeroed, of this key alone: locked, and neither in
 * core files nor in children, where a zeroed copy would pass for a key. NULL where
 * they cannot be had or locked. An expanded key is many times as long as a key, which
 * the secure heap has no room for.
 */
extern void *sdes_pages_new(size_t size);

/* Wipes and unmaps; size is that of sdes_pages_new(). */
extern void sdes_pages_free(void *pages, size_t size);

/* Wipes memory that held a secret in passing, in a way no compiler removes. */
static inline void
sdes_wipe(void *data, size_t size)
{
	OPENSSL_cleanse(data, size);
}

extern SdesBytes sdes_secret_bytes(const SdesSecret *secret);

/*
 * Overwrites the stack below the caller, some pages of it: functions of others
 * that were called with a secret may have left it there. (NSS's C_Login does.)
 */
extern void sdes_wipe_dead_stack(void);

/*
 * Empties the processor's vector registers (of x86-64 with AVX; elsewhere it does
 * nothing). They keep round keys after OpenSSL's AES by AVX-512, which came with 3.1, and
 * what memcpy() has copied last; the next signal would put all that onto the stack. Whoever
 * lets go of a key here does it.
 */
extern void sdes_wipe_registers(void);

/*
 * Takes this process out of reach of ptrace, /proc/PID/mem and core files
 * (PR_SET_DUMPABLE 0, inherited over fork, reset by exec). Returns false where
 * the system refuses.
 */
extern bool sdes_process_undumpable(void);

#endif
