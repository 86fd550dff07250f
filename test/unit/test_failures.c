/*
 * test_failures.c
 *		What comes of crypto and envelope when a call of theirs fails that cannot.
 *
 * The linker wraps the calls to OpenSSL and the system. Each operation runs with
 * its first call failing, then with its second, and so on until none is left: it
 * must say so each time, leave nothing of its result behind, nor an error in
 * OpenSSL's queue, and work again after that. First in a process of its own, where
 * it has everything to fetch, then in this one, whose end looks for leaks.
 */
#include "crypto/kdf.h"
#include "crypto/mac.h"
#include "envelope/dek.h"
#include "child.h"
#include "tap.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#define FAILURES_MAX 200 /* of one operation: more would be an endless loop */
#define OUTPUT_MAX   256
#define FILLER       0xa5

static int countdown; /* the call to fail: 1 is the next one; 0 for none */
static bool failed;
static void (*meanwhile)(void); /* what "another thread" does in the next fetch */

static bool
fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	failed = true;
	return true;
}

/* OpenSSL says why, as it does. */
static bool
openssl_fails(void)
{
	if (!fails())
		return false;
	ERR_raise(ERR_LIB_USER, ERR_R_INTERNAL_ERROR);
	return true;
}

static void
let_others_run(void)
{
	void (*run)(void) = meanwhile;

	meanwhile = NULL;
	if (run != NULL)
		run();
}

/* A wrapped function that fails with a value when it is its turn. */
#define WRAP(type, name, failure, parameters, arguments)                                   \
	WRAP_BY(openssl_fails, type, name, failure, parameters, arguments)
#define WRAP_SYSTEM(type, name, failure, parameters, arguments)                            \
	WRAP_BY(fails, type, name, failure, parameters, arguments)
#define WRAP_BY(turn, type, name, failure, parameters, arguments)                          \
	extern type __real_##name parameters;                                                  \
	extern type __wrap_##name parameters;                                                  \
	type __wrap_##name parameters                                                          \
	{                                                                                      \
		return turn() ? failure : __real_##name arguments;                                 \
	}

/* The same, before which others may have been here. */
#define WRAP_FETCH(type, name)                                                             \
	extern type *__real_##name(OSSL_LIB_CTX *, const char *, const char *);                \
	extern type *__wrap_##name(OSSL_LIB_CTX *, const char *, const char *);                \
	type *__wrap_##name(OSSL_LIB_CTX *library, const char *algorithm, const char *query)   \
	{                                                                                      \
		let_others_run();                                                                  \
		return openssl_fails() ? NULL : __real_##name(library, algorithm, query);          \
	}

WRAP_FETCH(EVP_CIPHER, EVP_CIPHER_fetch)
WRAP_FETCH(EVP_MAC, EVP_MAC_fetch)
WRAP_FETCH(EVP_MD, EVP_MD_fetch)
WRAP(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, NULL, (void), ())
WRAP(int, EVP_EncryptInit_ex2, 0,
     (EVP_CIPHER_CTX * ctx, const EVP_CIPHER *cipher, const unsigned char *key,
      const unsigned char *iv, const OSSL_PARAM params[]),
     (ctx, cipher, key, iv, params))
WRAP(int, EVP_DecryptInit_ex2, 0,
     (EVP_CIPHER_CTX * ctx, const EVP_CIPHER *cipher, const unsigned char *key,
      const unsigned char *iv, const OSSL_PARAM params[]),
     (ctx, cipher, key, iv, params))
WRAP(int, EVP_CipherUpdate, 0,
     (EVP_CIPHER_CTX * ctx, unsigned char *out, int *size, const unsigned char *in, int n),
     (ctx, out, size, in, n))
WRAP(int, EVP_EncryptFinal_ex, 0, (EVP_CIPHER_CTX * ctx, unsigned char *out, int *size),
     (ctx, out, size))
WRAP(int, EVP_DecryptFinal_ex, 0, (EVP_CIPHER_CTX * ctx, unsigned char *out, int *size),
     (ctx, out, size))
WRAP(int, EVP_CIPHER_CTX_get_params, 0, (EVP_CIPHER_CTX * ctx, OSSL_PARAM params[]),
     (ctx, params))
