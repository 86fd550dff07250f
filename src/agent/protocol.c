/*
 * protocol.c
 *		Encoding and decoding of the messages in protocol.h.
 *
 * Each message has one spelling: what a decoder accepts, the encoder of the
 * decoded struct writes back byte for byte. Strings travel as a 2-byte length
 * and bytes without a zero; a decoded struct is zeroed first, so that a field
 * its op does not send is empty.
 */
#include "agent/protocol.h"

#include <string.h>

static void
write_string(SdesWriter *w, const char *text)
{
	size_t size = strlen(text);

	sdes_write_u16(w, (uint16_t) size);
	sdes_write_bytes(w, sdes_bytes(text, size));
}

/* Reads a string into out, which holds size bytes with the zero. */
static void
read_string(SdesReader *r, char *out, size_t size)
{
	SdesBytes text = sdes_read_bytes(r, sdes_read_u16(r));

	out[0] = '\0';
	if (r->failed)
		return;
	if (text.size >= size || (text.size > 0 && memchr(text.data, 0, text.size) != NULL))
	{
		r->failed = true;
		return;
	}
	if (text.size > 0)
		memcpy(out, text.data, text.size);
	out[text.size] = '\0';
}

static void
write_binding(SdesWriter *w, const SdesDekBinding *binding)
{
	uint8_t bytes[SDES_DEK_BINDING_SIZE];

	sdes_dek_binding_encode(binding, bytes);
	sdes_write_bytes(w, SDES_BYTES_OF(bytes));
}

static void
read_binding(SdesReader *r, SdesDekBinding *binding)
{
	SdesBytes bytes = sdes_read_bytes(r, SDES_DEK_BINDING_SIZE);

	if (!r->failed && !sdes_dek_binding_decode(bytes, binding))
		r->failed = true;
}

static void
write_blob(SdesWriter *w, const uint8_t *blob, size_t size, size_t max)
{
	if (size > max)
	{
		w->failed = true;
		return;
	}
	sdes_write_u16(w, (uint16_t) size);
	sdes_write_bytes(w, sdes_bytes(blob, size));
}

/* Reads a blob into out, which holds max bytes; returns its size. */
static size_t
read_blob(SdesReader *r, uint8_t *out, size_t max)
{
	size_t size = sdes_read_u16(r);

	if (r->failed || size > max)
	{
		r->failed = true;
		return 0;
	}
	sdes_read_into(r, out, size);
	return size;
}

static void
write_dek(SdesWriter *w, SdesBytes dek)
{
	if (dek.data == NULL || dek.size != SDES_DEK_SIZE)
		w->failed = true;
	else
		sdes_write_bytes(w, dek);
}

/* A number that sdes_status_name() has no name for is none of ours. */
static bool
status_known(uint16_t status)
{
	return strcmp(sdes_status_name((SdesStatus) status), "unknown status") != 0;
}

bool
sdes_op_has_values(SdesAgentOp op)
{
	return op == SDES_OP_SEAL || op == SDES_OP_OPEN;
}

void
sdes_value_write(SdesWriter *w, SdesBytes aad, SdesBytes data)
{
	if (aad.size > UINT8_MAX || data.size > SDES_VALUES_MAX)
	{
		w->failed = true;
		return;
	}
	sdes_write_u8(w, (uint8_t) aad.size);
	sdes_write_bytes(w, aad);
	sdes_write_u32(w, (uint32_t) data.size);
	sdes_write_bytes(w, data);
}

void
sdes_value_read(SdesReader *r, SdesBytes *aad, SdesBytes *data)
{
	*aad = sdes_read_bytes(r, sdes_read_u8(r));
	*data = sdes_read_bytes(r, sdes_read_u32(r));
}

void
sdes_result_write(SdesWriter *w, SdesStatus status, SdesBytes data)
{
	if (data.size > SDES_VALUES_MAX || (status != SDES_OK && data.size > 0))
	{
		w->failed = true;
		return;
	}
	sdes_write_u16(w, (uint16_t) status);
	sdes_write_u32(w, (uint32_t) data.size);
	sdes_write_bytes(w, data);
}

