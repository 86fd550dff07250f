/*
 * doubt.c
 *		See doubt.h.
 */
#include "agent/doubt.h"

#include <string.h>

static bool
is_remembered(const SdesDoubt *doubt, const uint8_t *kek)
{
	for (int i = 0; i < doubt->nmissing; i++)
		if (memcmp(doubt->missing[i], kek, SDES_KEK_ID_SIZE) == 0)
			return true;
	return false;
}

bool
sdes_doubt_due(const SdesDoubt *doubt, const uint8_t *kek, bool token_known, int64_t now)
{
	int64_t interval = token_known ? SDES_DOUBT_LIST_MS : SDES_DOUBT_TOKEN_MS;

	if (token_known && is_remembered(doubt, kek))
		return false;
	return doubt->at == 0 || now - doubt->at >= interval;
}

void
sdes_doubt_started(SdesDoubt *doubt, int64_t now)
{
	doubt->at = now;
}

void
sdes_doubt_in_vain(SdesDoubt *doubt, const uint8_t *kek)
{
	if (is_remembered(doubt, kek))
		return;
	memcpy(doubt->missing[doubt->next], kek, SDES_KEK_ID_SIZE);
	doubt->next = (doubt->next + 1) % SDES_DOUBT_KEYS;
	if (doubt->nmissing < SDES_DOUBT_KEYS)
		doubt->nmissing++;
}
