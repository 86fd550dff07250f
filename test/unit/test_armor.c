/*
 * test_armor.c
 *		The text form: one spelling per envelope, everything else refused.
 */
#include "envelope/armor.h"
#include "tap.h"

#include <ctype.h>
#include <stdlib.h>

#define MAX_BYTES 100
#define MAX_CHARS 200

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
fill(uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t) (i * 37 + size);
}

/* Decodes from and into memory of the exact sizes, so that a sanitizer sees overruns. */
static SdesStatus
decode(const char *text, size_t chars, uint8_t *bytes, size_t *size)
{
	size_t room = sdes_armor_decoded_size(chars);
	uint8_t *in = malloc(chars);
	uint8_t *out = malloc(room);
	SdesStatus status;

	memcpy(in, text, chars);
	status = sdes_armor_decode(sdes_bytes(in, chars), out, size);
	if (status == SDES_OK && *size <= room && *size > 0)
		memcpy(bytes, out, *size);
	free(in);
	free(out);
	return status;
}

static SdesStatus
decode_string(const char *text)
{
	uint8_t bytes[MAX_CHARS];
	size_t size;

	return decode(text, strlen(text), bytes, &size);
}

/* RFC 4648, section 10, and the two characters that set this alphabet apart. */
static void
test_known(void)
{
	static const char *known[][2] = {{"", ""},
	                                 {"f", "Zg"},
	                                 {"fo", "Zm8"},
	                                 {"foo", "Zm9v"},
	                                 {"foob", "Zm9vYg"},
	                                 {"fooba", "Zm9vYmE"},
	                                 {"foobar", "Zm9vYmFy"},
	                                 {"\xff\xef\xbe", "_---"},
	                                 {"\xfb\xff", "-_8"}};
	long failed = 0;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		SdesBytes bytes = {(const uint8_t *) known[i][0], strlen(known[i][0])};
		size_t chars = sdes_armor_size(bytes.size);
		char text[MAX_CHARS];
		uint8_t back[MAX_BYTES];
		size_t size = 0;

		sdes_armor_encode(bytes, text);
		failed += chars != 6 + strlen(known[i][1]) || memcmp(text, "sdes1:", 6) != 0 ||
		          memcmp(text + 6, known[i][1], chars - 6) != 0;
		failed += decode(text, chars, back, &size) != SDES_OK ||
		          !same_bytes(sdes_bytes(back, size), bytes);
	}
	none_failed(failed, sizeof(known) / sizeof(known[0]), "known answers");
}

static void
test_round_trip(void)
{
	long failed = 0;

	for (size_t n = 0; n <= MAX_BYTES; n++)
	{
		uint8_t bytes[MAX_BYTES], back[MAX_BYTES];
		char text[MAX_CHARS];
		size_t chars = sdes_armor_size(n), size = 0;

		fill(bytes, n);
		memset(text, '!', sizeof(text));
		sdes_armor_encode(sdes_bytes(bytes, n), text);
		failed += text[chars] != '!' || text[chars - 1] == '!';
		failed += sdes_armor_decoded_size(chars) != n;
		failed += decode(text, chars, back, &size) != SDES_OK || size != n ||
		          memcmp(bytes, back, n) != 0;
	}
	none_failed(failed, MAX_BYTES + 1, "round trip at every size, no zero written");
}

/*
 * A text that is cut is refused, or is the one spelling of a shorter run of
 * bytes: never bytes that were not there.
 */
static void
test_truncations(void)
{
	long failed = 0, total = 0;

	for (size_t n = 0; n <= 40; n++)
	{
		uint8_t bytes[MAX_BYTES], back[MAX_BYTES];
		char text[MAX_CHARS], again[MAX_CHARS];

		fill(bytes, n);
		sdes_armor_encode(sdes_bytes(bytes, n), text);
		for (size_t chars = 0; chars < sdes_armor_size(n); chars++, total++)
		{
			size_t size = 99;

			if (decode(text, chars, back, &size) != SDES_OK)
			{
				failed += size != 0;
				continue;
			}
			sdes_armor_encode(sdes_bytes(back, size), again);
			failed += size >= n || sdes_armor_size(size) != chars ||
			          memcmp(again, text, chars) != 0;
		}
	}
	none_failed(failed, total, "every truncation is refused or canonical for fewer bytes");
}

/*
 * Every other character at every place: refused, or other bytes whose spelling
 * is this very text.
 */
