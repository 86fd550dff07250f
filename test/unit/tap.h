/*
 * tap.h
 *		The smallest harness that speaks TAP, the Test Anything Protocol.
 *
 * Each check prints one line; a loop over many inputs counts its failures and
 * reports once, so that a plan stays readable. main() ends in
 * "return done_testing();".
 */
#ifndef SDES_TEST_TAP_H
#define SDES_TEST_TAP_H

#include "crypto/bytes.h"
#include "crypto/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_run;
static int tap_failed;

__attribute__((format(printf, 1, 2), unused)) static void
diag(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("# ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

__attribute__((format(printf, 2, 3), unused)) static bool
ok(bool passed, const char *format, ...)
{
	va_list args;

	tap_run++;
	tap_failed += !passed;
	printf("%sok %d - ", passed ? "" : "not ", tap_run);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	return passed;
}

__attribute__((unused)) static bool
is_status(SdesStatus got, SdesStatus want, const char *name)
{
	if (!ok(got == want, "%s: %s", name, sdes_status_name(want)))
	{
		diag("%s: got %d (%s)", name, (int) got, sdes_status_name(got));
		return false;
	}
	return true;
}

/* No input of a loop failed; says how many there were. */
__attribute__((unused)) static bool
none_failed(long failed, long total, const char *name)
{
	if (!ok(failed == 0 && total > 0, "%s (%ld)", name, total))
	{
		diag("%s: %ld of %ld failed", name, failed, total);
		return false;
	}
	return true;
}

__attribute__((unused)) static bool
same_bytes(SdesBytes a, SdesBytes b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

__attribute__((unused)) static bool
all_bytes(const uint8_t *data, size_t size, uint8_t value)
{
	for (size_t i = 0; i < size; i++)
	{
		if (data[i] != value)
			return false;
	}
	return true;
}

/* Prints the plan; the exit status of a test program. */
__attribute__((unused)) static int
done_testing(void)
{
	printf("1..%d\n", tap_run);
	fflush(stdout);
	return tap_failed == 0 && tap_run > 0 ? 0 : 1;
}

#endif
