/*
 * test_protocol.c
 *		Messages to and from the agent: one spelling each, all else refused.
 */
#include "agent/protocol.h"
#include "tap.h"

#include <stdlib.h>

#define GARBAGE_ROUNDS 200000

static void
fill(void *out, size_t size, uint8_t seed)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *) out)[i] = (uint8_t) (seed + i * 29);
}

static SdesDekBinding
sample_binding(void)
{
	SdesDekBinding binding;

	memset(&binding, 0, sizeof(binding)); /* padding too: structs are compared */
	fill(binding.key_id, sizeof(binding.key_id), 1);
	fill(binding.bucket, sizeof(binding.bucket), 2);
	fill(binding.kek_id, sizeof(binding.kek_id), 3);
	binding.version = 0x01020304;
	binding.purpose = SDES_PURPOSE_SEARCH;
	binding.mode = SDES_MODE_HSM;
	return binding;
}

/* A request of an op with every field that it sends, and no other, set. */
static void
sample_request(SdesAgentOp op, SdesRequest *out)
{
	memset(out, 0, sizeof(*out));
	out->op = op;
	if (op == SDES_OP_HELLO)
	{
		out->version = 0xabcd;
		fill(out->secret, sizeof(out->secret), 4);
	}
	if (op == SDES_OP_KEK_CREATE || op == SDES_OP_KEK_LIST)
		strcpy(out->label, "sdes/\xc3\xa4/1");
	if (op == SDES_OP_KEK_CREATE)
		out->kind = SDES_KEK_RSA_4096;
	if (op == SDES_OP_KEK_CHECK || op == SDES_OP_KEK_DESTROY || op == SDES_OP_KEK_LIST)
		fill(out->kek_id, sizeof(out->kek_id), 5);
	if (op == SDES_OP_DEK_CREATE || op == SDES_OP_DEK_UNWRAP)
		out->binding = sample_binding();
	if (op == SDES_OP_DEK_UNWRAP)
	{
		out->wrapped_size = 62;
		fill(out->wrapped, out->wrapped_size, 6);
	}
}

static uint8_t sample_dek[SDES_DEK_SIZE] = {9, 8, 7};

static void
sample_info(SdesAgentInfo *info)
{
	info->state = SDES_AGENT_FAILED;
	info->status = SDES_ERR_HSM_PIN;
	info->pid = 4321;
	info->logins = 3;
	strcpy(info->module, "A module 2.6");
	strcpy(info->token_label, "12345678901234567890123456789012");
	strcpy(info->token_serial, "1234567890123456");
	strcpy(info->detail, "words");
}

static void
sample_reply(SdesAgentOp op, SdesStatus status, SdesReply *out)
{
	memset(out, 0, sizeof(*out));
	out->op = op;
	out->status = status;
	if (status != SDES_OK)
	{
		out->ckr = 0xa0;
		strcpy(out->detail, "C_Login: the PIN is wrong");
		return;
	}
	if (op == SDES_OP_STATUS)
		sample_info(&out->info);
	if (op == SDES_OP_KEK_CREATE)
		fill(out->kek_id, sizeof(out->kek_id), 7);
	if (op == SDES_OP_KEK_CREATE || op == SDES_OP_KEK_CHECK)
		strcpy(out->mechanism, "AES-GCM");
	if (op == SDES_OP_KEK_LIST)
	{
		out->nkeks = SDES_KEK_LIST_MAX;
		for (int i = 0; i < SDES_KEK_LIST_MAX; i++)
			out->keks[i][0] = (uint8_t) i;
	}
	if (op == SDES_OP_DEK_CREATE)
	{
		out->wrapped_size = SDES_WRAPPED_MAX;
		fill(out->wrapped, out->wrapped_size, 8);
		fill(out->commitment, sizeof(out->commitment), 9);
	}
	if (op == SDES_OP_DEK_UNWRAP)
		out->dek = SDES_BYTES_OF(sample_dek);
}

/* Decodes from memory of the exact size, so that a sanitizer sees an overrun. */
static SdesStatus
decode_request(const uint8_t *body, size_t size, SdesRequest *out)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);
	SdesStatus status;

	memcpy(exact, body, size);
	status = sdes_request_decode(sdes_bytes(exact, size), out);
	free(exact);
	return status;
}

/* The same; a decoded DEK points into a copy that the caller frees. */
static SdesStatus
decode_reply(const uint8_t *body, size_t size, SdesAgentOp op, SdesReply *out,
             uint8_t **exact)
{
	*exact = malloc(size > 0 ? size : 1);
	memcpy(*exact, body, size);
	return sdes_reply_decode(sdes_bytes(*exact, size), op, out);
}

