/*
 * kat.h
 *		Reads the known-answer files: cases of "field = value" lines, parted by
 *		empty lines, with comments that begin with "#".
 *
 * Files are looked for in the directory that SDES_UNIT_DIR names, or here.
 */
#ifndef SDES_TEST_KAT_H
#define SDES_TEST_KAT_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KAT_MAX_FIELDS 20
#define KAT_MAX_LINE   4096

typedef struct KatFile
{
	FILE *stream;
} KatFile;

typedef struct Kat
{
	int nfields;
	char name[KAT_MAX_FIELDS][32];
	char value[KAT_MAX_FIELDS][KAT_MAX_LINE];
} Kat;

static bool
kat_open(KatFile *file, const char *name)
{
	const char *dir = getenv("SDES_UNIT_DIR");
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir == NULL ? "." : dir, name);
	file->stream = fopen(path, "r");
	return file->stream != NULL;
}

static void
kat_close(KatFile *file)
{
	fclose(file->stream);
}

/* The next case; false at the end. A line that cannot be read ends the program. */
static bool
kat_next(KatFile *file, Kat *kat)
{
	static char line[KAT_MAX_LINE + 40];

	kat->nfields = 0;
	while (fgets(line, sizeof(line), file->stream) != NULL)
	{
		int at = kat->nfields;

		if (line[0] == '#')
			continue;
		if (line[0] == '\n')
		{
			if (kat->nfields > 0)
				return true;
			continue;
		}
		if (at == KAT_MAX_FIELDS ||
		    sscanf(line, "%31[a-z0-9_] = %4095[^\n]", kat->name[at], kat->value[at]) != 2)
			abort();
		kat->nfields++;
	}
	return kat->nfields > 0;
}

/* A field's value, "-" for one that is missing. */
__attribute__((unused)) static const char *
kat_optional(const Kat *kat, const char *name)
{
	for (int i = 0; i < kat->nfields; i++)
	{
		if (strcmp(kat->name[i], name) == 0)
			return kat->value[i];
	}
	return "-";
}

/* A field's value; a field that is missing ends the program. */
static const char *
kat_field(const Kat *kat, const char *name)
{
	for (int i = 0; i < kat->nfields; i++)
	{
		if (strcmp(kat->name[i], name) == 0)
			return kat->value[i];
	}
	fprintf(stderr, "# no field %s\n", name);
	abort();
}

#endif
