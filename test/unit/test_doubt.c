/*
 * test_doubt.c
 *		How often a missing key is worth a start of the module.
 */
#include "agent/doubt.h"
#include "tap.h"

#include <string.h>

/* A key of that number. */
static const uint8_t *
key(int number)
{
	static uint8_t id[SDES_KEK_ID_SIZE];

	memset(id, 0, sizeof(id));
	memcpy(id, &number, sizeof(number));
	return id;
}

static void
test_known_token(void)
{
	SdesDoubt d = {0};
	int due = 0;

	ok(sdes_doubt_due(&d, key(1), true, 1000), "a missing key: a start is worth it");
	sdes_doubt_started(&d, 1000);
	ok(!sdes_doubt_due(&d, key(2), true, 1000 + SDES_DOUBT_LIST_MS - 1),
	   "for another key not within the interval");
	sdes_doubt_started(&d, 5000);
	ok(!sdes_doubt_due(&d, key(2), true, 1000 + SDES_DOUBT_LIST_MS),
	   "which begins where the start has ended");
	ok(sdes_doubt_due(&d, key(2), true, 5000 + SDES_DOUBT_LIST_MS), "after it, it is");
	ok(sdes_doubt_due(&d, key(1), true, 5000 + SDES_DOUBT_LIST_MS),
	   "and for the first key, if it was found meanwhile");
	sdes_doubt_in_vain(&d, key(1));
	ok(!sdes_doubt_due(&d, key(1), true, INT64_MAX), "if it was not: never again");
	ok(sdes_doubt_due(&d, key(2), true, INT64_MAX), "for others it is");
	for (int i = 0; i < 3; i++)
		sdes_doubt_in_vain(&d, key(1));
	ok(d.nmissing == 1, "a key is remembered once");
	for (int i = 2; i <= SDES_DOUBT_KEYS; i++)
		sdes_doubt_in_vain(&d, key(i));
	for (int i = 1; i <= SDES_DOUBT_KEYS; i++)
		due += sdes_doubt_due(&d, key(i), true, INT64_MAX);
	ok(due == 0 && d.nmissing == SDES_DOUBT_KEYS, "so many are remembered");
	sdes_doubt_in_vain(&d, key(1000));
	ok(!sdes_doubt_due(&d, key(1000), true, INT64_MAX) &&
	       sdes_doubt_due(&d, key(1), true, INT64_MAX) && d.nmissing == SDES_DOUBT_KEYS,
	   "one more takes the place of the first");
}

static void
test_other_token(void)
{
	SdesDoubt d = {0};

	sdes_doubt_started(&d, 1000);
	sdes_doubt_in_vain(&d, key(1));
	ok(!sdes_doubt_due(&d, key(1), false, 1000 + SDES_DOUBT_TOKEN_MS - 1) &&
	       sdes_doubt_due(&d, key(1), false, 1000 + SDES_DOUBT_TOKEN_MS),
	   "a token that does not say who it is: for the same key, too, and sooner");
}

int
main(void)
{
	test_known_token();
	test_other_token();
	return done_testing();
}
