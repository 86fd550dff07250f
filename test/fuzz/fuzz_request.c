/*
 * fuzz_request.c
 *		Requests as the agent decodes them: what is taken is canonical, and the
 *		values of SEAL and OPEN are as many as it says and fill their field.
 */
#include "fuzz.h"

static void
check_values(const SdesRequest *request)
{
	SdesReader r = sdes_reader(request->values);
	uint8_t *again = fuzz_room(request->values.size);
	SdesWriter w = sdes_writer(again, request->values.size);

	REQUIRE(request->nvalues > 0);
	for (int i = 0; i < request->nvalues; i++)
	{
		SdesBytes aad, data;

		sdes_value_read(&r, &aad, &data);
		REQUIRE(!r.failed);
		sdes_value_write(&w, aad, data);
	}
	REQUIRE(sdes_read_complete(&r) && !w.failed && w.left == 0);
	REQUIRE(fuzz_same(sdes_bytes(again, request->values.size), request->values));
	free(again);
}

static void
check_fields(const SdesRequest *request)
{
	REQUIRE(memchr(request->label, 0, sizeof(request->label)) != NULL);
	REQUIRE(request->wrapped_size <= SDES_WRAPPED_MAX);
	if (request->op == SDES_OP_KEK_CREATE)
		REQUIRE(request->kind >= SDES_KEK_AES_256 && request->kind <= SDES_KEK_P256_SIGN);
	REQUIRE(request->dek.size == (request->op == SDES_OP_DEK_WRAP ? SDES_DEK_SIZE : 0));
	if (request->op == SDES_OP_SEAL || request->op == SDES_OP_OPEN)
		check_values(request);
	else
		REQUIRE(request->nvalues == 0 && request->values.size == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SdesBytes body = sdes_bytes(data, size);
	SdesRequest request;
	SdesStatus status = sdes_request_decode(body, &request);
	uint8_t *again;
	size_t used = 0;

	if (status != SDES_OK)
	{
		REQUIRE(status == SDES_ERR_FORMAT);
		return 0;
	}
	check_fields(&request);
	again = fuzz_room(size);
	REQUIRE(sdes_request_encode(&request, again, size, &used) == SDES_OK);
	REQUIRE(fuzz_same(sdes_bytes(again, used), body));
	REQUIRE(sdes_request_encode(&request, again, size - 1, &used) == SDES_ERR_TOO_LONG);
	free(again);
	return 0;
}