static void
test_requests(void)
{
	long failed = 0, cut = 0, longer = 0, small = 0, total = 0;

	for (int op = SDES_OP_HELLO; op <= SDES_OP_PIN_RETRY; op++)
	{
		uint8_t body[SDES_MESSAGE_MAX + 1];
		SdesRequest request, back;
		size_t used = 0, ignored;

		sample_request((SdesAgentOp) op, &request);
		if (sdes_request_encode(&request, body, SDES_MESSAGE_MAX, &used) != SDES_OK ||
		    decode_request(body, used, &back) != SDES_OK ||
		    memcmp(&request, &back, sizeof(back)) != 0)
			failed++;
		for (size_t i = 0; i < used; i++, total++)
		{
			uint8_t *exact = malloc(i > 0 ? i : 1);

			cut += decode_request(body, i, &back) != SDES_ERR_FORMAT;
			small += sdes_request_encode(&request, exact, i, &ignored) != SDES_ERR_TOO_LONG;
			free(exact);
		}
		body[used] = 0;
		longer += decode_request(body, used + 1, &back) != SDES_ERR_FORMAT;
	}
	none_failed(failed, 9, "requests come back as they were");
	none_failed(cut, total, "truncated requests are refused");
	none_failed(small, total, "requests do not fit into less room");
	none_failed(longer, 9, "a byte too many is refused in requests");
}

static bool
same_reply(const SdesReply *a, const SdesReply *b)
{
	SdesReply left = *a, right = *b;
	bool same = same_bytes(left.dek, right.dek);

	left.dek = right.dek = sdes_bytes(NULL, 0);
	return same && memcmp(&left, &right, sizeof(left)) == 0;
}

static void
test_replies(void)
{
	long failed = 0, cut = 0, longer = 0, other = 0, total = 0;

	for (int i = 0; i < 18; i++)
	{
		SdesAgentOp op = (SdesAgentOp) (SDES_OP_HELLO + i % 9);
		uint8_t body[SDES_MESSAGE_MAX + 1], *exact;
		SdesReply reply, back;
		size_t used = 0;

		sample_reply(op, i < 9 ? SDES_OK : SDES_ERR_HSM_PIN, &reply);
		if (sdes_reply_encode(&reply, body, SDES_MESSAGE_MAX, &used) != SDES_OK)
			failed++;
		if (decode_reply(body, used, op, &back, &exact) != SDES_OK ||
		    !same_reply(&reply, &back))
			failed++;
		free(exact);
		for (size_t size = 0; size < used; size++, total++)
		{
			cut += decode_reply(body, size, op, &back, &exact) != SDES_ERR_FORMAT;
			free(exact);
		}
		body[used] = 0;
		longer += decode_reply(body, used + 1, op, &back, &exact) != SDES_ERR_FORMAT;
		free(exact);
		other += decode_reply(body, used, (SdesAgentOp) (op % 9 + 1), &back, &exact) !=
		         SDES_ERR_FORMAT;
		free(exact);
	}
	none_failed(failed, 18, "replies come back as they were");
	none_failed(cut, total, "truncated replies are refused");
	none_failed(longer, 18, "a byte too many is refused in replies");
	none_failed(other, 18, "a reply to another op is refused");
}

/* Messages whose every field is in place and one is out of bounds. */
static void
test_bounds(void)
{
	static SdesRequest request;
	static SdesReply reply;
	uint8_t body[SDES_MESSAGE_MAX], *exact;
	size_t used;

	sample_request(SDES_OP_KEK_CREATE, &request);
	memset(request.label, 'x', SDES_LABEL_MAX);
	is_status(sdes_request_encode(&request, body, sizeof(body), &used), SDES_OK,
	          "the longest label");
	is_status(decode_request(body, used, &request), SDES_OK, "and back");
	body[2]++;
	is_status(decode_request(body, used + 1, &request), SDES_ERR_FORMAT, "one longer");
	body[2]--;
	body[10] = 0;
	is_status(decode_request(body, used, &request), SDES_ERR_FORMAT, "a zero in a label");

	sample_request(SDES_OP_DEK_UNWRAP, &request);
	request.wrapped_size = SDES_WRAPPED_MAX;
	is_status(sdes_request_encode(&request, body, sizeof(body), &used), SDES_OK,
	          "the longest wrapped key");
	is_status(decode_request(body, used, &request), SDES_OK, "and back");
	request.wrapped_size = SDES_WRAPPED_MAX + 1;
	is_status(sdes_request_encode(&request, body, sizeof(body), &used), SDES_ERR_TOO_LONG,
	          "one longer");
	body[1 + SDES_KEY_ID_SIZE + SDES_UUID_SIZE + 4] = 0xee;
	is_status(decode_request(body, used, &request), SDES_ERR_FORMAT, "an unknown purpose");

	sample_reply(SDES_OP_KEK_LIST, SDES_OK, &reply);
	memcpy(reply.keks[5], reply.keks[4], SDES_KEK_ID_SIZE);
	sdes_reply_encode(&reply, body, sizeof(body), &used);
	is_status(decode_reply(body, used, SDES_OP_KEK_LIST, &reply, &exact), SDES_ERR_FORMAT,
	          "ids that do not ascend");
	free(exact);
	reply.nkeks = SDES_KEK_LIST_MAX + 1;
	is_status(sdes_reply_encode(&reply, body, sizeof(body), &used), SDES_ERR_TOO_LONG,
	          "too many ids");
}