static void
test_substitutions(void)
{
	uint8_t bytes[MAX_BYTES], back[MAX_BYTES];
	char text[MAX_CHARS], again[MAX_CHARS];
	long failed = 0, total = 0, outside = 0;

	for (size_t n = 39; n <= 41; n++)
	{
		size_t chars = sdes_armor_size(n);

		fill(bytes, n);
		sdes_armor_encode(sdes_bytes(bytes, n), text);
		for (size_t i = 0; i < chars * 256; i++)
		{
			char was = text[i / 256];
			bool digit = strchr(digits, (int) (i % 256)) != NULL && i % 256 != 0;
			size_t size = 0;

			text[i / 256] = (char) (i % 256);
			if (text[i / 256] != was)
			{
				bool taken = decode(text, chars, back, &size) == SDES_OK;

				outside += taken && (!digit || i / 256 < 6);
				if (taken)
					sdes_armor_encode(sdes_bytes(back, size), again);
				failed += taken && (size != n || memcmp(back, bytes, n) == 0 ||
				                    memcmp(again, text, chars) != 0);
				total++;
			}
			text[i / 256] = was;
		}
	}
	none_failed(failed, total,
	            "a substituted character never yields the same bytes or a second spelling");
	none_failed(outside, total,
	            "no character outside the alphabet is taken, and none in the prefix");
}

/* "Zg" ends in four unused bits and "Zm8" in two: 1 of 16 and 1 of 4 are canonical. */
static void
test_trailing_bits(void)
{
	long taken1 = 0, taken2 = 0;

	for (int i = 0; i < 64; i++)
	{
		char one[] = "sdes1:Z?", two[] = "sdes1:Zm?";

		one[7] = two[8] = digits[i];
		taken1 += decode_string(one) == SDES_OK;
		taken2 += decode_string(two) == SDES_OK;
	}
	ok(taken1 == 4, "two characters: 4 of 64 last ones are canonical");
	ok(taken2 == 16, "three characters: 16 of 64 last ones are canonical");
}

static void
test_refused(void)
{
	static const char *refused[] = {
	    "",
	    "s",
	    "sdes1",
	    "Zm9v",
	    "sdes1Zm9v",
	    "SDES1:Zm9v",
	    "Sdes1:Zm9v",
	    "sdes2:Zm9v",
	    "sdes:Zm9v",
	    " sdes1:Zm9v",
	    "sdes1: Zm9v",
	    "sdes1:Zm9v ",
	    "sdes1:Zm9v\n",
	    "sdes1:Zm9v\r\n",
	    "sdes1:Zm\n9v",
	    "sdes1:\tZm9v",
	    "sdes1:Zg==",
	    "sdes1:Zm8=",
	    "sdes1:Zm9v=",
	    "sdes1:=",
	    "sdes1:Z",
	    "sdes1:Zm9vY",
	    "sdes1:Zh",
	    "sdes1:Zm9",
	    "sdes1:++++",
	    "sdes1:////",
	    "sdes1:sdes1:Zm9v",
	    "sdes1:Zm9\xc3\xa9",
	    "-----BEGIN PGP MESSAGE-----",
	};
	long failed = 0;
	const long total = (long) (sizeof(refused) / sizeof(refused[0]));

	for (long i = 0; i < total; i++)
	{
		if (decode_string(refused[i]) != SDES_ERR_FORMAT)
		{
			diag("taken: %s", refused[i]);
			failed++;
		}
	}
	none_failed(failed, total, "padding, white space, other alphabets and prefixes");
	ok(decode_string("sdes1:Zm9v") == SDES_OK, "while the canonical form is taken");
}

static void
test_marked(void)
{
	ok(sdes_armor_marked(sdes_bytes("sdes1:", 6)), "the prefix alone is marked");
	ok(sdes_armor_marked(sdes_bytes("sdes1:!!", 8)), "whatever follows it");
	ok(!sdes_armor_marked(sdes_bytes("sdes1:", 5)), "a part of it is not");
	ok(!sdes_armor_marked(sdes_bytes("SDES1:aaaa", 10)), "nor is upper case");
	ok(!sdes_armor_marked(sdes_bytes(NULL, 0)), "nor nothing");
	ok(sdes_armor_decoded_size(0) == 0 && sdes_armor_decoded_size(5) == 0,
	   "what is shorter than the prefix decodes to nothing");
}

int
main(void)
{
	test_known();
	test_round_trip();
	test_truncations();
	test_substitutions();
	test_trailing_bits();
	test_refused();
	test_marked();
	return done_testing();
}
