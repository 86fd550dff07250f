/*
 * test_protocol.c
 *		Messages to and from the agent: one spelling each, all else refused.
 */
#include "agent/protocol.h"
#include "tap.h"

#include <stdlib.h>

#define GARBAGE_ROUNDS 200000
#define OPS            SDES_OP_SIGN /* the last one: ops are numbered from 1 on */

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

/* Three values and three results: an empty one, a failed one, and one of bytes. */
static uint8_t sample_values[400], sample_results[400];
static size_t sample_values_size, sample_results_size;

static void
make_samples(void)
{
	SdesWriter v = sdes_writer(sample_values, sizeof(sample_values));
	SdesWriter r = sdes_writer(sample_results, sizeof(sample_results));
	uint8_t bytes[255];

	fill(bytes, sizeof(bytes), 10);
	sdes_value_write(&v, sdes_bytes(NULL, 0), sdes_bytes(NULL, 0));
	sdes_value_write(&v, SDES_BYTES_OF(bytes), sdes_bytes(bytes, 1));
	sdes_value_write(&v, sdes_bytes(bytes, 16), sdes_bytes(bytes, 40));
	sdes_result_write(&r, SDES_OK, sdes_bytes(NULL, 0));
	sdes_result_write(&r, SDES_ERR_TAG, sdes_bytes(NULL, 0));
	sdes_result_write(&r, SDES_OK, SDES_BYTES_OF(bytes));
	sample_values_size = sizeof(sample_values) - v.left;
	sample_results_size = sizeof(sample_results) - r.left;
}

static uint8_t sample_dek[SDES_DEK_SIZE] = {9, 8, 7};

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
	if (op == SDES_OP_KEK_CHECK || op == SDES_OP_KEK_DESTROY || op == SDES_OP_KEK_LIST ||
	    op == SDES_OP_PUBLIC_KEY || op == SDES_OP_SIGN)
		fill(out->kek_id, sizeof(out->kek_id), 5);
	if (op == SDES_OP_SIGN)
		fill(out->digest, sizeof(out->digest), 12);
	if (op == SDES_OP_DEK_CREATE || op == SDES_OP_DEK_UNWRAP || op == SDES_OP_DEK_WRAP)
		out->binding = sample_binding();
	if (op == SDES_OP_DEK_WRAP)
		out->dek = SDES_BYTES_OF(sample_dek);
	if (op == SDES_OP_DEK_UNWRAP)
	{
		out->wrapped_size = 62;
		fill(out->wrapped, out->wrapped_size, 6);
	}
	if (sdes_op_has_values(op))
	{
		fill(out->kek_id, sizeof(out->kek_id), 11);
		out->nvalues = 3;
		out->values = sdes_bytes(sample_values, sample_values_size);
	}
}

static void
sample_info(SdesAgentInfo *info)
{
	info->state = SDES_AGENT_FAILED;
	info->status = SDES_ERR_HSM_PIN;
	info->pid = 4321;
	info->logins = 3;
	info->seconds = 0x01020304;
	info->failures = 5;
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
	if (op == SDES_OP_PUBLIC_KEY || op == SDES_OP_SIGN)
	{
		out->public_size = 65;
		fill(out->public, out->public_size, 13);
	}
	if (op == SDES_OP_KEK_CREATE || op == SDES_OP_KEK_CHECK)
		strcpy(out->mechanism, "AES-GCM");
	if (op == SDES_OP_KEK_LIST)
	{
		out->nkeks = SDES_KEK_LIST_MAX;
		for (int i = 0; i < SDES_KEK_LIST_MAX; i++)
			out->keks[i][0] = (uint8_t) i;
	}
	if (op == SDES_OP_DEK_CREATE || op == SDES_OP_DEK_WRAP)
	{
		out->wrapped_size = SDES_WRAPPED_MAX;
		fill(out->wrapped, out->wrapped_size, 8);
		fill(out->commitment, sizeof(out->commitment), 9);
	}
	if (op == SDES_OP_DEK_UNWRAP)
		out->dek = SDES_BYTES_OF(sample_dek);
	if (sdes_op_has_values(op))
	{
		out->nresults = 3;
		out->results = sdes_bytes(sample_results, sample_results_size);
	}
}

/*
 * Decodes from memory of the exact size, so that a sanitizer sees an overrun.
 * What is decoded may point into a copy that the caller frees.
 */
static SdesStatus
decode_request_in(const uint8_t *body, size_t size, SdesRequest *out, uint8_t **exact)
{
	*exact = malloc(size > 0 ? size : 1);
	memcpy(*exact, body, size);
	return sdes_request_decode(sdes_bytes(*exact, size), out);
}

