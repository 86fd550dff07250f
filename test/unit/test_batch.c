/*
 * test_batch.c
 *		SEAL and OPEN, over a key store that fails on demand.
 *
 * The store "seals" by XOR with 0x55 and a sum for a tag, which will do: what is
 * looked at is what becomes of each value, and how often a request is tried.
 */
#include "agent/ops.h"
#include "tap.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define AAD_SIZE  20
#define MAX_BATCH (SDES_VALUES_MAX - 19)

static const uint8_t zeros[SDES_VALUE_MAX + SDES_VALUE_OVERHEAD + 1];

struct SdesHsmSession
{
	bool dirty; /* a call failed on it */
};

/* What the store does. */
static struct
{
	int opened; /* sessions */
	int closed;
	int calls;      /* of seal and open */
	int fail_at;    /* this call fails, counted from 1; 0: none */
	int fail_count; /* and so many after it */
	SdesStatus with;
	bool lost;
	int flip_at; /* this call's output is wrong */
	bool other_token, dead;
	int dirty_uses; /* calls on a session that ought to have been closed */
	uint8_t nonce;
} store;

static SdesStatus
session_open(SdesHsm *hsm, SdesHsmSession **out, SdesHsmFault *fault)
{
	(void) hsm;
	(void) fault;
	*out = calloc(1, sizeof(**out));
	store.opened++;
	return SDES_OK;
}

static void
session_close(SdesHsmSession *session)
{
	store.closed += session != NULL;
	free(session);
}

/* Counts the call; its status when it is to fail. */
static SdesStatus
fate(SdesHsmSession *session, SdesHsmFault *fault)
{
	store.calls++;
	store.dirty_uses += session->dirty;
	if (store.fail_at == 0 || store.calls < store.fail_at ||
	    store.calls > store.fail_at + store.fail_count)
		return SDES_OK;
	session->dirty = true;
	sdes_hsm_fault(fault, store.with, "told to");
	fault->lost = store.lost;
	return store.with;
}

static void
tag_of(const SdesHsmWrap *under, SdesBytes text, uint8_t tag[16])
{
	memset(tag, under->kek_id[0], 16);
	for (size_t i = 0; i < under->aad.size; i++)
		tag[i % 16] = (uint8_t) (tag[i % 16] * 3 + under->aad.data[i]);
	for (size_t i = 0; i < text.size; i++)
		tag[i % 16] = (uint8_t) (tag[i % 16] * 3 + text.data[i]);
}

static SdesStatus
seal(SdesHsmSession *session, const SdesHsmWrap *under, SdesBytes plaintext, uint8_t *out,
     SdesHsmFault *fault)
{
	SdesStatus status = fate(session, fault);

	if (status != SDES_OK)
		return status;
	memset(out, ++store.nonce, 12);
	for (size_t i = 0; i < plaintext.size; i++)
		out[12 + i] = plaintext.data[i] ^ 0x55;
	tag_of(under, sdes_bytes(out, 12 + plaintext.size), out + 12 + plaintext.size);
	return SDES_OK;
}

static SdesStatus
open_sealed(SdesHsmSession *session, const SdesHsmWrap *under, SdesBytes sealed,
            uint8_t *out, SdesHsmFault *fault)
{
	SdesStatus status = fate(session, fault);
	uint8_t tag[16];

	if (status != SDES_OK)
		return status;
	tag_of(under, sdes_bytes(sealed.data, sealed.size - 16), tag);
	if (memcmp(tag, sealed.data + sealed.size - 16, 16) != 0)
	{
		session->dirty = true;
		return sdes_hsm_fault(fault, SDES_ERR_TAG, "not authentic");
	}
	memset(out, 0xee, sealed.size);
	for (size_t i = 0; i < sealed.size - 28; i++)
		out[i] = sealed.data[12 + i] ^ 0x55;
	if (store.calls == store.flip_at)
		out[0] ^= 1;
	return SDES_OK;
}

static SdesStatus
token_info(SdesHsm *hsm, SdesHsmTokenInfo *out, SdesHsmFault *fault)
{
	(void) hsm;
	memset(out, 0, sizeof(*out));
	strcpy(out->label, "label");
	strcpy(out->serial, store.other_token ? "2" : "1");
	return store.dead ? sdes_hsm_fault(fault, SDES_ERR_HSM, "dead") : SDES_OK;
}

static SdesStatus
draw(SdesHsmSession *session, uint8_t *out, size_t size, SdesHsmFault *fault)
{
	(void) session;
	(void) fault;
	memset(out, 4, size);
	return SDES_OK;
}

static const SdesHsmTokenInfo first_token = {.label = "label", .serial = "1"};

static const SdesHsmProvider provider = {
    .token_info = token_info,
    .random = draw,
    .session_open = session_open,
    .session_close = session_close,
    .seal = seal,
    .open_sealed = open_sealed,
};

