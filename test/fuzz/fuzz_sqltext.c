/*
 * fuzz_sqltext.c
 *		SQL without its constants: whatever the text, what is written has no quote outside
 *		quoted words and no number but parameters' and those within words.
 */
#include "fuzz.h"

#include "sqltext/sqltext.h"

#include <ctype.h>

static bool
in_word(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '$' || (unsigned char) c >= 0x80;
}

static void
check_written(const char *text)
{
	for (const char *c = text; *c != '\0'; c++)
	{
		REQUIRE(*c != '\'');
		if (*c == '"')
		{
			/* Its end is there, or it would have been left out. */
			for (c++; *c != '"'; c++)
				REQUIRE(*c != '\0');
		}
		else if (isdigit((unsigned char) *c))
			REQUIRE(c > text && in_word(c[-1]));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t options = size > 0 ? data[0] : 0;
	SdesBytes text = sdes_bytes(data + (size > 0), size - (size > 0));
	size_t room = (options & 2) != 0 ? 16 + (options >> 2) : 8 * text.size + 16;
	char *out = fuzz_room(room);
	size_t length = sdes_sqltext_redact(text, SDES_SQL_STATEMENT, out, room);

	REQUIRE(length < room && out[length] == '\0');
	if (memchr(out, 0, length) == NULL)
		check_written(out);
	(void) sdes_sqltext_redact(text, (options & 1) != 0 ? SDES_SQL_PLAN : SDES_SQL_PROSE,
	                           out, room);
	(void) sdes_sqltext_has_constants(text);
	free(out);
	return 0;
}
