/*
 * fuzz_provider.c
 *		AES and HMAC of all providers: the same bytes, the same refusals, nothing left of
 *		what is refused, and no byte touched beyond what a call was given.
 *
 * What goes in and comes out ends where a page that cannot be touched begins: of
 * libraries in assembler AddressSanitizer sees nothing.
 *
 *		offset	size
 *		0		32	key, of AES and of HMAC
 *		32		12	nonce
 *		44		2	the bit that is turned, in all that is authenticated
 *		46		2	size of the text, modulo 10,000
 *		48		2	size of the AAD, modulo 1,000
 *		50		1	where the AAD is cut in two, in parts of 255
 *		51			of what AAD and text consist, over and over
 *
 * The sizes are numbers since the fuzzer sees no loops of libraries, and would keep short
 * inputs only.
 */
#include "fuzz.h"
#include "provider/provider.h"

#include <sys/mman.h>

#define PAGE 4096
#define ROOM (4 * PAGE)

/* The parts of a message, each at the end of its pages. */
typedef struct Message
{
	SdesBytes key;
	SdesBytes nonce;
	SdesBytes aad[2];
	SdesBytes text;
	unsigned turn;
} Message;

/* The last size bytes of one of some places, before a page that cannot be touched. */
static uint8_t *
at_the_edge(int place, size_t size)
{
	static uint8_t *ends[6];

	if (ends[place] == NULL)
	{
		uint8_t *pages = mmap(NULL, ROOM + PAGE, PROT_READ | PROT_WRITE,
		                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		REQUIRE(pages != MAP_FAILED && mprotect(pages + ROOM, PAGE, PROT_NONE) == 0);
		ends[place] = pages + ROOM;
	}
	REQUIRE(size < ROOM);
	return ends[place] - size;
}

static SdesBytes
copy_to_edge(int place, SdesBytes bytes)
{
	uint8_t *copy = at_the_edge(place, bytes.size);

	if (bytes.size > 0)
		memcpy(copy, bytes.data, bytes.size);
	return sdes_bytes(copy, bytes.size);
}

/* Something that is not what a call should write, and the byte before the result. */
static uint8_t *
result_at_edge(int place, size_t size)
{
	uint8_t *out = at_the_edge(place, size);

	memset(out - 1, FUZZ_BYTE, size + 1);
	return out;
}

/* Over and over the same, zeros if it is nothing, from some byte of it on. */
static SdesBytes
fill_edge(int place, SdesBytes with, size_t from, size_t size)
{
	uint8_t *out = at_the_edge(place, size);

	for (size_t i = 0; i < size; i++)
		out[i] = with.size == 0 ? 0 : with.data[(from + i) % with.size];
	return sdes_bytes(out, size);
}

static bool
read_message(const uint8_t *data, size_t size, Message *out)
{
	SdesReader r = sdes_reader(sdes_bytes(data, size));
	size_t text, aad, cut;

	out->key = sdes_read_bytes(&r, SDES_AEAD_KEY_SIZE);
	out->nonce = sdes_read_bytes(&r, SDES_NONCE_SIZE);
	out->turn = sdes_read_u16(&r);
	text = sdes_read_u16(&r) % 10000;
	aad = sdes_read_u16(&r) % 1000;
	cut = aad * sdes_read_u8(&r) / 255;
	if (r.failed)
		return false;
	out->nonce = copy_to_edge(0, out->nonce);
	out->aad[0] = fill_edge(1, sdes_bytes(r.at, r.left), 0, cut);
	out->aad[1] = fill_edge(2, sdes_bytes(r.at, r.left), cut, aad - cut);
	out->text = fill_edge(3, sdes_bytes(r.at, r.left), aad, text);
	return true;
}

static void
seal(SdesAead *aead, const Message *m, uint8_t *sealed, uint8_t *tag)
{
	uint8_t *out = result_at_edge(4, m->text.size);
	uint8_t *out_tag = result_at_edge(5, SDES_AEAD_TAG_SIZE);

	REQUIRE(sdes_aead_seal(aead, m->nonce.data, m->aad, 2, m->text, out, out_tag) ==
	        SDES_OK);
	REQUIRE(out[-1] == FUZZ_BYTE && out_tag[-1] == FUZZ_BYTE);
	memcpy(sealed, out, m->text.size);
	memcpy(tag, out_tag, SDES_AEAD_TAG_SIZE);
}

/* The bytes, of which there are no more than size, with one bit turned if it is theirs. */
static SdesBytes
turned(int place, SdesBytes bytes, unsigned *bit)
{
	SdesBytes copy = copy_to_edge(place, bytes);

	if (*bit < 8 * bytes.size)
		((uint8_t *) (uintptr_t) copy.data)[*bit / 8] ^= (uint8_t) (1 << *bit % 8);
	*bit -= 8 * (unsigned) bytes.size; /* wraps once it is found */
	return copy;
}

/* Opens; and refuses with one bit turned of ciphertext, tag, nonce or AAD. */
static void
check_open(SdesAead *aead, const Message *m, const uint8_t *sealed, const uint8_t *tag)
{
	size_t size = m->text.size;
	size_t all =
	    size + SDES_AEAD_TAG_SIZE + SDES_NONCE_SIZE + m->aad[0].size + m->aad[1].size;
	uint8_t *out = result_at_edge(4, size);
	SdesSealed parts = {m->nonce.data, tag, sdes_bytes(sealed, size)};
	unsigned bit = m->turn % (unsigned) (8 * all);
	SdesBytes aad[2];

	REQUIRE(sdes_aead_open(aead, m->aad, 2, &parts, out) == SDES_OK);
	REQUIRE(out[-1] == FUZZ_BYTE && fuzz_same(sdes_bytes(out, size), m->text));

	parts.ciphertext = turned(3, parts.ciphertext, &bit);
	parts.tag = turned(5, sdes_bytes(tag, SDES_AEAD_TAG_SIZE), &bit).data;
	parts.nonce = turned(0, m->nonce, &bit).data;
	aad[0] = turned(1, m->aad[0], &bit);
	aad[1] = turned(2, m->aad[1], &bit);
	result_at_edge(4, size);
	REQUIRE(sdes_aead_open(aead, aad, 2, &parts, out) == SDES_ERR_TAG);
	REQUIRE(out[-1] == FUZZ_BYTE);
	for (size_t i = 0; i < size; i++)
		REQUIRE(out[i] == 0);
}

static void
mac(const Message *m, uint8_t *out)
{
	SdesBytes pieces[3] = {m->aad[0], m->aad[1], m->text};
	uint8_t again[SDES_MAC_SIZE];
	SdesMac *kept;

	REQUIRE(sdes_mac_new(&kept, sdes_bytes(m->key.data, m->turn % 33)) == SDES_OK);
	REQUIRE(sdes_mac(kept, pieces, 3, again) == SDES_OK);
	REQUIRE(sdes_mac(kept, pieces, 3, out) == SDES_OK);
	REQUIRE(memcmp(again, out, sizeof(again)) == 0);
	sdes_mac_free(kept);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t sealed[2][ROOM], tags[2][SDES_AEAD_TAG_SIZE], macs[2][SDES_MAC_SIZE];
	int n = 0; /* 0: what the first has made, 1: the others */

	for (const SdesProvider *const *at = sdes_providers(); *at != NULL; at++, n = 1)
	{
		SdesAead *aead;
		Message m;

		if (!read_message(data, size, &m))
			return 0;
		sdes_provider_use(*at);
		REQUIRE(sdes_aead_new(&aead, m.key) == SDES_OK);
		seal(aead, &m, sealed[n], tags[n]);
		mac(&m, macs[n]);
		check_open(aead, &m, sealed[0], tags[0]);
		sdes_aead_free(aead);
		REQUIRE(n == 0 || memcmp(sealed[0], sealed[1], m.text.size) == 0);
		REQUIRE(n == 0 || memcmp(tags[0], tags[1], sizeof(tags[0])) == 0);
		REQUIRE(n == 0 || memcmp(macs[0], macs[1], sizeof(macs[0])) == 0);
	}
	return 0;
}