SdesStatus
sdes_result_read(SdesReader *r, SdesBytes *data)
{
	uint16_t status = sdes_read_u16(r);

	*data = sdes_read_bytes(r, sdes_read_u32(r));
	if (!status_known(status) || (status != SDES_OK && data->size > 0))
		r->failed = true;
	return r->failed ? SDES_ERR_FORMAT : (SdesStatus) status;
}

static void
write_values(SdesWriter *w, uint16_t count, SdesBytes values)
{
	sdes_write_u16(w, count);
	sdes_write_bytes(w, values);
}

/* The rest of the body, which must hold exactly as many values as it says. */
static void
read_values(SdesReader *r, uint16_t *count, SdesBytes *values)
{
	SdesReader each;
	SdesBytes aad, data;

	*count = sdes_read_u16(r);
	*values = sdes_read_bytes(r, r->left);
	each = sdes_reader(*values);
	for (int i = 0; i < *count && !each.failed; i++)
		sdes_value_read(&each, &aad, &data);
	if (*count == 0 || !sdes_read_complete(&each))
		r->failed = true;
}

static void
read_results(SdesReader *r, uint16_t *count, SdesBytes *results)
{
	SdesReader each;
	SdesBytes data;

	*count = sdes_read_u16(r);
	*results = sdes_read_bytes(r, r->left);
	each = sdes_reader(*results);
	for (int i = 0; i < *count && !each.failed; i++)
		sdes_result_read(&each, &data);
	if (*count == 0 || !sdes_read_complete(&each))
		r->failed = true;
}

/* Ends an encoding: the one place that turns the sticky failure into a status. */
static SdesStatus
written(const SdesWriter *w, size_t size, size_t *used)
{
	if (w->failed)
		return SDES_ERR_TOO_LONG;
	*used = size - w->left;
	return SDES_OK;
}

SdesStatus
sdes_request_encode(const SdesRequest *request, uint8_t *out, size_t size, size_t *used)
{
	SdesWriter w = sdes_writer(out, size);

	sdes_write_u8(&w, (uint8_t) request->op);
	switch (request->op)
	{
		case SDES_OP_HELLO:
			sdes_write_u16(&w, request->version);
			sdes_write_bytes(&w, SDES_BYTES_OF(request->secret));
			break;
		case SDES_OP_STATUS:
		case SDES_OP_PIN_RETRY:
			break;
		case SDES_OP_KEK_CREATE:
			write_string(&w, request->label);
			sdes_write_u8(&w, request->kind);
			sdes_write_u8(&w, request->seals);
			break;
		case SDES_OP_KEK_CHECK:
		case SDES_OP_KEK_DESTROY:
		case SDES_OP_PUBLIC_KEY:
			sdes_write_bytes(&w, SDES_BYTES_OF(request->kek_id));
			break;
		case SDES_OP_SIGN:
			sdes_write_bytes(&w, SDES_BYTES_OF(request->kek_id));
			sdes_write_bytes(&w, SDES_BYTES_OF(request->digest));
			break;
		case SDES_OP_KEK_LIST:
			write_string(&w, request->label);
			sdes_write_bytes(&w, SDES_BYTES_OF(request->kek_id));
			break;
		case SDES_OP_DEK_CREATE:
			write_binding(&w, &request->binding);
			break;
		case SDES_OP_DEK_UNWRAP:
			write_binding(&w, &request->binding);
			write_blob(&w, request->wrapped, request->wrapped_size,
			           sizeof(request->wrapped));
			break;
		case SDES_OP_DEK_WRAP:
			write_binding(&w, &request->binding);
			write_dek(&w, request->dek);
			break;
		case SDES_OP_SEAL:
		case SDES_OP_OPEN:
			sdes_write_bytes(&w, SDES_BYTES_OF(request->kek_id));
			write_values(&w, request->nvalues, request->values);
			break;
		default:
			return SDES_ERR_FORMAT;
	}
	return written(&w, size, used);
}

static void
read_kind(SdesReader *r, SdesRequest *out)
{
	uint8_t seals;

	out->kind = sdes_read_u8(r);
	seals = sdes_read_u8(r);
	out->seals = seals != 0;
	if (out->kind < SDES_KEK_AES_256 || out->kind > SDES_KEK_P256_SIGN || seals > 1)
		r->failed = true;
}

