/*
 * test_provider.c
 *		Whose AES and HMAC: the choice, the self-test that broken ones do not pass, and
 *		what comes of it when there is no locked memory.
 *
 * The linker wraps the calls by which pages are had, malloc() and the self-test, so that
 * they fail.
 */
#include "provider/provider.h"
#include "crypto/secret.h"
#include "provider/selftest.h"
#include "child.h"
#include "tap.h"

#include <openssl/evp.h>
#include <sys/mman.h>

static const uint8_t key[SDES_AEAD_KEY_SIZE] = {1, 2, 3};
static const uint8_t nonce[SDES_NONCE_SIZE] = {4, 5, 6};
static const char text[] = "a value of more than one block";

/* ---- calls that fail ---- */

static enum
{
	NOTHING,
	MMAP,
	MLOCK,
	MADVISE,
	MALLOC
} failing;

extern void *__real_mmap(void *, size_t, int, int, int, off_t);
extern void *__wrap_mmap(void *, size_t, int, int, int, off_t);
extern int __real_mlock(const void *, size_t);
extern int __wrap_mlock(const void *, size_t);
extern int __real_madvise(void *, size_t, int);
extern int __wrap_madvise(void *, size_t, int);
extern void *__real_CRYPTO_malloc(size_t, const char *, int);
extern void *__wrap_CRYPTO_malloc(size_t, const char *, int);

void *
__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	return failing == MMAP ? MAP_FAILED
	                       : __real_mmap(at, size, protection, flags, fd, offset);
}

int
__wrap_mlock(const void *at, size_t size)
{
	return failing == MLOCK ? -1 : __real_mlock(at, size);
}

int
__wrap_madvise(void *at, size_t size, int advice)
{
	return failing == MADVISE ? -1 : __real_madvise(at, size, advice);
}

void *
__wrap_CRYPTO_malloc(size_t size, const char *file, int line)
{
	return failing == MALLOC ? NULL : __real_CRYPTO_malloc(size, file, line);
}

static int failing_first; /* so many providers do not pass, the first ones */

extern const char *__real_sdes_provider_self_test(const SdesProvider *);
extern const char *__wrap_sdes_provider_self_test(const SdesProvider *);

const char *
__wrap_sdes_provider_self_test(const SdesProvider *provider)
{
	for (int i = 0; i < failing_first && sdes_providers()[i] != NULL; i++)
		if (provider == sdes_providers()[i])
			return i == 0 ? "the first" : "another";
	return __real_sdes_provider_self_test(provider);
}

/* ---- the choice ---- */

static void
test_names(void)
{
	const SdesProvider *const *all = sdes_providers();
	const SdesProvider *last = NULL;
	int n = 0;

	for (const SdesProvider *const *at = all; *at != NULL; at++)
	{
		SdesProviderChoice choice = sdes_provider_choose((*at)->name);

		last = *at;
		n++;
		diag("%s: AES by %s, HMAC by %s", last->name, last->aead_by, last->mac_by);
		ok(choice.provider == last && choice.why == NULL && !choice.fips &&
		       sdes_provider_in_use() == last,
		   "%s passes its self-test, and is in use", last->name);
	}
	ok(last == &sdes_provider_openssl, "openssl is the last resort");
#if defined(SDES_WITH_NETTLE)
	ok(n >= 2 && sdes_provider_nettle() != NULL, "nettle is there");
#else
	ok(sdes_provider_nettle() == NULL, "built without nettle");
#endif
	ok(sdes_provider_choose("auto").provider == all[0], "auto is the first of them");
	ok(sdes_provider_choose("nothing").provider == NULL &&
	       sdes_provider_choose("").provider == NULL && sdes_provider_in_use() == all[0],
	   "no other name is any");
}

