/*
 * micro.c
 *		What sealing, opening and a token cost below the waterline, by provider.
 *
 *		micro				lines "provider,operation,bytes,ns": nanoseconds of a call
 *		micro --providers	their names
 *		micro PROVIDER OPERATION BYTES CALLS
 *						nothing but so many calls, for a tool that counts instructions
 *
 * Beside the providers of this build stands "copy", which copies where they encrypt:
 * the floor. Each figure is the median of several rounds, in which all take turns.
 */
#include "envelope/envelope.h"
#include "provider/provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS       15
#define ROUND_NS     2000000.0 /* about how long one is */
#define WARM_UP      1000      /* calls before the first that count */
#define MAX_BYTES    8192
#define MAX_FIGURES  200
#define FIGURE_BYTES 3 /* of a token: the sizes up to 64 */

static const size_t sizes[] = {16, 32, 64, 256, 1024, 4096, MAX_BYTES};
static const char *const operations[] = {"seal", "open", "token"};

typedef struct Figure
{
	const SdesProvider *provider;
	const char *operation;
	size_t bytes;
	long calls; /* in a round */
	double ns[ROUNDS];
} Figure;

/* ---- the floor ---- */

static const SdesAeadFunctions copy_aead;
static const SdesMacFunctions copy_mac;

static SdesStatus
copy_new(SdesAead **out, const uint8_t *key)
{
	static SdesAead only;

	(void) key;
	only.by = &copy_aead;
	*out = &only;
	return SDES_OK;
}

static void
copy_free(SdesAead *aead)
{
	(void) aead;
}

static SdesStatus
copy_seal(SdesAead *aead, const uint8_t *nonce, SdesBytes aad, SdesBytes plaintext,
          uint8_t *ciphertext, uint8_t *tag)
{
	(void) aead;
	(void) aad;
	memcpy(ciphertext, plaintext.data, plaintext.size);
	memcpy(tag, nonce, SDES_NONCE_SIZE);
	memset(tag + SDES_NONCE_SIZE, 0, SDES_AEAD_TAG_SIZE - SDES_NONCE_SIZE);
	return SDES_OK;
}

static SdesStatus
copy_open(SdesAead *aead, SdesBytes aad, const SdesSealed *sealed, uint8_t *plaintext)
{
	(void) aead;
	(void) aad;
	memcpy(plaintext, sealed->ciphertext.data, sealed->ciphertext.size);
	return SDES_OK;
}

static SdesStatus
copy_mac_new(SdesMac **out, SdesBytes key)
{
	static SdesMac only;

	(void) key;
	only.by = &copy_mac;
	*out = &only;
	return SDES_OK;
}

static void
copy_mac_free(SdesMac *mac)
{
	(void) mac;
}

static SdesStatus
copy_mac_run(SdesMac *mac, const SdesBytes *pieces, int npieces, uint8_t *out)
{
	size_t size = pieces[npieces - 1].size;

	(void) mac;
	memcpy(out, pieces[npieces - 1].data, size < SDES_MAC_SIZE ? size : SDES_MAC_SIZE);
	return SDES_OK;
}

static const SdesAeadFunctions copy_aead = {copy_new, copy_free, copy_seal, copy_open};
static const SdesMacFunctions copy_mac = {copy_mac_new, copy_mac_free, copy_mac_run};
static const SdesProvider copy = {"copy", &copy_aead, &copy_mac, "copy", "copy"};

/* ---- the calls ---- */

static uint8_t plaintext[MAX_BYTES];
static uint8_t sealed[MAX_BYTES + 200];
static uint8_t opened[MAX_BYTES];

static void
must(bool good)
{
	if (good)
		return;
	fprintf(stderr, "micro: a call failed\n");
	exit(1);
}

/* As a value is sealed: with a fresh nonce and a search token. */
static void
seal_values(SdesAead *aead, size_t bytes, long calls)
{
	SdesSealSpec spec = {.context = {.type = SDES_TYPE_TEXT}, .ntokens = 1};

	for (long i = 0; i < calls; i++)
		must(sdes_envelope_seal(aead, &spec, sdes_bytes(plaintext, bytes), sealed) ==
		     SDES_OK);
}

static void
open_values(SdesAead *aead, size_t bytes, long calls)
{
	SdesValueContext context = {.type = SDES_TYPE_TEXT};
	SdesBytes whole = sdes_bytes(sealed, sdes_envelope_size(1, bytes));
	SdesEnvelope envelope;

	for (long i = 0; i < calls; i++)
		must(sdes_envelope_parse(whole, &envelope) == SDES_OK &&
		     sdes_envelope_open(aead, &envelope, &context, opened) == SDES_OK);
}