WRAP(EVP_MAC_CTX *, EVP_MAC_CTX_new, NULL, (EVP_MAC * mac), (mac))
WRAP(EVP_MAC_CTX *, EVP_MAC_CTX_dup, NULL, (const EVP_MAC_CTX *ctx), (ctx))
WRAP(int, EVP_MAC_init, 0,
     (EVP_MAC_CTX * ctx, const unsigned char *key, size_t size, const OSSL_PARAM params[]),
     (ctx, key, size, params))
WRAP(int, EVP_MAC_update, 0, (EVP_MAC_CTX * ctx, const unsigned char *in, size_t size),
     (ctx, in, size))
WRAP(int, EVP_MAC_final, 0,
     (EVP_MAC_CTX * ctx, unsigned char *out, size_t *size, size_t room),
     (ctx, out, size, room))
WRAP(EVP_MD_CTX *, EVP_MD_CTX_new, NULL, (void), ())
WRAP(int, EVP_DigestInit_ex2, 0,
     (EVP_MD_CTX * ctx, const EVP_MD *type, const OSSL_PARAM params[]), (ctx, type, params))
WRAP(int, EVP_DigestUpdate, 0, (EVP_MD_CTX * ctx, const void *in, size_t size),
     (ctx, in, size))
WRAP(int, EVP_DigestFinal_ex, 0, (EVP_MD_CTX * ctx, unsigned char *out, unsigned *size),
     (ctx, out, size))
WRAP(int, RAND_bytes, 0, (unsigned char *out, int size), (out, size))
WRAP(int, RAND_priv_bytes, 0, (unsigned char *out, int size), (out, size))
WRAP(void *, CRYPTO_zalloc, NULL, (size_t size, const char *file, int line),
     (size, file, line))
WRAP(void *, CRYPTO_secure_zalloc, NULL, (size_t size, const char *file, int line),
     (size, file, line))
WRAP_SYSTEM(void *, mmap, MAP_FAILED,
            (void *at, size_t size, int protection, int flags, int fd, off_t offset),
            (at, size, protection, flags, fd, offset))
WRAP_SYSTEM(int, madvise, -1, (void *at, size_t size, int advice), (at, size, advice))
WRAP_SYSTEM(int, pthread_mutex_lock, 1, (pthread_mutex_t * lock), (lock))

/* What operations work on. */
static const uint8_t key[SDES_DEK_SIZE] = {1, 2, 3};
static const uint8_t nonce[SDES_NONCE_SIZE] = {4, 5, 6};
static const char text[] = "a value of more than one block";
static const SdesDekBinding binding = {.purpose = SDES_PURPOSE_DATA,
                                       .mode = SDES_MODE_CACHED};
static const SdesDekBinding search_binding = {.purpose = SDES_PURPOSE_SEARCH,
                                              .mode = SDES_MODE_CACHED};
static uint8_t commitment[SDES_COMMITMENT_SIZE];
static uint8_t search_commitment[SDES_COMMITMENT_SIZE];
static uint8_t sealed[OUTPUT_MAX];

static SdesStatus
seal(uint8_t *out)
{
	SdesSealSpec spec = {.context = {.type = SDES_TYPE_TEXT}, .ntokens = 1};
	SdesAead *aead;
	SdesStatus status = sdes_aead_new(&aead, SDES_BYTES_OF(key));

	if ((status == SDES_OK) != (aead != NULL))
		return SDES_OK; /* which the caller finds wrong */
	if (status == SDES_OK)
		status =
		    sdes_envelope_seal_with_nonce(aead, &spec, nonce, SDES_BYTES_OF(text), out);
	sdes_aead_free(aead);
	return status;
}

static SdesStatus
open_sealed(uint8_t *out)
{
	SdesValueContext context = {.type = SDES_TYPE_TEXT};
	SdesEnvelope envelope;
	SdesAead *aead;
	SdesStatus status = sdes_envelope_parse(
	    sdes_bytes(sealed, sdes_envelope_size(1, sizeof(text))), &envelope);

	if (status == SDES_OK)
		status = sdes_aead_new(&aead, SDES_BYTES_OF(key));
	if (status != SDES_OK)
		return status;
	status = sdes_envelope_open(aead, &envelope, &context, out);
	sdes_aead_free(aead);
	return status;
}

static SdesStatus
draw_and_seal(uint8_t *out)
{
	uint8_t drawn[OUTPUT_MAX] = {0};
	SdesSealSpec spec = {.context = {.type = SDES_TYPE_TEXT}};
	SdesAead *aead;
	SdesStatus status = sdes_aead_new(&aead, SDES_BYTES_OF(key));

	(void) out; /* never the same twice */
	if (status == SDES_OK)
		status = sdes_envelope_seal(aead, &spec, SDES_BYTES_OF(text), drawn);
	sdes_aead_free(aead);
	return status;
}

