/*
 * pan_numbers.h
 *		What the tests of card numbers share: how to make and to parse one.
 */
#ifndef SDES_TEST_PAN_NUMBERS_H
#define SDES_TEST_PAN_NUMBERS_H

#include "pan/pan.h"
#include "tap.h"

#include <stdlib.h>

#define MAX_TEXT 64

/* Parses from memory of the exact size, so that a sanitizer sees overruns. */
static SdesPanFault
parse_bytes(const char *text, size_t size, SdesPan *pan)
{
	uint8_t *in = malloc(size);
	SdesPanFault fault;

	if (size > 0)
		memcpy(in, text, size);
	memset(pan, 'x', sizeof(*pan));
	fault = sdes_pan_parse(sdes_bytes(in, size), pan);
	free(in);
	return fault;
}

static SdesPanFault
parse(const char *text)
{
	SdesPan pan;

	return parse_bytes(text, strlen(text), &pan);
}

/* The check digit of so many digits before it, worked out by another way. */
static char
check_digit(const char *digits, int n)
{
	int sum = 0;

	for (int i = n - 1, weight = 2; i >= 0; i--, weight = 3 - weight)
	{
		int product = (digits[i] - '0') * weight;

		sum += product / 10 + product % 10;
	}
	return (char) ('0' + (10 - sum % 10) % 10);
}

/* A PAN of n digits: the leading ones, a filling, and the check digit. */
static void
make_pan(const char *leading, int n, char *pan)
{
	int at = (int) strlen(leading);

	memcpy(pan, leading, (size_t) at);
	for (; at < n - 1; at++)
		pan[at] = (char) ('0' + (at * 7 + 3) % 10);
	pan[n - 1] = check_digit(pan, n - 1);
	pan[n] = '\0';
}

#endif