/* A request and what comes of it. */
typedef struct Talk
{
	SdesOps ops;
	SdesRequest request;
	SdesReply reply;
	SdesOpsMemory memory;
	uint8_t *values;
	SdesWriter writer;
	SdesOpsOutcome outcome;
} Talk;

static Talk *
talk_new(SdesAgentOp op)
{
	Talk *t = calloc(1, sizeof(*t));

	memset(&store, 0, sizeof(store));
	t->ops.provider = &provider;
	t->ops.token = &first_token;
	t->request.op = op;
	t->request.kek_id[0] = 9;
	t->values = calloc(1, MAX_BATCH);
	t->writer = sdes_writer(t->values, MAX_BATCH);
	return t;
}

static void
add_value(Talk *t, const void *data, size_t size)
{
	static const uint8_t aad[AAD_SIZE] = "bound to this";

	sdes_value_write(&t->writer, SDES_BYTES_OF(aad), sdes_bytes(data, size));
	t->request.nvalues++;
}

static SdesStatus
run(Talk *t)
{
	t->request.values = sdes_bytes(t->values, MAX_BATCH - t->writer.left);
	t->outcome = sdes_ops_run(&t->ops, &t->request, &t->reply, &t->memory);
	return t->reply.status;
}

/* One result out of a reply: its status. */
static SdesStatus
result_of(const Talk *t, int which, SdesBytes *data)
{
	SdesReader r = sdes_reader(t->reply.results);
	SdesStatus status = SDES_OK;

	for (int i = 0; i <= which; i++)
		status = sdes_result_read(&r, data);
	return status;
}

static void
talk_free(Talk *t)
{
	sdes_ops_memory_free(&t->memory);
	sdes_ops_close(&t->ops);
	free(t->values);
	free(t);
}

static const char *const texts[] = {"", "one", "two, a longer one", "three"};

/* Seals the texts, and makes a request to open what comes of that. */
static Talk *
sealed_texts(void)
{
	Talk *t = talk_new(SDES_OP_SEAL), *o;

	for (int i = 0; i < 4; i++)
		add_value(t, texts[i], strlen(texts[i]));
	run(t);
	o = talk_new(SDES_OP_OPEN);
	for (int i = 0; i < 4; i++)
	{
		SdesBytes data;

		result_of(t, i, &data);
		add_value(o, data.data, data.size);
	}
	talk_free(t);
	memset(&store, 0, sizeof(store));
	return o;
}

/* How many of the texts a reply to OPEN holds, each in its place. */
static int
texts_in(const Talk *t)
{
	int found = 0;

	for (int i = 0; t->reply.status == SDES_OK && i < t->reply.nresults; i++)
	{
		SdesBytes data;

		found += result_of(t, i, &data) == SDES_OK &&
		         same_bytes(data, sdes_bytes(texts[i], strlen(texts[i])));
	}
	return found;
}

static void
test_round_trip(void)
{
	Talk *t = sealed_texts();
	SdesBytes data;

	is_status(run(t), SDES_OK, "values sealed and opened");
	ok(texts_in(t) == 4, "come back as they were");
	ok(store.opened == 1, "on one session");
	result_of(t, 3, &data);
	talk_free(t);

	t = talk_new(SDES_OP_SEAL);
	add_value(t, "abc", 3);
	run(t);
	result_of(t, 0, &data);
	ok(data.size == 3 + SDES_VALUE_OVERHEAD, "a sealed value is 36 bytes longer");
	talk_free(t);
}

/* One value spoilt: its own status, and no other's. */
static void
test_verdicts(void)
{
	Talk *t = sealed_texts();
	SdesBytes data;

	t->values[MAX_BATCH - t->writer.left - 1] ^= 1; /* the last one's tag */
	add_value(t, "short", 5);
	add_value(t, zeros, SDES_VALUE_MAX + SDES_VALUE_OVERHEAD + 1);
	is_status(run(t), SDES_OK, "a batch with bad values");
	ok(t->outcome == SDES_OPS_SERVED, "is no failure of the token");
	ok(texts_in(t) == 3, "the good ones are opened");
	is_status(result_of(t, 3, &data), SDES_ERR_TAG, "a bad tag");
	is_status(result_of(t, 4, &data), SDES_ERR_FORMAT, "too short to be one");
	is_status(result_of(t, 5, &data), SDES_ERR_TOO_LONG, "one byte too long to open");
	ok(store.calls == 5 && store.opened <= 3,
	   "the bad tag is tried once more, nothing else");
	ok(store.dirty_uses == 0, "a session with a failed call is not used again");
	talk_free(t);

	t = talk_new(SDES_OP_SEAL);
	add_value(t, zeros, SDES_VALUE_MAX);
	add_value(t, zeros, SDES_VALUE_MAX + 1 - 30);
	run(t);
	is_status(result_of(t, 0, &data), SDES_OK, "the longest value");
	talk_free(t);
	t = talk_new(SDES_OP_SEAL);
	add_value(t, zeros, SDES_VALUE_MAX + 1);
	run(t);
	is_status(result_of(t, 0, &data), SDES_ERR_TOO_LONG, "one byte longer");
	talk_free(t);
}