static void
test_passed_over(void)
{
	const SdesProvider *first = sdes_providers()[0];
	const SdesProvider *second = sdes_providers()[1]; /* NULL if there is but OpenSSL */
	SdesProviderChoice choice;

	sdes_provider_use(&sdes_provider_openssl);
	failing_first = 1;
	choice = sdes_provider_choose("auto");
	ok(choice.provider == second && choice.failed == first &&
	       strcmp(choice.why, "the first") == 0,
	   "auto passes over one that fails its self-test");
	sdes_provider_use(&sdes_provider_openssl);
	choice = sdes_provider_choose(first->name);
	ok(choice.provider == NULL && choice.failed == first &&
	       sdes_provider_in_use() == &sdes_provider_openssl,
	   "by name it is not used");
	failing_first = 9;
	choice = sdes_provider_choose("auto");
	ok(choice.provider == NULL && choice.failed == first &&
	       strcmp(choice.why, "the first") == 0,
	   "all fail: the first is named, and none is used");
	failing_first = 0;
}

/* In a child: it lasts. All that OpenSSL has fetched before it keeps. */
static bool
fips_is_openssl(void)
{
	SdesProviderChoice choice;

	if (sdes_provider_choose("openssl").provider == NULL ||
	    EVP_default_properties_enable_fips(NULL, 1) != 1)
		return false;
	choice = sdes_provider_choose("auto");
	return choice.fips && choice.provider == &sdes_provider_openssl &&
	       !sdes_provider_choose("openssl").fips;
}

static bool
none_makes_no_key(void)
{
	SdesAead *aead = (SdesAead *) &failing;
	SdesMac *mac = (SdesMac *) &failing;

	sdes_provider_use(NULL);
	return sdes_aead_new(&aead, SDES_BYTES_OF(key)) == SDES_ERR_CRYPTO && aead == NULL &&
	       sdes_mac_new(&mac, SDES_BYTES_OF(key)) == SDES_ERR_CRYPTO && mac == NULL;
}

/* ---- broken providers ---- */

static SdesAeadFunctions broken_aead;
static SdesMacFunctions broken_mac;
static int runs;

static SdesStatus
aead_new(SdesAead **out, const uint8_t *bytes)
{
	SdesStatus status = sdes_aead_openssl.create(out, bytes);

	(*out)->by = &broken_aead;
	return status;
}

static SdesStatus
mac_new(SdesMac **out, SdesBytes bytes)
{
	SdesStatus status = sdes_mac_openssl.create(out, bytes);

	(*out)->by = &broken_mac;
	return status;
}

static SdesStatus
no_aead(SdesAead **out, const uint8_t *bytes)
{
	(void) out;
	(void) bytes;
	return SDES_ERR_LOCKED_MEMORY;
}

static SdesStatus
no_mac(SdesMac **out, SdesBytes bytes)
{
	(void) out;
	(void) bytes;
	return SDES_ERR_CRYPTO;
}

static SdesStatus
seal_wrong(SdesAead *aead, const uint8_t *with, SdesBytes aad, SdesBytes in, uint8_t *out,
           uint8_t *tag)
{
	SdesStatus status = sdes_aead_openssl.seal(aead, with, aad, in, out, tag);

	tag[15] ^= 1;
	return status;
}

/* The last bit of a long message alone, as a loop that ends wrongly would. */
static SdesStatus
seal_long_wrong(SdesAead *aead, const uint8_t *with, SdesBytes aad, SdesBytes in,
                uint8_t *out, uint8_t *tag)
{
	SdesStatus status = sdes_aead_openssl.seal(aead, with, aad, in, out, tag);

	if (in.size > 2048)
		out[in.size - 1] ^= 1;
	return status;
}

static SdesStatus
seal_nothing(SdesAead *aead, const uint8_t *with, SdesBytes aad, SdesBytes in, uint8_t *out,
             uint8_t *tag)
{
	(void) aead, (void) with, (void) aad, (void) in, (void) out, (void) tag;
	return SDES_OK;
}

static SdesStatus
open_anything(SdesAead *aead, SdesBytes aad, const SdesSealed *sealed, uint8_t *out)
{
	sdes_aead_openssl.open(aead, aad, sealed, out);
	return SDES_OK;
}