static SdesStatus
hmac(uint8_t *out)
{
	SdesBytes pieces[2] = {SDES_BYTES_OF(text), SDES_BYTES_OF(nonce)};

	return sdes_hmac_sha256(SDES_BYTES_OF(key), pieces, 2, out);
}

/* Two messages under a kept key, the second of which may fail alone. */
static SdesStatus
kept_hmac(uint8_t *out)
{
	SdesBytes pieces[2] = {SDES_BYTES_OF(text), SDES_BYTES_OF(nonce)};
	SdesMac *mac;
	SdesStatus status = sdes_mac_new(&mac, SDES_BYTES_OF(key));

	if ((status == SDES_OK) != (mac != NULL))
		return SDES_OK; /* which the caller finds wrong */
	if (status == SDES_OK)
		status = sdes_mac(mac, pieces, 2, out);
	if (status == SDES_OK)
		status = sdes_mac(mac, pieces, 2, out);
	sdes_mac_free(mac);
	return status;
}

static SdesStatus
digest(uint8_t *out)
{
	SdesBytes pieces[2] = {SDES_BYTES_OF(text), SDES_BYTES_OF(nonce)};

	return sdes_sha256(pieces, 2, out);
}

static SdesStatus
expand_three_blocks(uint8_t *out)
{
	SdesBytes info = SDES_BYTES_OF(text);

	return sdes_hkdf_sha256(SDES_BYTES_OF(key), SDES_BYTES_OF(nonce), &info, 1, out,
	                        2 * SDES_MAC_SIZE + 1);
}

static SdesStatus
random_bytes(uint8_t *out)
{
	uint8_t drawn[32] = {0};
	SdesStatus status = sdes_random(drawn, sizeof(drawn));

	(void) out;
	if (status != SDES_OK && !all_bytes(drawn, sizeof(drawn), 0))
		return SDES_OK;
	return status;
}

static SdesStatus
commit(uint8_t *out)
{
	return sdes_dek_commitment(SDES_BYTES_OF(key), &binding, out);
}

/* All that opens a data key; nothing of it is left when that fails. */
static SdesStatus
open_dek(uint8_t *out)
{
	SdesAead *aead;
	SdesStatus status = sdes_dek_open(SDES_BYTES_OF(key), &binding, commitment, &aead);

	(void) out;
	if ((status == SDES_OK) != (aead != NULL) ||
	    (CRYPTO_secure_malloc_initialized() && CRYPTO_secure_used() != 0))
		return status == SDES_OK ? SDES_ERR_CRYPTO : SDES_OK;
	sdes_aead_free(aead);
	return status;
}

static SdesStatus
open_search_key(uint8_t *out)
{
	SdesMac *mac;
	SdesStatus status =
	    sdes_dek_open_search(SDES_BYTES_OF(key), &search_binding, search_commitment, &mac);

	(void) out;
	if ((status == SDES_OK) != (mac != NULL) ||
	    (CRYPTO_secure_malloc_initialized() && CRYPTO_secure_used() != 0))
		return status == SDES_OK ? SDES_ERR_CRYPTO : SDES_OK;
	sdes_mac_free(mac);
	return status;
}

static SdesStatus
derive_sealing_key(uint8_t *out)
{
	SdesSecret derived;
	SdesStatus status = sdes_dek_sealing_key(SDES_BYTES_OF(key), &derived);

	if (status != SDES_OK && (derived.data != NULL || (CRYPTO_secure_malloc_initialized() &&
	                                                   CRYPTO_secure_used() != 0)))
		return SDES_OK;
	if (status == SDES_OK)
		memcpy(out, derived.data, derived.size);
	sdes_secret_free(&derived);
	return status;
}

typedef struct Operation
{
	const char *name;
	SdesStatus (*run)(uint8_t *out);
} Operation;