static void
test_failures(void)
{
	Talk *t = sealed_texts();

	store.fail_at = 2;
	store.with = SDES_ERR_TAG;
	run(t);
	ok(texts_in(t) == 4, "a bad tag that is none the second time is none");
	talk_free(t);

	t = sealed_texts();
	store.fail_at = 3;
	store.with = SDES_ERR_HSM;
	is_status(run(t), SDES_OK, "the token fails once in a batch");
	ok(texts_in(t) == 4, "all values are there");
	ok(store.calls == 5 && store.closed == 1, "it goes on where it was, on a new session");
	talk_free(t);

	t = sealed_texts();
	store.fail_at = 3;
	store.fail_count = 9;
	store.with = SDES_ERR_HSM;
	is_status(run(t), SDES_ERR_HSM, "the token fails for good: the whole request does");
	ok(t->outcome == SDES_OPS_FAILED && t->reply.results.size == 0,
	   "that is the token's failure");
	ok(store.calls == 4, "it is tried once more, not oftener");
	talk_free(t);

	t = sealed_texts();
	store.fail_at = 2;
	store.with = SDES_ERR_HSM_KEY_MISSING;
	is_status(run(t), SDES_ERR_HSM_KEY_MISSING, "no such key: the whole request fails");
	ok(t->outcome == SDES_OPS_MISSING && store.calls == 2 && sdes_ops_knows_token(&t->ops),
	   "at once, and the token is the same");
	ok(strcmp(t->reply.detail, "told to (token \"label\", serial \"1\")") == 0,
	   "with the reason, and the token that was looked at");
	talk_free(t);
}

/* Whether a failure is the request's, the session's or the whole token's. */
static void
test_outcomes(void)
{
	Talk *t = sealed_texts();

	store.fail_at = 1;
	store.fail_count = 9;
	store.with = SDES_ERR_HSM;
	store.dead = true;
	run(t);
	ok(t->outcome == SDES_OPS_LOST, "a token that does not answer: lost");
	talk_free(t);

	t = sealed_texts();
	store.fail_at = 1;
	store.with = SDES_ERR_HSM_KEY_MISSING;
	store.other_token = true;
	is_status(run(t), SDES_ERR_HSM_TOKEN, "a missing key in another token");
	ok(t->outcome == SDES_OPS_LOST && strstr(t->reply.detail, "replaced") != NULL,
	   "means that the token was replaced");
	talk_free(t);

	t = sealed_texts();
	store.fail_at = 1;
	store.with = SDES_ERR_HSM_KEY_MISSING;
	store.other_token = true;
	t->ops.mute = true;
	is_status(run(t), SDES_ERR_HSM_KEY_MISSING, "in a token that does not describe itself");
	ok(t->outcome == SDES_OPS_MISSING && !sdes_ops_knows_token(&t->ops),
	   "it may mean either");
	talk_free(t);
}

/* The token says it is well, and returns something else. */
static void
test_wrong_bytes(void)
{
	Talk *t = sealed_texts();

	store.flip_at = 2;
	is_status(run(t), SDES_OK, "a wrong byte in one plaintext: opened once more");
	ok(texts_in(t) == 4, "and right then");
	talk_free(t);
	t = sealed_texts();
	t->request.nvalues = 1; /* cut to the first: an empty value, its check is wrong */
	t->writer.left = MAX_BATCH - 25 - SDES_VALUE_OVERHEAD;
	store.flip_at = 1;
	is_status(run(t), SDES_OK, "also of an empty value");
	talk_free(t);
}

static int waits_left;

static bool
go_on(void *argument)
{
	(void) argument;
	return waits_left-- > 0;
}

static void
test_limits(void)
{
	Talk *t = talk_new(SDES_OP_SEAL);

	while (t->writer.left >= 25)
		add_value(t, NULL, 0);
	is_status(run(t), SDES_OK, "as many empty values as fit into a request");
	ok(t->reply.results.size <= SDES_RESULTS_MAX - 5, "fit into a reply");
	talk_free(t);

	t = talk_new(SDES_OP_SEAL);
	while (t->writer.left >= 5)
	{
		sdes_value_write(&t->writer, sdes_bytes(NULL, 0), sdes_bytes(NULL, 0));
		t->request.nvalues++;
	}
	is_status(run(t), SDES_ERR_TOO_LONG, "too many without aad: refused");
	ok(store.calls == 0 && t->outcome == SDES_OPS_NEUTRAL, "before the token is touched");
	talk_free(t);

	t = sealed_texts();
	t->ops.go_on = go_on;
	waits_left = 1;
	is_status(run(t), SDES_ERR_HSM_TIMEOUT, "nobody waits for the rest");
	ok(store.calls == 2, "it is left undone");
	talk_free(t);
}

int
main(void)
{
	test_round_trip();
	test_verdicts();
	test_failures();
	test_outcomes();
	test_wrong_bytes();
	test_limits();
	return done_testing();
}
