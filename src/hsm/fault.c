/*
 * fault.c
 *		Failures that no module reported, in words.
 */
#include "hsm/provider.h"

#include <stdarg.h>
#include <stdio.h>

SdesStatus
sdes_hsm_fault(SdesHsmFault *fault, SdesStatus status, const char *format, ...)
{
	va_list args;

	fault->code = 0;
	fault->lost = false;
	va_start(args, format);
	vsnprintf(fault->detail, sizeof(fault->detail), format, args);
	va_end(args);
	return status;
}