SdesStatus
sdes_request_decode(SdesBytes body, SdesRequest *out)
{
	SdesReader r = sdes_reader(body);

	memset(out, 0, sizeof(*out));
	out->op = (SdesAgentOp) sdes_read_u8(&r);
	switch (out->op)
	{
		case SDES_OP_HELLO:
			out->version = sdes_read_u16(&r);
			sdes_read_into(&r, out->secret, sizeof(out->secret));
			break;
		case SDES_OP_STATUS:
		case SDES_OP_PIN_RETRY:
			break;
		case SDES_OP_KEK_CREATE:
			read_string(&r, out->label, sizeof(out->label));
			read_kind(&r, out);
			break;
		case SDES_OP_KEK_CHECK:
		case SDES_OP_KEK_DESTROY:
		case SDES_OP_PUBLIC_KEY:
			sdes_read_into(&r, out->kek_id, sizeof(out->kek_id));
			break;
		case SDES_OP_SIGN:
			sdes_read_into(&r, out->kek_id, sizeof(out->kek_id));
			sdes_read_into(&r, out->digest, sizeof(out->digest));
			break;
		case SDES_OP_KEK_LIST:
			read_string(&r, out->label, sizeof(out->label));
			sdes_read_into(&r, out->kek_id, sizeof(out->kek_id));
			break;
		case SDES_OP_DEK_CREATE:
			read_binding(&r, &out->binding);
			break;
		case SDES_OP_DEK_UNWRAP:
			read_binding(&r, &out->binding);
			out->wrapped_size = read_blob(&r, out->wrapped, sizeof(out->wrapped));
			break;
		case SDES_OP_DEK_WRAP:
			read_binding(&r, &out->binding);
			out->dek = sdes_read_bytes(&r, SDES_DEK_SIZE);
			break;
		case SDES_OP_SEAL:
		case SDES_OP_OPEN:
			sdes_read_into(&r, out->kek_id, sizeof(out->kek_id));
			read_values(&r, &out->nvalues, &out->values);
			break;
		default:
			return SDES_ERR_FORMAT;
	}
	return sdes_read_complete(&r) ? SDES_OK : SDES_ERR_FORMAT;
}

static void
write_info(SdesWriter *w, const SdesAgentInfo *info)
{
	sdes_write_u8(w, info->state);
	sdes_write_u16(w, info->status);
	sdes_write_u32(w, info->pid);
	sdes_write_u32(w, info->logins);
	sdes_write_u32(w, info->seconds);
	sdes_write_u32(w, info->failures);
	write_string(w, info->module);
	write_string(w, info->token_label);
	write_string(w, info->token_serial);
	write_string(w, info->token_model);
	write_string(w, info->detail);
}

static void
read_info(SdesReader *r, SdesAgentInfo *info)
{
	info->state = sdes_read_u8(r);
	info->status = sdes_read_u16(r);
	info->pid = sdes_read_u32(r);
	info->logins = sdes_read_u32(r);
	info->seconds = sdes_read_u32(r);
	info->failures = sdes_read_u32(r);
	read_string(r, info->module, sizeof(info->module));
	read_string(r, info->token_label, sizeof(info->token_label));
	read_string(r, info->token_serial, sizeof(info->token_serial));
	read_string(r, info->token_model, sizeof(info->token_model));
	read_string(r, info->detail, sizeof(info->detail));
	if (info->state > SDES_AGENT_FAILED || !status_known(info->status))
		r->failed = true;
}

static void
write_keks(SdesWriter *w, const SdesReply *reply)
{
	if (reply->nkeks > SDES_KEK_LIST_MAX)
	{
		w->failed = true;
		return;
	}
	sdes_write_u16(w, reply->nkeks);
	sdes_write_bytes(w, sdes_bytes(reply->keks, reply->nkeks * sizeof(reply->keks[0])));
}

/* Strictly ascending, as the next request continues after the last one. */
static void
read_keks(SdesReader *r, SdesReply *reply)
{
	reply->nkeks = sdes_read_u16(r);
	if (r->failed || reply->nkeks > SDES_KEK_LIST_MAX)
	{
		r->failed = true;
		return;
	}
	for (int i = 0; i < reply->nkeks; i++)
	{
		sdes_read_into(r, reply->keks[i], SDES_KEK_ID_SIZE);
		if (i > 0 && memcmp(reply->keks[i - 1], reply->keks[i], SDES_KEK_ID_SIZE) >= 0)
			r->failed = true;
	}
}