static void
make_tokens(SdesMac *mac, size_t bytes, long calls)
{
	static const uint8_t type[4];
	SdesBytes pieces[2] = {SDES_BYTES_OF(type), sdes_bytes(plaintext, bytes)};
	uint8_t out[SDES_MAC_SIZE];

	for (long i = 0; i < calls; i++)
		must(sdes_mac(mac, pieces, 2, out) == SDES_OK);
}

/* So many calls of one kind, with all that they need made before. */
typedef struct Work
{
	SdesAead *aead;
	SdesMac *mac;
	const char *operation;
	size_t bytes;
} Work;

static Work
prepare(const SdesProvider *provider, const char *operation, size_t bytes)
{
	static const uint8_t key[SDES_AEAD_KEY_SIZE] = {1};
	Work work = {.operation = operation, .bytes = bytes};

	sdes_provider_use(provider);
	must(bytes <= MAX_BYTES && sdes_aead_new(&work.aead, SDES_BYTES_OF(key)) == SDES_OK &&
	     sdes_mac_new(&work.mac, SDES_BYTES_OF(key)) == SDES_OK);
	if (strcmp(operation, "open") == 0)
		seal_values(work.aead, bytes, 1);
	return work;
}

static void
run(const Work *work, long calls)
{
	if (strcmp(work->operation, "seal") == 0)
		seal_values(work->aead, work->bytes, calls);
	else if (strcmp(work->operation, "open") == 0)
		open_values(work->aead, work->bytes, calls);
	else
		make_tokens(work->mac, work->bytes, calls);
}

static void
finish(Work *work)
{
	sdes_aead_free(work->aead);
	sdes_mac_free(work->mac);
}

/* ---- figures ---- */

static Figure figures[MAX_FIGURES];
static int nfigures;

/* Of processor time: others may be at work here, too. */
static double
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return 1e9 * (double) t.tv_sec + (double) t.tv_nsec;
}

static double
time_of(const Work *work, long calls)
{
	double began = now_ns();

	run(work, calls);
	return now_ns() - began;
}

/* How many calls a round takes is found out in the first one. */
static double
measure(Figure *figure)
{
	Work work = prepare(figure->provider, figure->operation, figure->bytes);
	double spent = time_of(&work, WARM_UP);

	if (figure->calls == 0)
		figure->calls = 1 + (long) (ROUND_NS * WARM_UP / spent);
	spent = time_of(&work, figure->calls);
	finish(&work);
	return spent / (double) figure->calls;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *) a, y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(Figure *figure)
{
	qsort(figure->ns, ROUNDS, sizeof(figure->ns[0]), compare);
	return figure->ns[ROUNDS / 2];
}

static const SdesProvider *
provider_at(int i)
{
	return i == 0 ? &copy : sdes_providers()[i - 1];
}

static void
plan(void)
{
	for (size_t op = 0; op < 3; op++)
		for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
			for (int p = 0; provider_at(p) != NULL; p++)
				if (op < 2 || s < FIGURE_BYTES)
					figures[nfigures++] =
					    (Figure){provider_at(p), operations[op], sizes[s], 0, {0}};
}

static void
print_figures(void)
{
	printf("provider,operation,bytes,ns\n");
	for (int i = 0; i < nfigures; i++)
		printf("%s,%s,%zu,%.1f\n", figures[i].provider->name, figures[i].operation,
		       figures[i].bytes, median(&figures[i]));
}

static void
only_calls(char *argv[])
{
	for (int p = 0; provider_at(p) != NULL; p++)
	{
		Work work;

		if (strcmp(provider_at(p)->name, argv[0]) != 0)
			continue;
		work = prepare(provider_at(p), argv[1], (size_t) atol(argv[2]));
		run(&work, atol(argv[3]));
		finish(&work);
		return;
	}
	must(false);
}

int
main(int argc, char *argv[])
{
	if (argc == 5)
	{
		only_calls(argv + 1);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--providers") == 0)
	{
		for (int p = 0; provider_at(p) != NULL; p++)
			printf("%s\n", provider_at(p)->name);
		return 0;
	}
	plan();
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < nfigures; i++)
			figures[i].ns[round] = measure(&figures[i]);
	print_figures();
	return 0;
}
