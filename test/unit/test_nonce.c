/*
 * test_nonce.c
 *		No nonce twice, across any number of forks; no nonces without the means
 *		to keep that promise.
 *
 * The source is included, not linked, because what matters most is in memory
 * that no function shows. The linker wraps madvise().
 */
#include "crypto/nonce.c"

#include "child.h"
#include "tap.h"

#include <errno.h>
#include <stdlib.h>

#define CHILDREN 100
#define DRAWS    1000

extern int __real_madvise(void *address, size_t size, int advice);
extern int __wrap_madvise(void *address, size_t size, int advice);

static bool madvise_refuses;

int
__wrap_madvise(void *address, size_t size, int advice)
{
	if (madvise_refuses && advice == MADV_WIPEONFORK)
	{
		errno = EINVAL;
		return -1;
	}
	return __real_madvise(address, size, advice);
}

static int
compare_nonces(const void *a, const void *b)
{
	return memcmp(a, b, SDES_NONCE_SIZE);
}

static long
count_repeats(uint8_t (*nonces)[SDES_NONCE_SIZE], size_t count)
{
	long repeats = 0;

	qsort(nonces, count, SDES_NONCE_SIZE, compare_nonces);
	for (size_t i = 1; i < count; i++)
		repeats += memcmp(nonces[i - 1], nonces[i], SDES_NONCE_SIZE) == 0;
	return repeats;
}

static bool
draw(uint8_t (*out)[SDES_NONCE_SIZE], int count)
{
	for (int i = 0; i < count; i++)
	{
		if (sdes_nonce(out[i]) != SDES_OK)
			return false;
	}
	return true;
}

/* Draws in a child, or in a child's child, and sends what it drew. */
static void
child_main(int out, bool grandchild)
{
	static uint8_t drawn[DRAWS][SDES_NONCE_SIZE];
	int half = DRAWS / 2;
	bool good = true;

	if (grandchild)
	{
		pid_t pid;

		good = draw(drawn, half);
		good =
		    good && write(out, drawn, sizeof(drawn) / 2) == (ssize_t) (sizeof(drawn) / 2);
		pid = fork();
		if (pid > 0)
		{
			int status = 0;

			_exit(waitpid(pid, &status, 0) == pid && status == 0 && good ? 0 : 1);
		}
		good = good && pid == 0 && draw(drawn, half);
		good =
		    good && write(out, drawn, sizeof(drawn) / 2) == (ssize_t) (sizeof(drawn) / 2);
		_exit(good ? 0 : 1);
	}
	good =
	    draw(drawn, DRAWS) && write(out, drawn, sizeof(drawn)) == (ssize_t) sizeof(drawn);
	_exit(good ? 0 : 1);
}

static bool
read_fully(int from, uint8_t *to, size_t size)
{
	while (size > 0)
	{
		ssize_t got = read(from, to, size);

		if (got <= 0)
			return false;
		to += got;
		size -= (size_t) got;
	}
	return true;
}

static void
test_no_repeat_over_fork(void)
{
	static uint8_t all[CHILDREN + 2][DRAWS][SDES_NONCE_SIZE];
	int pipes[CHILDREN];
	pid_t pids[CHILDREN];
	long failed = 0;

	ok(draw(all[CHILDREN], DRAWS) && pool->left > 0,
	   "the parent's pool is filled before the forks");
	for (int i = 0; i < CHILDREN; i++)
	{
		int ends[2];

		if (pipe(ends) != 0 || (pids[i] = fork()) < 0)
			exit(1);
		if (pids[i] == 0)
			child_main(ends[1], i % 4 == 0);
		close(ends[1]);
		pipes[i] = ends[0];
	}
	ok(draw(all[CHILDREN + 1], DRAWS), "the parent draws on meanwhile");
	for (int i = 0; i < CHILDREN; i++)
	{
		int status = 0;

		failed += !read_fully(pipes[i], all[i][0], sizeof(all[i]));
		close(pipes[i]);
		failed += waitpid(pids[i], &status, 0) != pids[i] || status != 0;
	}
	none_failed(failed, CHILDREN, "every child drew its nonces");
	none_failed(count_repeats(all[0], (CHILDREN + 2) * DRAWS), (CHILDREN + 2) * DRAWS,
	            "no nonce twice over children and grandchildren");
}

static void
test_erased_when_drawn(void)
{
	uint8_t nonce[SDES_NONCE_SIZE];
	long found = 0, total = 0;

	while (pool->left > 0 && total < (long) POOL_NONCES)
	{
		if (sdes_nonce(nonce) != SDES_OK)
			break;
		for (int i = 0; i < (int) POOL_NONCES; i++)
			found += memcmp(pool->nonces[i], nonce, SDES_NONCE_SIZE) == 0;
		total++;
	}
	none_failed(found, total, "a nonce is erased from the pool when drawn");
	ok(all_bytes(pool->nonces[0], sizeof(pool->nonces), 0), "a drained pool is all zero");
}

static bool
page_is_wiped(void)
{
	return pool != NULL && pool->left == 0 && pool->owner == 0 &&
	       all_bytes(pool->nonces[0], sizeof(pool->nonces), 0);
}

static bool
nonces_are_refused(void)
{
	uint8_t nonce[SDES_NONCE_SIZE];

	return sdes_nonce(nonce) == SDES_ERR_RANDOM;
}

static bool
refused_without_wipe_on_fork(void)
{
	uint8_t nonce[SDES_NONCE_SIZE];
	bool good;

	/* As in a process that has drawn none. */
	pool = NULL;
	madvise_refuses = true;
	good = sdes_nonce(nonce) == SDES_ERR_RANDOM && pool == NULL;
	good = good && sdes_nonce(nonce) == SDES_ERR_RANDOM;
	madvise_refuses = false;
	return good && sdes_nonce(nonce) == SDES_OK;
}

/* A kernel that says yes to MADV_WIPEONFORK, and then does not wipe. */
static bool
refused_under_another_tag(void)
{
	pool->left = 0;
	pool->owner = getppid();
	return nonces_are_refused() && pool->left == 0;
}

static int
no_random(unsigned char *out, int size)
{
	memset(out, 0xa5, (size_t) size);
	return 0;
}

static bool
refused_without_random(void)
{
	static RAND_METHOD broken = {.bytes = no_random, .pseudorand = no_random};
	bool good;

	pool->left = 0;
	RAND_set_rand_method(&broken);
	good = nonces_are_refused() && pool->left == 0 &&
	       all_bytes(pool->nonces[0], sizeof(pool->nonces), 0);
	RAND_set_rand_method(NULL);
	return good && !nonces_are_refused();
}

int
main(void)
{
	uint8_t nonce[SDES_NONCE_SIZE];

	ok(pool == NULL, "empty until first use");
	is_status(sdes_nonce(nonce), SDES_OK, "the first nonce");
	ok(pool->owner == getpid() && pool->left == POOL_NONCES - 1,
	   "the pool is tagged and filled");
	test_erased_when_drawn();
	test_no_repeat_over_fork();
	ok(pool->left > 0 && child_passes(page_is_wiped), "a child finds the page wiped");
	ok(child_passes(refused_without_wipe_on_fork), "no nonces where fork cannot wipe");
	ok(child_passes(refused_under_another_tag), "no nonces under another's tag");
	ok(child_passes(refused_without_random), "no nonces without random bytes");
	return done_testing();
}
