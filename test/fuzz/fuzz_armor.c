/*
 * fuzz_armor.c
 *		The armor: what decodes encodes to the very same text, and whatever is
 *		encoded decodes to itself.
 */
#include "fuzz.h"

#include "envelope/armor.h"

/* Encodes bytes; the caller frees the text. */
static char *
encode(SdesBytes bytes)
{
	char *text = fuzz_room(sdes_armor_size(bytes.size));

	sdes_armor_encode(bytes, text);
	return text;
}

static void
check_as_text(SdesBytes text)
{
	uint8_t *bytes = fuzz_room(sdes_armor_decoded_size(text.size));
	size_t size = 1;
	SdesStatus status = sdes_armor_decode(text, bytes, &size);

	REQUIRE(status == SDES_OK || status == SDES_ERR_FORMAT);
	if (status == SDES_OK)
	{
		char *again = encode(sdes_bytes(bytes, size));

		REQUIRE(sdes_armor_marked(text));
		REQUIRE(fuzz_same(sdes_bytes(again, sdes_armor_size(size)), text));
		free(again);
	}
	else
		REQUIRE(size == 0);
	free(bytes);
}

static void
check_as_bytes(SdesBytes bytes)
{
	size_t room = sdes_armor_size(bytes.size), size = 0;
	char *text = encode(bytes);
	uint8_t *back = fuzz_room(sdes_armor_decoded_size(room));

	REQUIRE(sdes_armor_decoded_size(room) == bytes.size);
	REQUIRE(sdes_armor_decode(sdes_bytes(text, room), back, &size) == SDES_OK);
	REQUIRE(fuzz_same(sdes_bytes(back, size), bytes));
	free(back);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_as_text(sdes_bytes(data, size));
	check_as_bytes(sdes_bytes(data, size));
	return 0;
}
