/*
 * test_secret.c
 *		Locked memory: zeroed, wiped, bounded, of one process.
 *
 * Each case runs in a child of its own because a process has one heap. The
 * linker wraps mlock(), which sanitizers turn into a no-op, so that its refusal
 * can be shown.
 */
#include "crypto/secret.h"
#include "child.h"
#include "tap.h"

#include <linux/capability.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

extern int __real_mlock(const void *address, size_t size);
extern int __wrap_mlock(const void *address, size_t size);

static bool mlock_refuses;
static int mlock_calls;

int
__wrap_mlock(const void *address, size_t size)
{
	mlock_calls++;
	return mlock_refuses ? -1 : __real_mlock(address, size);
}

/* A copy of memory that C has no claim on any more: the kernel reads it. */
static bool
peek(const uint8_t *from, uint8_t *to, size_t size)
{
	int ends[2];
	bool done = pipe(ends) == 0 && write(ends[1], from, size) == (ssize_t) size &&
	            read(ends[0], to, size) == (ssize_t) size;

	close(ends[0]);
	close(ends[1]);
	return done;
}

static bool
zeroed_and_in_the_secure_heap(void)
{
	SdesSecret a, b;
	bool good = sdes_secret_new(&a, 100) == SDES_OK;

	good = good && a.size == 100 && all_bytes(a.data, 100, 0);
	good = good && CRYPTO_secure_allocated(a.data) && CRYPTO_secure_malloc_initialized();
	memset(a.data, 0xa5, 100);
	sdes_secret_free(&a);
	good = good && sdes_secret_new(&b, 100) == SDES_OK && all_bytes(b.data, 100, 0);
	good =
	    good && sdes_secret_bytes(&b).data == b.data && sdes_secret_bytes(&b).size == 100;
	sdes_secret_free(&b);
	return good;
}

static bool
wiped_when_freed(void)
{
	SdesSecret secret;
	uint8_t after[256];
	const uint8_t *was;

	if (sdes_secret_new(&secret, sizeof(after)) != SDES_OK)
		return false;
	was = secret.data;
	memset(secret.data, 0xa5, secret.size);
	sdes_secret_free(&secret);
	if (secret.data != NULL || secret.size != 0 || !peek(was, after, sizeof(after)))
		return false;
	for (size_t i = 0; i < sizeof(after); i++)
	{
		if (after[i] == 0xa5)
			return false;
	}
	return true;
}

static bool
empty_is_fine(void)
{
	SdesSecret secret = {NULL, 0};

	sdes_secret_free(&secret);
	if (sdes_secret_new(&secret, 0) != SDES_OK || secret.data != NULL || secret.size != 0)
		return false;
	sdes_secret_free(&secret);
	return sdes_secret_bytes(&secret).size == 0;
}

/* Takes blocks until there are none, gives all back; how many there were. */
static int
take_all(SdesStatus *last)
{
	static SdesSecret held[SDES_SECRET_HEAP_SIZE / 256 + 1];
	const int room = (int) (sizeof(held) / sizeof(held[0]));
	int taken = 0;

	while (taken < room && (*last = sdes_secret_new(&held[taken], 256)) == SDES_OK)
		taken++;
	for (int i = 0; i < taken; i++)
		sdes_secret_free(&held[i]);
	return taken;
}

static bool
exhaustion_recovers(void)
{
	SdesStatus first_end, second_end;
	SdesSecret huge;
	int first = take_all(&first_end);
	int second = take_all(&second_end);

	return first > 100 && first == second && first_end == SDES_ERR_LOCKED_MEMORY &&
	       second_end == SDES_ERR_LOCKED_MEMORY &&
	       sdes_secret_new(&huge, SDES_SECRET_HEAP_SIZE + 1) == SDES_ERR_LOCKED_MEMORY &&
	       huge.data == NULL && huge.size == 0;
}

static SdesSecret inherited;

static bool
child_is_refused(void)
{
	SdesSecret secret = {(uint8_t *) 1, 1};
	bool good = sdes_secret_new(&secret, 32) == SDES_ERR_LOCKED_MEMORY;

	good = good && secret.data == NULL && secret.size == 0;
	good = good && sdes_secret_new(&secret, 0) == SDES_ERR_LOCKED_MEMORY;
	sdes_secret_free(&inherited);
	return good;
}

static bool
refused_after_fork(void)
{
	SdesSecret more;
	bool good = sdes_secret_new(&inherited, 32) == SDES_OK;

	memset(inherited.data, 0x5a, 32);
	good = good && child_passes(child_is_refused);
	good = good && all_bytes(inherited.data, 32, 0x5a);
	good = good && sdes_secret_new(&more, 32) == SDES_OK;
	sdes_secret_free(&more);
	sdes_secret_free(&inherited);
	return good;
}