/* Compares all of the tag but its last bit. */
static SdesStatus
open_almost(SdesAead *aead, SdesBytes aad, const SdesSealed *sealed, uint8_t *out)
{
	uint8_t tag[SDES_AEAD_TAG_SIZE];
	SdesSealed other = {sealed->nonce, tag, sealed->ciphertext};

	memcpy(tag, sealed->tag, sizeof(tag));
	tag[15] ^= 1;
	return sdes_aead_openssl.open(aead, aad, sealed, out) == SDES_OK
	           ? SDES_OK
	           : sdes_aead_openssl.open(aead, aad, &other, out);
}

static SdesStatus
open_nothing(SdesAead *aead, SdesBytes aad, const SdesSealed *sealed, uint8_t *out)
{
	(void) aead, (void) aad, (void) sealed, (void) out;
	return SDES_ERR_TAG;
}

/* Forgets the key's state after the first message. */
static SdesStatus
mac_once(SdesMac *mac, const SdesBytes *pieces, int npieces, uint8_t *out)
{
	SdesStatus status = sdes_mac_openssl.run(mac, pieces, npieces, out);

	out[0] = (uint8_t) (out[0] ^ (runs++ % 2));
	return status;
}

static SdesStatus
mac_of_first_piece(SdesMac *mac, const SdesBytes *pieces, int npieces, uint8_t *out)
{
	return sdes_mac_openssl.run(mac, pieces, npieces > 0 ? 1 : 0, out);
}

static SdesStatus
mac_of_blocks_wrong(SdesMac *mac, const SdesBytes *pieces, int npieces, uint8_t *out)
{
	SdesStatus status = sdes_mac_openssl.run(mac, pieces, npieces, out);

	if (pieces[0].size + pieces[1].size == 128)
		out[31] ^= 0x80;
	return status;
}

static bool
is_found(const char *name)
{
	SdesProvider broken = {.name = "broken", .aead = &broken_aead, .mac = &broken_mac};
	const char *why = sdes_provider_self_test(&broken);

	return ok(why != NULL, "%s: %s", name, why == NULL ? "passes" : why);
}

static void
restore(void)
{
	broken_aead = sdes_aead_openssl;
	broken_aead.create = aead_new;
	broken_mac = sdes_mac_openssl;
	broken_mac.create = mac_new;
}

static void
test_broken(void)
{
	SdesProvider whole = {.name = "whole", .aead = &broken_aead, .mac = &broken_mac};

	restore();
	ok(sdes_provider_self_test(&whole) == NULL, "unbroken, it passes");
#define BROKEN(functions, what, by) (restore(), functions.what = by, is_found(#by))
	BROKEN(broken_aead, create, no_aead);
	BROKEN(broken_aead, seal, seal_wrong);
	BROKEN(broken_aead, seal, seal_long_wrong);
	BROKEN(broken_aead, seal, seal_nothing);
	BROKEN(broken_aead, open, open_anything);
	BROKEN(broken_aead, open, open_almost);
	BROKEN(broken_aead, open, open_nothing);
	BROKEN(broken_mac, create, no_mac);
	BROKEN(broken_mac, run, mac_once);
	BROKEN(broken_mac, run, mac_of_first_piece);
	BROKEN(broken_mac, run, mac_of_blocks_wrong);
}

/* ---- memory ---- */

/* A key of the provider in use, or of OpenSSL where there is no locked memory. */
static bool
works(bool openssl)
{
	const SdesProvider *provider =
	    openssl ? &sdes_provider_openssl : sdes_provider_in_use();
	uint8_t sealed[sizeof(text)], tag[SDES_AEAD_TAG_SIZE], mac_out[SDES_MAC_SIZE];
	SdesBytes whole = SDES_BYTES_OF(text);
	SdesAead *aead = NULL;
	SdesMac *mac = NULL;
	bool good = sdes_aead_new(&aead, SDES_BYTES_OF(key)) == SDES_OK &&
	            sdes_mac_new(&mac, SDES_BYTES_OF(key)) == SDES_OK;

	failing = NOTHING;
	good = good && aead->by == provider->aead && mac->by == provider->mac;
	good = good && sdes_aead_seal(aead, nonce, NULL, 0, whole, sealed, tag) == SDES_OK;
	good = good && sdes_mac(mac, &whole, 1, mac_out) == SDES_OK;
	sdes_aead_free(aead);
	sdes_mac_free(mac);
	return good;
}