SdesStatus
sdes_reply_encode(const SdesReply *reply, uint8_t *out, size_t size, size_t *used)
{
	SdesWriter w = sdes_writer(out, size);

	sdes_write_u8(&w, (uint8_t) reply->op);
	sdes_write_u16(&w, (uint16_t) reply->status);
	if (reply->status != SDES_OK)
	{
		sdes_write_u32(&w, reply->ckr);
		write_string(&w, reply->detail);
		return written(&w, size, used);
	}
	switch (reply->op)
	{
		case SDES_OP_HELLO:
		case SDES_OP_KEK_DESTROY:
		case SDES_OP_PIN_RETRY:
			break;
		case SDES_OP_STATUS:
			write_info(&w, &reply->info);
			break;
		case SDES_OP_KEK_CREATE:
			sdes_write_bytes(&w, SDES_BYTES_OF(reply->kek_id));
			write_string(&w, reply->mechanism);
			break;
		case SDES_OP_KEK_CHECK:
			write_string(&w, reply->mechanism);
			break;
		case SDES_OP_KEK_LIST:
			write_keks(&w, reply);
			break;
		case SDES_OP_DEK_CREATE:
		case SDES_OP_DEK_WRAP:
			write_blob(&w, reply->wrapped, reply->wrapped_size, sizeof(reply->wrapped));
			sdes_write_bytes(&w, SDES_BYTES_OF(reply->commitment));
			break;
		case SDES_OP_DEK_UNWRAP:
			write_dek(&w, reply->dek);
			break;
		case SDES_OP_PUBLIC_KEY:
		case SDES_OP_SIGN:
			write_blob(&w, reply->public, reply->public_size, sizeof(reply->public));
			break;
		case SDES_OP_SEAL:
		case SDES_OP_OPEN:
			write_values(&w, reply->nresults, reply->results);
			break;
		default:
			return SDES_ERR_FORMAT;
	}
	return written(&w, size, used);
}

/* The fields of a successful reply. */
static void
read_result(SdesReader *r, SdesReply *out)
{
	switch (out->op)
	{
		case SDES_OP_HELLO:
		case SDES_OP_KEK_DESTROY:
		case SDES_OP_PIN_RETRY:
			break;
		case SDES_OP_STATUS:
			read_info(r, &out->info);
			break;
		case SDES_OP_KEK_CREATE:
			sdes_read_into(r, out->kek_id, sizeof(out->kek_id));
			read_string(r, out->mechanism, sizeof(out->mechanism));
			break;
		case SDES_OP_KEK_CHECK:
			read_string(r, out->mechanism, sizeof(out->mechanism));
			break;
		case SDES_OP_KEK_LIST:
			read_keks(r, out);
			break;
		case SDES_OP_DEK_CREATE:
		case SDES_OP_DEK_WRAP:
			out->wrapped_size = read_blob(r, out->wrapped, sizeof(out->wrapped));
			sdes_read_into(r, out->commitment, sizeof(out->commitment));
			break;
		case SDES_OP_DEK_UNWRAP:
			out->dek = sdes_read_bytes(r, SDES_DEK_SIZE);
			break;
		case SDES_OP_PUBLIC_KEY:
		case SDES_OP_SIGN:
			out->public_size = read_blob(r, out->public, sizeof(out->public));
			break;
		case SDES_OP_SEAL:
		case SDES_OP_OPEN:
			read_results(r, &out->nresults, &out->results);
			break;
		default:
			r->failed = true;
	}
}

SdesStatus
sdes_reply_decode(SdesBytes body, SdesAgentOp op, SdesReply *out)
{
	SdesReader r = sdes_reader(body);
	uint16_t status;

	memset(out, 0, sizeof(*out));
	out->op = (SdesAgentOp) sdes_read_u8(&r);
	status = sdes_read_u16(&r);
	if (r.failed || out->op != op || !status_known(status))
		return SDES_ERR_FORMAT;
	out->status = (SdesStatus) status;
	if (out->status != SDES_OK)
	{
		out->ckr = sdes_read_u32(&r);
		read_string(&r, out->detail, sizeof(out->detail));
	}
	else
		read_result(&r, out);
	return sdes_read_complete(&r) ? SDES_OK : SDES_ERR_FORMAT;
}
