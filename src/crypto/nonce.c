/*
 * nonce.c
 *		The buffer that nonces are drawn from.
 *
 * RAND_bytes() for each nonce would cost more than the sealing itself, so a
 * page of them is drawn at once. GCM is lost when a nonce repeats under one
 * key, and two processes that share a filled page would repeat them all.
 *
 * Invariant: count, tag and bytes share one page that the kernel zeroes in a
 * child, so the child sees an empty pool with no system call at each draw
 * (getpid() is one since glibc 2.25). A kernel that cannot do that gets no
 * nonces. Each thread has a pool of its own, so that drawing needs no lock.
 */
#include "crypto/nonce.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define POOL_PAGE_SIZE 4096
#define POOL_NONCES    ((POOL_PAGE_SIZE - 16) / SDES_NONCE_SIZE)

typedef struct NoncePool
{
	uint32_t left; /* nonces not handed out: the first so many */
	pid_t owner;   /* who filled it; 0 in a fresh page and after fork */
	uint8_t nonces[POOL_NONCES][SDES_NONCE_SIZE];
} NoncePool;

static __thread NoncePool *pool;

static SdesStatus
pool_map(void)
{
	void *page = mmap(NULL, sizeof(NoncePool), PROT_READ | PROT_WRITE,
	                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return SDES_ERR_MEMORY;
	if (madvise(page, sizeof(NoncePool), MADV_WIPEONFORK) != 0)
	{
		munmap(page, sizeof(NoncePool));
		return SDES_ERR_RANDOM;
	}
	pool = page;
	return SDES_OK;
}

static SdesStatus
pool_fill(void)
{
	pid_t self = getpid();
	SdesStatus status;

	if (pool == NULL && (status = pool_map()) != SDES_OK)
		return status;

	/* Another's tag means that fork did not wipe the page: whatever the cause,
	 * this process has drawn what another may have drawn too. */
	if (pool->owner != 0 && pool->owner != self)
		return SDES_ERR_RANDOM;
	if (RAND_bytes((unsigned char *) pool->nonces, sizeof(pool->nonces)) != 1)
	{
		OPENSSL_cleanse(pool->nonces, sizeof(pool->nonces));
		ERR_clear_error();
		return SDES_ERR_RANDOM;
	}
	pool->owner = self;
	pool->left = POOL_NONCES;
	return SDES_OK;
}

SdesStatus
sdes_nonce(uint8_t out[SDES_NONCE_SIZE])
{
	SdesStatus status;
	uint8_t *nonce;

	if ((pool == NULL || pool->left == 0) && (status = pool_fill()) != SDES_OK)
		return status;

	/* Counted out before it is copied: cut short, a nonce is lost, not repeated. */
	nonce = pool->nonces[--pool->left];
	memcpy(out, nonce, SDES_NONCE_SIZE);
	OPENSSL_cleanse(nonce, SDES_NONCE_SIZE);
	return SDES_OK;
}
