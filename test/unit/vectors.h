/*
 * vectors.h
 *		The lines that vectors.py writes, taken apart, and counted by source.
 */
#ifndef SDES_TEST_VECTORS_H
#define SDES_TEST_VECTORS_H

#include "hex.h"

#include <stdio.h>

#define MAX_FIELDS  10
#define MAX_SOURCES 16

typedef struct Vector
{
	const char *operation, *source, *number;
	SdesBytes fields[MAX_FIELDS];
	int nfields;
	bool valid;
} Vector;

typedef struct Source
{
	char name[64];
	long run, failed;
} Source;

static Source sources[MAX_SOURCES];
static int nsources;

/* Splits a line in place; the fields' bytes are the caller's to free. */
static bool
parse_line(char *line, Vector *v)
{
	char *words[3 + MAX_FIELDS + 1];
	int nwords = 0;
	bool good;

	*v = (Vector){0};
	for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n"))
	{
		if (nwords == (int) (sizeof(words) / sizeof(words[0])))
			return false;
		words[nwords++] = word;
	}
	if (nwords < 5)
		return false;
	v->operation = words[0];
	v->source = words[1];
	v->number = words[2];
	v->valid = strcmp(words[nwords - 1], "valid") == 0;
	good = v->valid || strcmp(words[nwords - 1], "invalid") == 0;
	for (int i = 3; i < nwords - 1; i++)
	{
		uint8_t *bytes = NULL;
		size_t size = 0;

		good = hex_decode(words[i], &bytes, &size) && good;
		v->fields[v->nfields++] = sdes_bytes(bytes, size);
	}
	return good;
}

static Source *
find_source(const char *name)
{
	for (int i = 0; i < nsources; i++)
	{
		if (strcmp(sources[i].name, name) == 0)
			return &sources[i];
	}
	if (nsources == MAX_SOURCES)
		abort();
	snprintf(sources[nsources].name, sizeof(sources[0].name), "%s", name);
	return &sources[nsources++];
}

#endif