static SdesStatus
decode_request(const uint8_t *body, size_t size, SdesRequest *out)
{
	uint8_t *exact;
	SdesStatus status = decode_request_in(body, size, out, &exact);

	free(exact);
	return status;
}

static SdesStatus
decode_reply(const uint8_t *body, size_t size, SdesAgentOp op, SdesReply *out,
             uint8_t **exact)
{
	*exact = malloc(size > 0 ? size : 1);
	memcpy(*exact, body, size);
	return sdes_reply_decode(sdes_bytes(*exact, size), op, out);
}

/* Everything but where the values and the DEK are. */
static bool
same_request(const SdesRequest *a, const SdesRequest *b)
{
	SdesRequest left = *a, right = *b;
	bool same = same_bytes(left.values, right.values) && same_bytes(left.dek, right.dek);

	left.values = right.values = sdes_bytes(NULL, 0);
	left.dek = right.dek = sdes_bytes(NULL, 0);
	return same && memcmp(&left, &right, sizeof(left)) == 0;
}

static void
test_requests(void)
{
	long failed = 0, cut = 0, longer = 0, small = 0, total = 0;

	for (int op = SDES_OP_HELLO; op <= OPS; op++)
	{
		uint8_t body[SDES_MESSAGE_MAX + 1], *copy = NULL;
		SdesRequest request, back;
		size_t used = 0, ignored;

		sample_request((SdesAgentOp) op, &request);
		if (sdes_request_encode(&request, body, SDES_MESSAGE_MAX, &used) != SDES_OK ||
		    decode_request_in(body, used, &back, &copy) != SDES_OK ||
		    !same_request(&request, &back))
			failed++;
		free(copy);
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
	none_failed(failed, OPS, "requests come back as they were");
	none_failed(cut, total, "truncated requests are refused");
	none_failed(small, total, "requests do not fit into less room");
	none_failed(longer, OPS, "a byte too many is refused in requests");
}

static bool
same_reply(const SdesReply *a, const SdesReply *b)
{
	SdesReply left = *a, right = *b;
	bool same = same_bytes(left.dek, right.dek) && same_bytes(left.results, right.results);

	left.dek = right.dek = sdes_bytes(NULL, 0);
	left.results = right.results = sdes_bytes(NULL, 0);
	return same && memcmp(&left, &right, sizeof(left)) == 0;
}

static void
test_replies(void)
{
	long failed = 0, cut = 0, longer = 0, other = 0, total = 0;

	for (int i = 0; i < 2 * OPS; i++)
	{
		SdesAgentOp op = (SdesAgentOp) (SDES_OP_HELLO + i % OPS);
		uint8_t body[SDES_MESSAGE_MAX + 1], *exact;
		SdesReply reply, back;
		size_t used = 0;

		sample_reply(op, i < OPS ? SDES_OK : SDES_ERR_HSM_PIN, &reply);
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
		other += decode_reply(body, used, (SdesAgentOp) (op % OPS + 1), &back, &exact) !=
		         SDES_ERR_FORMAT;
		free(exact);
	}
	none_failed(failed, 2 * OPS, "replies come back as they were");
	none_failed(cut, total, "truncated replies are refused");
	none_failed(longer, 2 * OPS, "a byte too many is refused in replies");
	none_failed(other, 2 * OPS, "a reply to another op is refused");
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

/* A request with these values. */
static SdesStatus
encode_values(SdesBytes values, uint16_t count, uint8_t *out, size_t size, size_t *used)
{
	static SdesRequest request;

	sample_request(SDES_OP_SEAL, &request);
	request.values = values;
	request.nvalues = count;
	return sdes_request_encode(&request, out, size, used);
}

static void
test_value_bounds(void)
{
	static uint8_t body[SDES_RESULTS_MAX], values[SDES_RESULTS_MAX], long_one[1 << 17];
	static SdesRequest request;
	static SdesReply reply;
	uint8_t *exact;
	SdesWriter w;
	size_t used;

	encode_values(sdes_bytes(sample_values, sample_values_size), 2, body, sizeof(body),
	              &used);
	is_status(decode_request(body, used, &request), SDES_ERR_FORMAT, "a value left over");
	encode_values(sdes_bytes(sample_values, sample_values_size), 4, body, sizeof(body),
	              &used);
	is_status(decode_request(body, used, &request), SDES_ERR_FORMAT, "a value missing");
	encode_values(sdes_bytes(NULL, 0), 0, body, sizeof(body), &used);
	is_status(decode_request(body, used, &request), SDES_ERR_FORMAT, "no value at all");

	w = sdes_writer(values, sizeof(values));
	sdes_value_write(&w, sdes_bytes(long_one, 256), sdes_bytes(NULL, 0));
	ok(w.failed, "256 bytes of aad are too many");
	w = sdes_writer(values, sizeof(values));
	sdes_value_write(&w, sdes_bytes(NULL, 0), sdes_bytes(long_one, SDES_VALUES_MAX + 1));
	ok(w.failed, "and so are more bytes of a value than a message has");
	w = sdes_writer(values, sizeof(values));
	sdes_value_write(&w, sdes_bytes(NULL, 0), sdes_bytes(long_one, 65536 - 19 - 5));
	is_status(encode_values(sdes_bytes(values, sizeof(values) - w.left), 1, body,
	                        SDES_VALUES_MAX, &used),
	          SDES_OK, "the largest message with values");
	ok(used == SDES_VALUES_MAX, "is as large as messages may be");
	is_status(decode_request(body, used, &request), SDES_OK, "and back");

	w = sdes_writer(values, sizeof(values));
	sdes_result_write(&w, SDES_ERR_TAG, sdes_bytes(long_one, 1));
	ok(w.failed, "a failed value has no bytes");
	memcpy(values, (uint8_t[]){0, SDES_ERR_TAG, 0, 0, 0, 1, 7}, 7);
	sample_reply(SDES_OP_OPEN, SDES_OK, &reply);
	reply.nresults = 1;
	reply.results = sdes_bytes(values, 7);
	sdes_reply_encode(&reply, body, sizeof(body), &used);
	is_status(decode_reply(body, used, SDES_OP_OPEN, &reply, &exact), SDES_ERR_FORMAT,
	          "nor is one believed that has");
	free(exact);
	memcpy(values, (uint8_t[]){0xff, 0xff, 0, 0, 0, 0}, 6);
	reply.results = sdes_bytes(values, 6);
	sdes_reply_encode(&reply, body, sizeof(body), &used);
	is_status(decode_reply(body, used, SDES_OP_OPEN, &reply, &exact), SDES_ERR_FORMAT,
	          "an unknown status of a value");
	free(exact);
}

/* What was written is what is read, value by value. */
static void
test_value_round_trip(void)
{
	SdesReader v = sdes_reader(sdes_bytes(sample_values, sample_values_size));
	SdesReader r = sdes_reader(sdes_bytes(sample_results, sample_results_size));
	SdesBytes aad[3], data[3], results[3];
	SdesStatus statuses[3];
	uint8_t bytes[255];

	fill(bytes, sizeof(bytes), 10);
	for (int i = 0; i < 3; i++)
	{
		sdes_value_read(&v, &aad[i], &data[i]);
		statuses[i] = sdes_result_read(&r, &results[i]);
	}
	ok(sdes_read_complete(&v) && aad[0].size == 0 && data[0].size == 0 &&
	       same_bytes(aad[1], SDES_BYTES_OF(bytes)) &&
	       same_bytes(data[1], sdes_bytes(bytes, 1)) &&
	       same_bytes(aad[2], sdes_bytes(bytes, 16)) &&
	       same_bytes(data[2], sdes_bytes(bytes, 40)),
	   "values come back as they were");
	ok(sdes_read_complete(&r) && statuses[0] == SDES_OK && results[0].size == 0 &&
	       statuses[1] == SDES_ERR_TAG && results[1].size == 0 && statuses[2] == SDES_OK &&
	       same_bytes(results[2], SDES_BYTES_OF(bytes)),
	   "results come back as they were");
	sdes_value_read(&v, &aad[0], &data[0]);
	ok(v.failed, "and there is no fourth");
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

		if (op < SDES_OP_HELLO || op > OPS)
			failed += decode_request(&byte, 1, &request) != SDES_ERR_FORMAT;
		request.op = (SdesAgentOp) op;
		if (op < SDES_OP_HELLO || op > OPS)
			failed +=
			    sdes_request_encode(&request, body, sizeof(body), &used) != SDES_ERR_FORMAT;
	}
	none_failed(failed, 256 - OPS, "unknown ops are refused");
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
	sample_request(SDES_OP_DEK_WRAP, &request);
	request.dek.size--;
	is_status(sdes_request_encode(&request, body, sizeof(body), &used), SDES_ERR_TOO_LONG,
	          "and in a request");
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
		SdesAgentOp op = (SdesAgentOp) (rand() % OPS + 1);
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
		if (decode_request_in(body, size, &request, &exact) == SDES_OK)
		{
			decoded++;
			odd += sdes_request_encode(&request, again, sizeof(again), &used) != SDES_OK ||
			       used != size || memcmp(again, body, size) != 0;
		}
		free(exact);
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
	make_samples();
	test_requests();
	test_replies();
	test_bounds();
	test_value_round_trip();
	test_value_bounds();
	test_unknown();
	test_garbage();
	return done_testing();
}
