/*
 * leaksearch.c
 *		Searches files for plaintext, in the forms in which it leaks.
 *
 *		leaksearch VALUES PATH...
 *
 * VALUES is a file with one value a line. Every regular file at or below the
 * paths is read whole, binary or not, and searched for each value as it is, in
 * capital and in small letters, as hexadecimal digits (both cases), as base64 (both
 * alphabets, at each of the three ways it can lie in longer data), as UTF-16 (both
 * byte orders) and, where it has the digits of a card number, as packed BCD (from
 * either half of a byte on).
 * Prints every hit, up to a limit, then one line of numbers. Exit status: 0
 * nothing found, 1 something found, 2 trouble, so that a search that could not
 * read a file is never taken for a clean one. A file that vanishes meanwhile
 * is no trouble: a running server removes files.
 *
 * All forms of all values are found in one pass: a bitmap over the hash of
 * four bytes says where a pattern may begin, a hash table says which.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_MIN  6    /* bytes: shorter ones turn up by chance */
#define VALUE_MAX  4096 /* bytes */
#define BCD_MIN    12   /* digits: of a card number, and too many to turn up by chance */
#define GRAM       4    /* bytes that the filter looks at */
#define FILTER_LOG 22
#define BLOCK      (4 * 1024 * 1024)
#define SHOWN_MAX  50 /* hits printed in full */

typedef struct Pattern
{
	uint8_t *bytes;
	size_t size;
	const char *form;
	const char *value;
	struct Pattern *next; /* of the same hash */
} Pattern;

static Pattern *table[1 << 16];
static uint8_t filter[(1 << FILTER_LOG) / 8];
static size_t longest;
static unsigned long nvalues, npatterns, nfiles, nhits;
static unsigned long long nbytes;
static bool trouble;

static void
fail(const char *what)
{
	fprintf(stderr, "leaksearch: %s: %s\n", what, strerror(errno));
	trouble = true;
}

static uint32_t
hash(const uint8_t *bytes)
{
	uint32_t gram;

	memcpy(&gram, bytes, GRAM);
	return gram * UINT32_C(2654435761);
}

static void
add_pattern(const uint8_t *bytes, size_t size, const char *form, const char *value)
{
	Pattern *pattern;
	uint32_t h = hash(bytes);

	/* Digits are the same in both cases, most base64 in both alphabets. */
	for (pattern = table[h >> 16]; pattern != NULL; pattern = pattern->next)
		if (pattern->size == size && memcmp(pattern->bytes, bytes, size) == 0)
			return;
	pattern = malloc(sizeof(Pattern));
	pattern->bytes = malloc(size);
	memcpy(pattern->bytes, bytes, size);
	pattern->size = size;
	pattern->form = form;
	pattern->value = value;
	pattern->next = table[h >> 16];
	table[h >> 16] = pattern;
	filter[h >> (32 - FILTER_LOG + 3)] |= 1 << ((h >> (32 - FILTER_LOG)) & 7);
	if (size > longest)
		longest = size;
	npatterns++;
}

static void
add_hex(const uint8_t *value, size_t size, const char *digits, const char *form)
{
	uint8_t out[2 * VALUE_MAX];

	for (size_t i = 0; i < size; i++)
	{
		out[2 * i] = digits[value[i] >> 4];
		out[2 * i + 1] = digits[value[i] & 15];
	}
	add_pattern(out, 2 * size, form, (const char *) value);
}

/*
 * The characters of the base64 form that depend on the value alone when lead
 * bytes (0 to 2) of a group of three come before it.
 */
