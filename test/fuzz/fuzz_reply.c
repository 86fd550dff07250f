/*
 * fuzz_reply.c
 *		Replies as the server decodes them, for every operation it may have asked
 *		for: only that operation's reply is taken, and only its one spelling.
 */
#include "fuzz.h"

#define OP_FIRST SDES_OP_HELLO
#define OP_LAST  SDES_OP_SIGN

static bool
is_string(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static void
check_results(const SdesReply *reply)
{
	SdesReader r = sdes_reader(reply->results);
	uint8_t *again = fuzz_room(reply->results.size);
	SdesWriter w = sdes_writer(again, reply->results.size);

	REQUIRE(reply->nresults > 0);
	for (int i = 0; i < reply->nresults; i++)
	{
		SdesBytes data;
		SdesStatus status = sdes_result_read(&r, &data);

		REQUIRE(!r.failed && (status == SDES_OK || data.size == 0));
		sdes_result_write(&w, status, data);
	}
	REQUIRE(sdes_read_complete(&r) && !w.failed && w.left == 0);
	REQUIRE(fuzz_same(sdes_bytes(again, reply->results.size), reply->results));
	free(again);
}

static void
check_fields(const SdesReply *reply)
{
	const SdesAgentInfo *info = &reply->info;

	REQUIRE(is_string(reply->detail, sizeof(reply->detail)));
	REQUIRE(is_string(reply->mechanism, sizeof(reply->mechanism)));
	REQUIRE(is_string(info->module, sizeof(info->module)));
	REQUIRE(is_string(info->token_label, sizeof(info->token_label)));
	REQUIRE(is_string(info->token_serial, sizeof(info->token_serial)));
	REQUIRE(is_string(info->token_model, sizeof(info->token_model)));
	REQUIRE(is_string(info->detail, sizeof(info->detail)));
	REQUIRE(info->state <= SDES_AGENT_FAILED);
	REQUIRE(reply->wrapped_size <= SDES_WRAPPED_MAX && reply->nkeks <= SDES_KEK_LIST_MAX);
	for (int i = 1; i < reply->nkeks; i++)
		REQUIRE(memcmp(reply->keks[i - 1], reply->keks[i], SDES_KEK_ID_SIZE) < 0);
	if (reply->status == SDES_OK && reply->op == SDES_OP_DEK_UNWRAP)
		REQUIRE(reply->dek.data != NULL && reply->dek.size == SDES_DEK_SIZE);
	else
		REQUIRE(reply->dek.data == NULL);
	if (reply->status == SDES_OK &&
	    (reply->op == SDES_OP_SEAL || reply->op == SDES_OP_OPEN))
		check_results(reply);
	else
		REQUIRE(reply->nresults == 0 && reply->results.size == 0);
}

static void
check_encoding(const SdesReply *reply, SdesBytes body)
{
	uint8_t *again = fuzz_room(body.size);
	size_t used = 0;

	REQUIRE(sdes_reply_encode(reply, again, body.size, &used) == SDES_OK);
	REQUIRE(fuzz_same(sdes_bytes(again, used), body));
	REQUIRE(sdes_reply_encode(reply, again, body.size - 1, &used) == SDES_ERR_TOO_LONG);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static SdesReply reply; /* large */
	SdesBytes body = sdes_bytes(data, size);

	for (int op = OP_FIRST; op <= OP_LAST; op++)
	{
		SdesStatus status = sdes_reply_decode(body, (SdesAgentOp) op, &reply);

		if (status != SDES_OK)
		{
			REQUIRE(status == SDES_ERR_FORMAT);
			continue;
		}
		REQUIRE(data[0] == op && reply.op == (SdesAgentOp) op);
		check_fields(&reply);
		check_encoding(&reply, body);
	}
	return 0;
}