static bool
child_starts_its_own(void)
{
	SdesSecret secret;
	bool good = sdes_secret_new(&secret, 32) == SDES_OK;

	sdes_secret_free(&secret);
	return good;
}

/* The postmaster never starts a heap, and that is what its children live on. */
static bool
fork_before_first_use(void)
{
	return child_passes(child_starts_its_own) && child_passes(child_starts_its_own);
}

/* CAP_IPC_LOCK among them, see mlock(2). */
static bool
drop_privileges(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

	memset(none, 0, sizeof(none));
	return syscall(SYS_capset, &header, none) == 0;
}

/* No lockable memory, and no privilege that would override the limit. */
static bool
drop_lock_limit(rlim_t hard)
{
	struct rlimit limit = {0, hard};

	return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && drop_privileges();
}

static bool
unlockable_is_an_error(void)
{
	struct rlimit limit = {4 * SDES_SECRET_HEAP_SIZE, 4 * SDES_SECRET_HEAP_SIZE};
	SdesSecret secret;
	bool good = drop_lock_limit(4 * SDES_SECRET_HEAP_SIZE);

	good = good && sdes_secret_new(&secret, 32) == SDES_ERR_LOCKED_MEMORY;
	good = good && sdes_secret_new(&secret, 32) == SDES_ERR_LOCKED_MEMORY;
	good = good && !CRYPTO_secure_malloc_initialized();
	good = good && setrlimit(RLIMIT_MEMLOCK, &limit) == 0;
	good = good && sdes_secret_new(&secret, 32) == SDES_OK;
	sdes_secret_free(&secret);
	return good;
}

static bool
foreign_heap_is_locked_again(void)
{
	SdesSecret secret;
	bool good = CRYPTO_secure_malloc_init(16384, 16) == 1;

	mlock_calls = 0;
	good = good && sdes_secret_new(&secret, 32) == SDES_OK && mlock_calls == 1;
	good = good && CRYPTO_secure_allocated(secret.data);
	sdes_secret_free(&secret);

	mlock_refuses = true;
	good = good && sdes_secret_new(&secret, 32) == SDES_ERR_LOCKED_MEMORY;
	good = good && secret.data == NULL && CRYPTO_secure_used() == 0;
	return good;
}

static bool
undumpable(void)
{
	bool good = prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;

	good = good && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1;
	return good && sdes_process_undumpable() && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}

static bool
still_undumpable(void)
{
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}

static bool
undumpable_over_fork(void)
{
	return sdes_process_undumpable() && child_passes(still_undumpable);
}

#ifdef __x86_64__
static uint8_t pattern[64], left[64];

__attribute__((target("avx512f"))) static bool
emptied_upper(void)
{
	__asm__ volatile("vmovdqu64 %0, %%zmm29" : : "m"(pattern) : "xmm29");
	sdes_wipe_registers();
	__asm__ volatile("vmovdqu64 %%zmm29, %0" : "=m"(left) : :);
	return memchr(left, 0xa5, 64) == NULL;
}

__attribute__((target("avx"))) static bool
emptied_lower(void)
{
	__asm__ volatile("vmovdqu %0, %%ymm13" : : "m"(pattern) : "xmm13");
	sdes_wipe_registers();
	__asm__ volatile("vmovdqu %%ymm13, %0" : "=m"(left) : :);
	return memchr(left, 0xa5, 32) == NULL;
}

/* As far as this processor has them. */
static bool
registers_are_emptied(void)
{
	memset(pattern, 0xa5, sizeof(pattern));
	return (!__builtin_cpu_supports("avx") || emptied_lower()) &&
	       (!__builtin_cpu_supports("avx512f") || emptied_upper());
}
#else
static bool
registers_are_emptied(void)
{
	return true;
}
#endif

int
main(void)
{
	ok(child_passes(zeroed_and_in_the_secure_heap), "zeroed, in the secure heap");
	ok(child_passes(wiped_when_freed), "wiped when freed");
	ok(child_passes(empty_is_fine), "an empty secret is fine");
	ok(child_passes(exhaustion_recovers), "exhaustion is an error, and passes");
	ok(child_passes(refused_after_fork), "a heap inherited over fork is refused");
	ok(child_passes(fork_before_first_use),
	   "children of a process without a heap have their own");
	ok(child_passes(unlockable_is_an_error),
	   "a heap that cannot be locked is refused, until it can");
	ok(child_passes(foreign_heap_is_locked_again),
	   "secrets in another's heap are locked again");
	ok(child_passes(undumpable), "a process becomes undumpable");
	ok(child_passes(registers_are_emptied), "vector registers are emptied");
	ok(child_passes(undumpable_over_fork), "and so are its children");
	return done_testing();
}