static void
add_base64(const uint8_t *value, size_t size, int lead, const char *last, const char *form)
{
	static const char common[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t out[2 * VALUE_MAX];
	size_t used = 0;

	/* Character i holds the bits 6i to 6i+5; the value's begin at 8 lead. */
	for (size_t bit = (8 * lead + 5) / 6 * 6; bit + 6 <= 8 * (lead + size); bit += 6)
	{
		size_t at = bit / 8 - lead;
		unsigned int pair = value[at] << 8 | (at + 1 < size ? value[at + 1] : 0);
		unsigned int six = pair >> (10 - bit % 8) & 63;

		out[used++] = six < 62 ? common[six] : last[six - 62];
	}
	add_pattern(out, used, form, (const char *) value);
}

/* False when the value is no UTF-8; it is not searched for as UTF-16 then. */
static bool
add_utf16(const uint8_t *value, size_t size, bool little, const char *form)
{
	uint8_t out[2 * VALUE_MAX];
	size_t used = 0;

	for (size_t i = 0; i < size;)
	{
		int more = value[i] < 0x80 ? 0 : value[i] < 0xE0 ? 1 : value[i] < 0xF0 ? 2 : 3;
		uint32_t point = more == 0 ? value[i] : value[i] & (0x3F >> more);
		uint16_t units[2];
		int nunits = 1;

		if (i + more >= size)
			return false;
		for (int k = 1; k <= more; k++)
			point = point << 6 | (value[i + k] & 0x3F);
		units[0] = point;
		if (point > 0xFFFF)
		{
			units[0] = 0xD800 + ((point - 0x10000) >> 10);
			units[1] = 0xDC00 + ((point - 0x10000) & 0x3FF);
			nunits = 2;
		}
		for (int k = 0; k < nunits; k++)
		{
			out[used++] = little ? units[k] & 0xFF : units[k] >> 8;
			out[used++] = little ? units[k] >> 8 : units[k] & 0xFF;
		}
		i += more + 1;
	}
	add_pattern(out, used, form, (const char *) value);
	return true;
}

/* Letters of ASCII in the other case. */
static void
add_case(const uint8_t *value, size_t size, int (*change)(int), const char *form)
{
	uint8_t out[VALUE_MAX];

	for (size_t i = 0; i < size; i++)
		out[i] = value[i] < 0x80 ? change(value[i]) : value[i];
	add_pattern(out, size, form, (const char *) value);
}

/* The bytes that hold two digits of the value, from digit "first" on. */
static void
add_bcd(const uint8_t *value, size_t size, int first, const char *form)
{
	uint8_t digits[VALUE_MAX], out[VALUE_MAX];
	int n = 0, used = 0;

	for (size_t i = 0; i < size; i++)
		if (isdigit(value[i]))
			digits[n++] = value[i] - '0';
	if (n < BCD_MIN)
		return;
	for (int i = first; i + 1 < n; i += 2)
		out[used++] = digits[i] << 4 | digits[i + 1];
	add_pattern(out, used, form, (const char *) value);
}

static void
add_value(const char *line, size_t size)
{
	static const char *const forms[] = {"base64, first", "base64, second", "base64, third"};
	const uint8_t *value = (const uint8_t *) line;

	add_pattern(value, size, "plain", line);
	add_case(value, size, toupper, "capital letters");
	add_case(value, size, tolower, "small letters");
	add_bcd(value, size, 0, "BCD");
	add_bcd(value, size, 1, "BCD");
	add_hex(value, size, "0123456789abcdef", "hex");
	add_hex(value, size, "0123456789ABCDEF", "hex");
	for (int lead = 0; lead < 3; lead++)
	{
		add_base64(value, size, lead, "+/", forms[lead]);
		add_base64(value, size, lead, "-_", forms[lead]);
	}
	add_utf16(value, size, true, "UTF-16LE");
	add_utf16(value, size, false, "UTF-16BE");
	nvalues++;
}

static bool
read_values(const char *path)
{
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t room = 0;
	ssize_t size;

	if (file == NULL)
	{
		fail(path);
		return false;
	}
	while ((size = getline(&line, &room, file)) > 0)
	{
		if (line[size - 1] == '\n')
			line[--size] = '\0';
		if (size < VALUE_MIN || size > VALUE_MAX)
		{
			fprintf(stderr, "leaksearch: a value must have %d to %d bytes: %s\n", VALUE_MIN,
			        VALUE_MAX, line);
			trouble = true;
			continue;
		}
		add_value(strdup(line), size);
	}
	free(line);
	fclose(file);
	if (nvalues == 0)
		fprintf(stderr, "leaksearch: %s holds no value to search for\n", path);
	return nvalues > 0;
}

static void
report(const char *path, unsigned long long offset, const Pattern *pattern)
{
	if (++nhits <= SHOWN_MAX)
		printf("%s:%llu: %s (%s)\n", path, offset, pattern->value, pattern->form);
}

/* Searches for patterns that begin before limit; size bytes are there. */
static void
search_block(const char *path, unsigned long long offset, const uint8_t *bytes,
             size_t limit, size_t size)
{
	for (size_t i = 0; i < limit && i + GRAM <= size; i++)
	{
		uint32_t h = hash(bytes + i);

		if (!(filter[h >> (32 - FILTER_LOG + 3)] >> ((h >> (32 - FILTER_LOG)) & 7) & 1))
			continue;
		for (const Pattern *p = table[h >> 16]; p != NULL; p = p->next)
			if (p->size <= size - i && memcmp(p->bytes, bytes + i, p->size) == 0)
				report(path, offset + i, p);
	}
}

/*
 * Blocks overlap by what the longest pattern may reach into the next one: of
 * what was read, only the positions that have that much after them are
 * searched, and the rest is kept for the next round.
 */
static void
search_file(const char *path, uint8_t *buffer)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned long long offset = 0;
	size_t kept = 0;
	ssize_t got;

	if (fd < 0)
	{
		if (errno != ENOENT)
			fail(path);
		return;
	}
	nfiles++;
	while ((got = read(fd, buffer + kept, BLOCK)) > 0)
	{
		size_t size = kept + got;
		size_t limit = size > longest ? size - longest : 0;

		search_block(path, offset, buffer, limit, size);
		memmove(buffer, buffer + limit, size - limit);
		kept = size - limit;
		offset += limit;
		nbytes += got;
	}
	if (got < 0)
		fail(path);
	search_block(path, offset, buffer, kept, kept);
	close(fd);
}

static void
search_tree(char **paths)
{
	/* Links are followed: a server's WAL or a tablespace may lie elsewhere. */
	FTS *tree = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	uint8_t *buffer = malloc(BLOCK + longest);
	FTSENT *entry;

	if (tree == NULL || buffer == NULL)
	{
		fail(paths[0]);
		return;
	}
	while ((entry = fts_read(tree)) != NULL)
	{
		if (entry->fts_info == FTS_F)
			search_file(entry->fts_path, buffer);
		else if ((entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR ||
		          entry->fts_info == FTS_ERR) &&
		         (entry->fts_errno != ENOENT || entry->fts_level == 0))
		{
			errno = entry->fts_errno;
			fail(entry->fts_path);
		}
	}
	fts_close(tree);
	free(buffer);
}

int
main(int argc, char **argv)
{
	if (argc < 3)
	{
		fprintf(stderr, "usage: leaksearch VALUES PATH...\n");
		return 2;
	}
	if (!read_values(argv[1]))
		return 2;
	search_tree(argv + 2);
	if (nhits > SHOWN_MAX)
		printf("... and %lu more\n", nhits - SHOWN_MAX);
	printf("%lu values in %lu forms, %lu files, %.1f MB: %lu hits\n", nvalues, npatterns,
	       nfiles, nbytes / 1e6, nhits);
	if (trouble)
		return 2;
	return nhits > 0 ? 1 : 0;
}