/* A long AAD in pieces needs some of the heap. */
static bool
long_aad_works(void)
{
	static const uint8_t aad[300];
	SdesBytes pieces[2] = {sdes_bytes(aad, 200), sdes_bytes(aad, 100)};
	SdesBytes whole = SDES_BYTES_OF(aad);
	uint8_t sealed[sizeof(text)], tags[2][SDES_AEAD_TAG_SIZE], out[sizeof(text)];
	SdesSealed parts = {nonce, tags[0], SDES_BYTES_OF(sealed)};
	SdesAead *aead = NULL;
	bool good = sdes_aead_new(&aead, SDES_BYTES_OF(key)) == SDES_OK;

	failing = MALLOC;
	good = good && sdes_aead_seal(aead, nonce, pieces, 2, SDES_BYTES_OF(text), sealed,
	                              tags[0]) == SDES_ERR_MEMORY;
	failing = NOTHING;
	good = good && sdes_aead_seal(aead, nonce, pieces, 2, SDES_BYTES_OF(text), sealed,
	                              tags[0]) == SDES_OK;
	good = good && sdes_aead_seal(aead, nonce, &whole, 1, SDES_BYTES_OF(text), sealed,
	                              tags[1]) == SDES_OK;
	good = good && memcmp(tags[0], tags[1], sizeof(tags[0])) == 0;
	failing = MALLOC;
	good = good && sdes_aead_open(aead, pieces, 2, &parts, out) == SDES_ERR_MEMORY;
	failing = NOTHING;
	good = good && sdes_aead_open(aead, pieces, 2, &parts, out) == SDES_OK;
	sdes_aead_free(aead);
	return good && memcmp(out, text, sizeof(text)) == 0;
}

static void
test_memory(const SdesProvider *provider)
{
	static const char *names[] = {"nothing", "mmap", "mlock", "madvise"};
	bool own = provider != &sdes_provider_openssl; /* needs pages */

	sdes_provider_use(provider);
	for (int i = NOTHING; i <= MADVISE; i++)
	{
		failing = i;
		ok(works(own && i != NOTHING), "%s, where %s fails", provider->name, names[i]);
	}
	ok(long_aad_works(), "%s, a long AAD in pieces", provider->name);
}

/* Freed pages are gone; what a child would have of them, too. */
static bool
pages_are_not_inherited(void)
{
	uint8_t *pages = sdes_pages_new(5000);
	uint8_t *other = sdes_pages_new(1);
	unsigned char there[2];
	pid_t pid;
	int status = 0;

	if (pages == NULL || other == NULL || !all_bytes(pages, 5000, 0))
		return false;
	pid = fork();
	if (pid == 0)
		_exit(mincore(pages, 5000, there) == -1 && mincore(other, 1, there) == -1 ? 0 : 1);
	if (waitpid(pid, &status, 0) != pid || status != 0 || mincore(pages, 5000, there) != 0)
		return false;
	sdes_pages_free(pages, 5000);
	sdes_pages_free(other, 1);
	return mincore(pages, 5000, there) == -1;
}

int
main(void)
{
	test_names();
	test_passed_over();
	ok(child_passes(fips_is_openssl), "in FIPS mode, auto is OpenSSL");
	ok(child_passes(none_makes_no_key), "where none can be used there are no keys");
	test_broken();
	for (const SdesProvider *const *at = sdes_providers(); *at != NULL; at++)
		test_memory(*at);
	ok(child_passes(pages_are_not_inherited), "pages are one process's");
	return done_testing();
}
