/*
 * secret.c
 *		Locked memory from OpenSSL's secure heap, one heap per process, and whole
 *		pages of it for expanded keys.
 *
 * Invariant: what sdes_secret_new() hands out is in the secure heap, and its
 * pages are locked by this very process. OpenSSL falls back to the plain heap
 * without a word where its secure heap was never started, and its own return
 * code tells only the starter whether the lock held; so both are checked here.
 *
 * A heap that another library started in this process is shared: OpenSSL has
 * room for one only. Whether its starter could lock it, or locked it before a
 * fork, cannot be known, so the pages of each secret are locked once more
 * (mlock(2) is idempotent, and is undone page by page only by munlock).
 */
#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A key fills one block, so that the heap holds 1024 of them. */
#define SECRET_BLOCK_SIZE 32

/* What is wiped of it; deeper than any function that was seen to leave something. */
#define DEAD_STACK_SIZE 16384

/* CRYPTO_secure_malloc_init(): 1 = locked and fenced, 2 = heap without that. */
#define HEAP_PROTECTED 1

/* Both under heap_lock. */
static pid_t heap_owner; /* 0 until the first secret of this process or an ancestor */
static bool heap_foreign;
static pthread_mutex_t heap_lock = PTHREAD_MUTEX_INITIALIZER;

static bool
heap_start(void)
{
	if (CRYPTO_secure_malloc_initialized())
	{
		heap_foreign = true;
		return true;
	}
	if (CRYPTO_secure_malloc_init(SDES_SECRET_HEAP_SIZE, SECRET_BLOCK_SIZE) ==
	    HEAP_PROTECTED)
		return true;

	/* Left standing, an unlocked heap would pass for somebody else's next time. */
	CRYPTO_secure_malloc_done();
	return false;
}

/* Starts the heap, or finds it started by this process. */
static bool
heap_usable(bool *foreign)
{
	pid_t self = getpid();
	bool usable;

	if (pthread_mutex_lock(&heap_lock) != 0)
		return false;
	if (heap_owner == 0 && heap_start())
		heap_owner = self;
	usable = heap_owner == self;
	*foreign = heap_foreign;
	pthread_mutex_unlock(&heap_lock);
	return usable;
}

/* Locks the pages that hold these bytes. */
static bool
pages_lock(const uint8_t *data, size_t size)
{
	uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
	uintptr_t offset = (uintptr_t) data % page;

	return mlock(data - offset, size + offset) == 0;
}

SdesStatus
sdes_secret_new(SdesSecret *out, size_t size)
{
	bool foreign = false;
	uint8_t *data;

	*out = (SdesSecret){NULL, 0};
	if (!heap_usable(&foreign))
		return SDES_ERR_LOCKED_MEMORY;
	if (size == 0)
		return SDES_OK;

	data = OPENSSL_secure_zalloc(size);
	if (data == NULL)
	{
		ERR_clear_error(); /* TLS code must not find it, see aead.c */
		return SDES_ERR_LOCKED_MEMORY;
	}
	if (!CRYPTO_secure_allocated(data) || (foreign && !pages_lock(data, size)))
	{
		OPENSSL_secure_clear_free(data, size);
		return SDES_ERR_LOCKED_MEMORY;
	}
	*out = (SdesSecret){data, size};
	return SDES_OK;
}

void
sdes_secret_free(SdesSecret *secret)
{
	if (secret->data != NULL)
		OPENSSL_secure_clear_free(secret->data, secret->size);
	*secret = (SdesSecret){NULL, 0};
	sdes_wipe_registers();
}

SdesBytes
sdes_secret_bytes(const SdesSecret *secret)
{
	return sdes_bytes(secret->data, secret->size);
}

void *
sdes_pages_new(size_t size)
{
	void *pages =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	if (mlock(pages, size) == 0 && madvise(pages, size, MADV_DONTDUMP) == 0 &&
	    madvise(pages, size, MADV_DONTFORK) == 0)
		return pages;
	munmap(pages, size);
	return NULL;
}

void
sdes_pages_free(void *pages, size_t size)
{
	OPENSSL_cleanse(pages, size);
	munmap(pages, size);
}

__attribute__((noinline)) void
sdes_wipe_dead_stack(void)
{
	uint8_t below[DEAD_STACK_SIZE];

	OPENSSL_cleanse(below, sizeof(below));
}

#ifdef __x86_64__
#define EMPTY(n) "vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"

/* Those that AVX-512 adds. */
__attribute__((target("avx512f"))) static void
wipe_upper_registers(void)
{
	__asm__ volatile(
	    EMPTY(16) EMPTY(17) EMPTY(18) EMPTY(19) EMPTY(20) EMPTY(21) EMPTY(22) EMPTY(23)
	        EMPTY(24) EMPTY(25) EMPTY(26) EMPTY(27) EMPTY(28) EMPTY(29) EMPTY(30) EMPTY(31)
	    : /* no output */
	    : /* no input */
	    : "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",
	      "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
}

__attribute__((target("avx"))) static void
wipe_lower_registers(void)
{
	__asm__ volatile("vzeroall"
	                 : /* no output */
	                 : /* no input */
	                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
	                   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
	                   "xmm15");
}

void
sdes_wipe_registers(void)
{
	if (__builtin_cpu_supports("avx512f"))
		wipe_upper_registers();
	if (__builtin_cpu_supports("avx"))
		wipe_lower_registers();
}
#else
void
sdes_wipe_registers(void)
{
}
#endif

bool
sdes_process_undumpable(void)
{
	/* Read back: a seccomp filter may answer 0 without doing it. */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 &&
	       prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}
