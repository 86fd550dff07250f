/*
 * lower.c
 *		Lower case for tokens, the same in every database.
 *
 * Tokens are stored, so what is lower case must not depend on a database's locale,
 * which a dump may change: it is the system's C.UTF-8, character by character, as
 * PostgreSQL's own lower() has it under a UTF-8 locale of libc (but for Turkish,
 * Azeri and Lithuanian rules).
 */
#include "postgres.h"

#include <locale.h>
#include <wctype.h>

#include "mb/pg_wchar.h"
#include "sdes_errors.h"
#include "value/internal.h"

static locale_t
unicode_locale(void)
{
	static locale_t locale = (locale_t) 0;

	if (locale == (locale_t) 0)
		locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
	if (locale == (locale_t) 0)
		ereport(ERROR,
		        (errcode(ERRCODE_SYSTEM_ERROR),
		         errmsg("this system has no locale \"C.UTF-8\""),
		         errhint("Columns that are 'searchable_ci' need it. Install the system's "
		                 "locales."),
		         SDES_KEEP_OUT_OF_LOG));
	return locale;
}

/* Room for the lower-cased form of one that is so long: none grows beyond 4 bytes. */
#define GROWTH 4

char *
sdes_value_lower(SdesBytes utf8, size_t *size)
{
	locale_t locale = unicode_locale();
	char *out = MemoryContextAllocHuge(CurrentMemoryContext, utf8.size * GROWTH + 1);
	char *at = out;
	size_t i = 0;

	while (i < utf8.size)
	{
		const unsigned char *c = utf8.data + i;
		size_t left = utf8.size - i;
		int length = pg_utf_mblen(c);

		if ((size_t) length > left || !pg_utf8_islegal(c, length))
		{
			*at++ = (char) *c;
			i++;
			continue;
		}
		unicode_to_utf8((pg_wchar) towlower_l((wint_t) utf8_to_unicode(c), locale),
		                (unsigned char *) at);
		at += pg_utf_mblen((unsigned char *) at);
		i += (size_t) length;
	}
	*size = (size_t) (at - out);
	return out;
}