static const Operation operations[] = {
    {"seal", seal},
    {"open", open_sealed},
    {"draw a nonce and seal", draw_and_seal},
    {"HMAC", hmac},
    {"digest", digest},
    {"HMAC under a kept key", kept_hmac},
    {"HKDF", expand_three_blocks},
    {"random bytes", random_bytes},
    {"commitment", commit},
    {"sealing key", derive_sealing_key},
    {"open a data key", open_dek},
    {"open a search key", open_search_key},
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static const Operation *current;

/* Wiped or never written, in any order of the two. */
static bool
nothing_left(const uint8_t *out)
{
	for (size_t i = 0; i < OUTPUT_MAX; i++)
	{
		if (out[i] != 0 && out[i] != FILLER)
			return false;
	}
	return true;
}

/* Runs the current operation with its nth call failing. */
static bool
survives(int nth)
{
	uint8_t out[OUTPUT_MAX], after[OUTPUT_MAX], good[OUTPUT_MAX];
	SdesStatus status;
	bool right;

	memset(out, FILLER, sizeof(out));
	memset(after, FILLER, sizeof(after));
	memset(good, FILLER, sizeof(good));
	failed = false;
	countdown = nth;
	status = current->run(out);
	countdown = 0;
	right = failed ? status != SDES_OK && nothing_left(out) : status == SDES_OK;
	right = right && ERR_peek_error() == 0;
	right = right && current->run(after) == SDES_OK && current->run(good) == SDES_OK;
	return right && memcmp(after, good, sizeof(good)) == 0;
}

static int nth_call;

/* The child's answer: 0 survived, 1 not, 2 survived and there was no such call. */
static bool
survives_in_child(bool *more)
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
	{
		bool good = survives(nth_call);

		_exit(!good ? 1 : failed ? 0 : 2);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return false;
	*more = WEXITSTATUS(status) == 0;
	return WEXITSTATUS(status) != 1;
}

static void
test_operation(const Operation *operation)
{
	long bad = 0;
	bool more = true;

	current = operation;
	for (nth_call = 1; more && nth_call < FAILURES_MAX; nth_call++)
	{
		more = false;
		if (!survives_in_child(&more))
		{
			diag("%s, call %d, at first", operation->name, nth_call);
			bad++;
			more = true;
		}
	}
	none_failed(bad, nth_call - 2, operation->name);
}

static void
test_again(const Operation *operation)
{
	long bad = 0, total = 0;

	current = operation;
	do
	{
		total++;
		if (!survives((int) total))
			bad++;
	} while (failed && total < FAILURES_MAX);
	none_failed(bad, total, operation->name);
}

static void
run_current(void)
{
	uint8_t out[OUTPUT_MAX];

	current->run(out);
}

static bool
leaks(void)
{
#ifdef __SANITIZE_ADDRESS__
	return __lsan_do_recoverable_leak_check() != 0;
#else
	return false; /* this is gcc's to find */
#endif
}

/* Another thread has fetched, while this one was about to. */
static bool
second_to_fetch(void)
{
	uint8_t out[OUTPUT_MAX], good[OUTPUT_MAX];

	memset(out, FILLER, sizeof(out));
	memset(good, FILLER, sizeof(good));
	meanwhile = run_current;
	return current->run(out) == SDES_OK && meanwhile == NULL &&
	       current->run(good) == SDES_OK && memcmp(out, good, sizeof(good)) == 0 &&
	       !leaks();
}

/* In a child, so that this process has still everything to fetch. */
static bool
prepare(void)
{
	int ends[2];
	bool good = pipe(ends) == 0;

	fflush(stdout);
	if (good && fork() == 0)
	{
		good = commit(commitment) == SDES_OK && seal(sealed) == SDES_OK &&
		       sdes_dek_commitment(SDES_BYTES_OF(key), &search_binding,
		                           search_commitment) == SDES_OK;
		good = good && write(ends[1], commitment, sizeof(commitment)) > 0;
		good = good && write(ends[1], search_commitment, sizeof(search_commitment)) > 0;
		_exit(good && write(ends[1], sealed, sizeof(sealed)) > 0 ? 0 : 1);
	}
	wait(NULL);
	good = good && read(ends[0], commitment, sizeof(commitment)) > 0;
	good = good && read(ends[0], search_commitment, sizeof(search_commitment)) > 0;
	good = good && read(ends[0], sealed, sizeof(sealed)) > 0;
	return good;
}

int
main(void)
{
	ok(prepare(), "everything works");
	for (size_t i = 0; i < OPERATIONS; i++)
		test_operation(&operations[i]);
	for (size_t i = 0; i < 6; i++)
	{
		current = &operations[i];
		ok(child_passes(second_to_fetch), "%s, while another thread fetches",
		   current->name);
	}
	for (size_t i = 0; i < OPERATIONS; i++)
		test_again(&operations[i]);
	return done_testing();
}