static void
test_unknown(void)
{
	static SdesRequest request;
	static SdesReply reply;
	uint8_t body[SDES_MESSAGE_MAX], *exact;
	long failed = 0, statuses = 0;
	size_t used;

	for (int op = 0; op < 256; op++)
	{
		uint8_t byte = (uint8_t) op;

		if (op < SDES_OP_HELLO || op > SDES_OP_OPEN)
			failed += decode_request(&byte, 1, &request) != SDES_ERR_FORMAT;
		request.op = (SdesAgentOp) op;
		if (op < SDES_OP_HELLO || op > SDES_OP_OPEN)
			failed +=
			    sdes_request_encode(&request, body, sizeof(body), &used) != SDES_ERR_FORMAT;
	}
	none_failed(failed, 245, "unknown ops are refused");
	failed = 0;
	for (int status = 1; status < 0x10000; status++, statuses++)
	{
		bool known = strcmp(sdes_status_name((SdesStatus) status), "unknown status") != 0;

		sample_reply(SDES_OP_HELLO, (SdesStatus) status, &reply);
		sdes_reply_encode(&reply, body, sizeof(body), &used);
		failed +=
		    (decode_reply(body, used, SDES_OP_HELLO, &reply, &exact) == SDES_OK) != known;
		free(exact);
	}
	none_failed(failed, statuses, "unknown statuses are refused");
	sample_reply(SDES_OP_STATUS, SDES_OK, &reply);
	reply.info.state = SDES_AGENT_FAILED + 1;
	sdes_reply_encode(&reply, body, sizeof(body), &used);
	is_status(decode_reply(body, used, SDES_OP_STATUS, &reply, &exact), SDES_ERR_FORMAT,
	          "an unknown state");
	free(exact);
	sample_reply(SDES_OP_DEK_UNWRAP, SDES_OK, &reply);
	reply.dek.size--;
	is_status(sdes_reply_encode(&reply, body, sizeof(body), &used), SDES_ERR_TOO_LONG,
	          "a DEK of another size");
}

/* Whatever decodes is what its encoding says: there is one spelling. */
static void
test_garbage(void)
{
	long odd = 0, decoded = 0;

	srand(20);
	for (int round = 0; round < GARBAGE_ROUNDS; round++)
	{
		uint8_t body[128], again[SDES_MESSAGE_MAX], *exact;
		size_t size = (size_t) rand() % sizeof(body), used = 0;
		SdesAgentOp op = (SdesAgentOp) (rand() % 9 + 1);
		SdesRequest request;
		SdesReply reply;

		for (size_t i = 0; i < size; i++)
			body[i] = (uint8_t) (rand() >> 7);
		if (size > 2 && rand() % 4 != 0)
		{
			/* Plausible beginnings, small lengths: more of it is reached. */
			body[0] = (uint8_t) op;
			body[1] = 0;
			body[2] = (uint8_t) (rand() % (int) size);
		}
		if (decode_request(body, size, &request) == SDES_OK)
		{
			decoded++;
			odd += sdes_request_encode(&request, again, sizeof(again), &used) != SDES_OK ||
			       used != size || memcmp(again, body, size) != 0;
		}
		if (decode_reply(body, size, op, &reply, &exact) == SDES_OK)
		{
			decoded++;
			odd += sdes_reply_encode(&reply, again, sizeof(again), &used) != SDES_OK ||
			       used != size || memcmp(again, body, size) != 0;
		}
		free(exact);
	}
	none_failed(odd, GARBAGE_ROUNDS, "garbage is refused, or means one thing");
	ok(decoded > 0, "some of it was a message");
}

int
main(void)
{
	test_requests();
	test_replies();
	test_bounds();
	test_unknown();
	test_garbage();
	return done_testing();
}
