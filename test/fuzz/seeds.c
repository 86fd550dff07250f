/*
 * seeds.c
 *		Writes what the fuzzers begin with, made by the project's own encoders:
 *		"seeds DIR" fills DIR/envelope, DIR/armor and so on, the same each time.
 */
#include "fuzz.h"

#include "envelope/armor.h"
#include "journal/checkpoint.h"
#include "parcel/parcel.h"

#include <errno.h>
#include <sys/stat.h>

static const char *base;
static int written;

/* The next file of a target, of up to two parts. */
static void
seed2(const char *target, SdesBytes a, SdesBytes b)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", base, target);
	REQUIRE(mkdir(path, 0777) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/%s/seed-%03d", base, target, written++);
	file = fopen(path, "wb");
	REQUIRE(file != NULL);
	REQUIRE(fwrite(a.data, 1, a.size, file) == a.size);
	REQUIRE(b.size == 0 || fwrite(b.data, 1, b.size, file) == b.size);
	REQUIRE(fclose(file) == 0);
}

static void
seed(const char *target, SdesBytes bytes)
{
	seed2(target, bytes, (SdesBytes){NULL, 0});
}

static void
seed_text(const char *target, const char *text)
{
	seed(target, sdes_bytes(text, strlen(text)));
}

static void
envelope(SdesAead *aead, const char *text, int ntokens, int nci, bool bytes)
{
	uint8_t nonce[SDES_NONCE_SIZE], sealed[512];
	char armor[1024];
	SdesSealSpec spec = {.context = {.type = SDES_TYPE_TEXT},
	                     .bytes = bytes,
	                     .ntokens = ntokens,
	                     .tokens = {{.search_key = 1}, {.search_key = 2}},
	                     .nci = nci,
	                     .ci = {{.search_key = 1}, {.search_key = 2}}};
	size_t size = sdes_envelope_size(ntokens + nci, strlen(text));

	memset(nonce, written, sizeof(nonce));
	memset(spec.key_id, FUZZ_BYTE, sizeof(spec.key_id));
	memset(spec.context.bucket, FUZZ_BYTE, sizeof(spec.context.bucket));
	REQUIRE(sdes_envelope_seal_with_nonce(
	            aead, &spec, nonce, sdes_bytes(text, strlen(text)), sealed) == SDES_OK);
	seed("envelope", sdes_bytes(sealed, size));
	sdes_armor_encode(sdes_bytes(sealed, size), armor);
	seed("armor", sdes_bytes(armor, sdes_armor_size(size)));

	/* What an HSM would have made of as much. */
	memset(armor, written, sizeof(armor));
	REQUIRE(sdes_envelope_hsm_write(
	            &spec, strlen(text),
	            sdes_bytes(armor, strlen(text) + SDES_ENVELOPE_HSM_OVERHEAD),
	            sealed) == SDES_OK);
	seed("envelope",
	     sdes_bytes(sealed, sdes_envelope_hsm_size(ntokens + nci, strlen(text))));
}

static void
envelopes(void)
{
	uint8_t key[SDES_AEAD_KEY_SIZE];
	SdesAead *aead;

	memset(key, FUZZ_BYTE, sizeof(key));
	REQUIRE(sdes_aead_new(&aead, SDES_BYTES_OF(key)) == SDES_OK);
	for (int ntokens = 0; ntokens <= 2; ntokens++)
	{
		envelope(aead, "", ntokens, 0, false);
		envelope(aead, "ada@example.org", ntokens, 0, ntokens == 1);
		envelope(aead, "a longer value, with a second block of the cipher", ntokens, 0,
		         false);
	}
	for (int ntokens = 0; ntokens <= 2; ntokens++)
	{
		for (int nci = 1; nci <= 2; nci++)
			envelope(aead, "Ada@Example.org", ntokens, nci, ntokens == nci);
	}
	sdes_aead_free(aead);
	seed_text("armor", SDES_ARMOR_PREFIX);
}

/* A message with its length, as it stands in a stream. */
static SdesBytes
framed(SdesBytes body, uint8_t out[4 + SDES_MESSAGE_MAX])
{
	SdesWriter w = sdes_writer(out, 4 + SDES_MESSAGE_MAX);

	sdes_write_u32(&w, (uint32_t) body.size);
	sdes_write_bytes(&w, body);
	REQUIRE(!w.failed);
	return sdes_bytes(out, 4 + body.size);
}

/* A text of that many characters between two others. */
static void
seed_long(const char *target, const char *before, size_t size, const char *after)
{
	char text[4096];
	size_t used = strlen(before);

	memcpy(text, before, used);
	memset(text + used, '1', size);
	strcpy(text + used + size, after);
	seed_text(target, text);
}

/* To the agent, after a HELLO that the harness sends: whole, in pieces, answered late. */
static void
request(const SdesRequest *request)
{
	static const uint8_t ways[][2] = {{0x01, 0}, {0x03, 7}, {0x0d, 1}, {0x11, 0}};
	uint8_t body[SDES_MESSAGE_MAX], message[4 + SDES_MESSAGE_MAX];
	size_t used;

	REQUIRE(sdes_request_encode(request, body, sizeof(body), &used) == SDES_OK);
	seed("request", sdes_bytes(body, used));
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		seed2("clients", SDES_BYTES_OF(ways[i]), framed(sdes_bytes(body, used), message));
}

/* From the agent: the operation in byte 0 asks for it. */
static void
reply(const SdesReply *reply)
{
	uint8_t body[SDES_MESSAGE_MAX], message[4 + SDES_MESSAGE_MAX];
	uint8_t whole[2] = {(uint8_t) (0x40 + reply->op - 1), 0};
	uint8_t pieces[2] = {(uint8_t) (0xc0 + reply->op - 1), 3};
	uint8_t welcome[2] = {SDES_OP_STATUS - 1, 0};
	size_t used;

	REQUIRE(sdes_reply_encode(reply, body, sizeof(body), &used) == SDES_OK);
	seed("reply", sdes_bytes(body, used));
	seed2("client", SDES_BYTES_OF(whole), framed(sdes_bytes(body, used), message));
	seed2("client", SDES_BYTES_OF(pieces), framed(sdes_bytes(body, used), message));
	if (reply->op == SDES_OP_HELLO)
		seed2("client", SDES_BYTES_OF(welcome), framed(sdes_bytes(body, used), message));
}

/* Only the beginning of a message of that length, for both readers of a stream. */
static void
length(uint32_t size)
{
	uint8_t begun[] = {0x41, 0, 0, 0, 0, 0, SDES_OP_KEK_CHECK};
	SdesWriter w = sdes_writer(begun + 2, 4);

	sdes_write_u32(&w, size);
	seed("clients", SDES_BYTES_OF(begun));
	seed("client", SDES_BYTES_OF(begun));
	begun[0] = 0x40 + SDES_OP_SEAL - 1;
	seed("client", SDES_BYTES_OF(begun));
}

/* A string of that many bytes in a request, and in the reply of a failure. */
static void
string(uint16_t size)
{
	uint8_t message[1024] = {0};
	SdesWriter w = sdes_writer(message, sizeof(message));

	sdes_write_u8(&w, SDES_OP_KEK_CREATE);
	sdes_write_u16(&w, size);
	memset(w.at, 'x', size);
	w.at[size] = SDES_KEK_AES_256;
	seed("request", sdes_bytes(message, 3U + size + 2U));

	w = sdes_writer(message, sizeof(message));
	sdes_write_u8(&w, SDES_OP_HELLO);
	sdes_write_u16(&w, SDES_ERR_HSM);
	sdes_write_u32(&w, 1);
	sdes_write_u16(&w, size);
	memset(w.at, 'x', size);
	seed("reply", sdes_bytes(message, 9U + size));
}

/* A wrapped DEK of that many bytes, in a request and in a reply. */
static void
blob(uint16_t size)
{
	static const SdesDekBinding binding = {.purpose = SDES_PURPOSE_DATA,
	                                       .mode = SDES_MODE_CACHED};
	uint8_t message[2048] = {SDES_OP_DEK_UNWRAP};
	SdesWriter w = sdes_writer(message + 1 + SDES_DEK_BINDING_SIZE, 2);

	sdes_dek_binding_encode(&binding, message + 1);
	sdes_write_u16(&w, size);
	seed("request", sdes_bytes(message, 1U + SDES_DEK_BINDING_SIZE + 2U + size));

	memset(message, 0, sizeof(message));
	w = sdes_writer(message, sizeof(message));
	sdes_write_u8(&w, SDES_OP_DEK_CREATE);
	sdes_write_u16(&w, SDES_OK);
	sdes_write_u16(&w, size);
	seed("reply", sdes_bytes(message, 5U + size + SDES_COMMITMENT_SIZE));
}

/* Large messages, which the harness writes itself, in pieces. */
static void
large(void)
{
	static const uint8_t seal[] = {0x21, 5}, late[] = {0x35, 1};
	static const uint8_t results[] = {0x60 + SDES_OP_SEAL - 1, 5};
	static const uint8_t unasked[] = {0xe0 + SDES_OP_SEAL - 1, 9, 0};

	seed("clients", SDES_BYTES_OF(seal));
	seed("clients", SDES_BYTES_OF(late));
	seed("client", SDES_BYTES_OF(results));
	seed("client", SDES_BYTES_OF(unasked));
}

static SdesBytes
values(uint8_t *out, size_t size)
{
	SdesWriter w = sdes_writer(out, size);

	sdes_value_write(&w, SDES_BYTES_OF("aad"), SDES_BYTES_OF("value"));
	sdes_value_write(&w, sdes_bytes(out, 0), SDES_BYTES_OF("another"));
	REQUIRE(!w.failed);
	return sdes_bytes(out, size - w.left);
}

static SdesBytes
results(uint8_t *out, size_t size)
{
	SdesWriter w = sdes_writer(out, size);

	sdes_result_write(&w, SDES_OK, SDES_BYTES_OF("result"));
	sdes_result_write(&w, SDES_ERR_TAG, sdes_bytes(out, 0));
	REQUIRE(!w.failed);
	return sdes_bytes(out, size - w.left);
}

/* To an agent with a secret: right, of another version, with another secret. */
static void
hellos(void)
{
	for (int i = 0; i < 3; i++)
	{
		static const uint8_t way[] = {0x02, 0};
		SdesRequest r = {.op = SDES_OP_HELLO, .version = SDES_PROTOCOL_VERSION};
		uint8_t body[64], message[4 + SDES_MESSAGE_MAX];
		size_t used;

		memset(r.secret, FUZZ_BYTE, sizeof(r.secret));
		r.version = (uint16_t) (r.version + (i == 1));
		r.secret[SDES_AGENT_SECRET_SIZE - 1] ^= i == 2;
		REQUIRE(sdes_request_encode(&r, body, sizeof(body), &used) == SDES_OK);
		seed2("clients", SDES_BYTES_OF(way), framed(sdes_bytes(body, used), message));
	}
}

static void
requests(void)
{
	uint8_t dek[SDES_DEK_SIZE] = {0}, room[128];

	for (int op = SDES_OP_HELLO; op <= SDES_OP_SIGN; op++)
	{
		SdesRequest r = {.op = (SdesAgentOp) op,
		                 .version = SDES_PROTOCOL_VERSION,
		                 .label = "sdes bucket",
		                 .binding = {.version = 1,
		                             .purpose = SDES_PURPOSE_SEARCH,
		                             .mode = SDES_MODE_HSM},
		                 .dek = SDES_BYTES_OF(dek),
		                 .wrapped_size = 40,
		                 .kind = SDES_KEK_RSA_4096,
		                 .seals = true,
		                 .nvalues = 2,
		                 .values = values(room, sizeof(room))};

		memset(r.secret, FUZZ_BYTE, sizeof(r.secret));
		request(&r);
	}
}

static void
replies(void)
{
	uint8_t dek[SDES_DEK_SIZE] = {0}, room[128];

	for (int op = SDES_OP_HELLO; op <= SDES_OP_SIGN; op++)
	{
		SdesReply good = {.op = (SdesAgentOp) op,
		                  .info = {.state = SDES_AGENT_FAILED,
		                           .status = SDES_ERR_HSM_PIN,
		                           .module = "SoftHSM 2.6",
		                           .token_label = "sdes",
		                           .token_serial = "0123456789abcdef",
		                           .detail = "C_Login"},
		                  .mechanism = "AES-GCM",
		                  .nkeks = 2,
		                  .keks = {{1}, {2}},
		                  .wrapped_size = 60,
		                  .dek = SDES_BYTES_OF(dek),
		                  .nresults = 2,
		                  .results = results(room, sizeof(room))};
		SdesReply bad = {.op = (SdesAgentOp) op,
		                 .status = SDES_ERR_HSM,
		                 .ckr = 0x101,
		                 .detail = "C_Sign: not logged in"};

		reply(&good);
		reply(&bad);
		memcpy(good.keks[1], good.keks[0], SDES_KEK_ID_SIZE);
		if (op == SDES_OP_KEK_LIST)
			reply(&good); /* one id twice: refused */
	}
}

/* A parcel of three keys: for one site, or for three officers. */
static void
parcel(SdesParcelKind kind)
{
	uint8_t records[1024], room[4096], sealed[3 * SDES_PARCEL_SEALED_SIZE] = {0};
	SdesWriter r = sdes_writer(records, sizeof(records));
	SdesWriter w = sdes_writer(room, sizeof(room));
	SdesParcelRecipient recipient = {.name = "stores-3f9a2c1d"};
	SdesParcelBucket bucket = {.kek_kind = 1, .days = 90, .name = "customer_pii"};
	SdesParcelKey key = {
	    .version = 1, .purpose = SDES_PURPOSE_DATA, .mode = SDES_MODE_CACHED};
	bool backup = kind == SDES_PARCEL_BACKUP;
	SdesParcel p = {.kind = (uint8_t) kind,
	                .wrap = SDES_WRAP_RSA,
	                .threshold = backup ? 2 : 0,
	                .nrecipients = backup ? 3 : 1,
	                .nbuckets = 2,
	                .nkeys = 3};

	for (int i = 0; i < p.nrecipients; i++)
		sdes_parcel_write_recipient(&r, &recipient);
	p.recipients = sdes_bytes(records, (size_t) (r.at - records));
	p.buckets.data = r.at;
	sdes_parcel_write_bucket(&r, &bucket);
	sdes_parcel_write_bucket(&r, &bucket);
	p.buckets.size = (size_t) (r.at - p.buckets.data);
	p.keys.data = r.at;
	for (int i = 0; i < 3; i++)
		sdes_parcel_write_key(&r, &key);
	p.keys.size = (size_t) (r.at - p.keys.data);
	REQUIRE(sdes_parcel_write_manifest(&w, &p) == SDES_OK);
	sdes_write_bytes(&w, SDES_BYTES_OF(p.digest));
	for (int i = 0; i < p.nrecipients; i++)
	{
		sdes_write_u16(&w, 4);
		sdes_write_u32(&w, 0);
	}
	sdes_write_bytes(&w, SDES_BYTES_OF(sealed));
	sdes_write_u16(&w, 0);
	REQUIRE(!w.failed);
	seed("parcel", sdes_bytes(room, sizeof(room) - w.left));
}

static void
parcels(void)
{
	static const uint8_t id[SDES_PARCEL_ID_SIZE] = {FUZZ_BYTE, FUZZ_BYTE, FUZZ_BYTE,
	                                                FUZZ_BYTE};
	uint8_t share[SDES_PARCEL_KEY_SIZE] = {0};
	char text[SDES_SHARE_TEXT_MAX];

	parcel(SDES_PARCEL_EXPORT);
	parcel(SDES_PARCEL_BACKUP);
	REQUIRE(sdes_share_to_text(id, 16, share, text) == SDES_OK);
	seed_text("parcel", text);
}

/* SubjectPublicKeyInfo of the key of RFC 6979, appendix A.2.5. */
static const uint8_t p256_info[] = {
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    0x04, 0x60, 0xfe, 0xd4, 0xba, 0x25, 0x5a, 0x9d, 0x31, 0xc9, 0x61, 0xeb, 0x74,
    0xc6, 0x35, 0x6d, 0x68, 0xc0, 0x49, 0xb8, 0x92, 0x3b, 0x61, 0xfa, 0x6c, 0xe6,
    0x69, 0x62, 0x2e, 0x60, 0xf2, 0x9f, 0xb6, 0x79, 0x03, 0xfe, 0x10, 0x08, 0xb8,
    0xbc, 0x99, 0xa4, 0x1a, 0xe9, 0xe9, 0x56, 0x28, 0xbc, 0x64, 0xf2, 0xf1, 0xb2,
    0x0c, 0x2d, 0x7e, 0x9f, 0x51, 0x77, 0xa3, 0xc2, 0x94, 0xd4, 0x46, 0x22, 0x99};

/* A key that is made known, a checkpoint, and what might be its signature. */
static void
signatures(SdesWriter *w, uint64_t sequence, uint8_t hash[SDES_DIGEST_SIZE])
{
	uint8_t key[256], signature[256], bytes[64] = {1};
	SdesWriter k = sdes_writer(key, sizeof(key));
	SdesWriter s = sdes_writer(signature, sizeof(signature));

	sdes_write_text(&k, SDES_FIELD_OPERATION, SDES_SIGNING_KEY);
	sdes_write_field(&k, SDES_FIELD_KEY, sdes_bytes(bytes, SDES_SIGNING_KEY_ID_SIZE));
	sdes_write_field(&k, SDES_FIELD_PUBLIC_KEY, SDES_BYTES_OF(p256_info));
	sdes_write_text(&s, SDES_FIELD_ALGORITHM, SDES_CHECKPOINT_P256);
	sdes_write_field(&s, SDES_FIELD_KEY, sdes_bytes(bytes, SDES_SIGNING_KEY_ID_SIZE));
	sdes_write_field(&s, SDES_FIELD_SIGNATURE, SDES_BYTES_OF(bytes));
	sdes_write_number(&s, SDES_FIELD_CHECKPOINT, sequence + 1);
	REQUIRE(sdes_journal_write_record(w, SDES_JOURNAL_EVENT, sequence, 1,
	                                  sdes_bytes(key, (size_t) (k.at - key)),
	                                  hash) == SDES_OK);
	REQUIRE(sdes_journal_write_record(w, SDES_JOURNAL_CHECKPOINT, sequence + 1, 1,
	                                  sdes_bytes(key, 0), hash) == SDES_OK);
	REQUIRE(sdes_journal_write_record(w, SDES_JOURNAL_SIGNATURE, sequence + 2, 1,
	                                  sdes_bytes(signature, (size_t) (s.at - signature)),
	                                  hash) == SDES_OK);
}

/* A segment of the audit journal, its records chained. */
static void
journal(void)
{
	SdesJournalHeader header = {.system_identifier = 1, .sequence = 9};
	uint8_t room[2048], fields[256], hash[SDES_DIGEST_SIZE];
	SdesWriter w = sdes_writer(room, sizeof(room));
	SdesWriter f = sdes_writer(fields, sizeof(fields));

	sdes_journal_write_header(&header, room);
	w.at += SDES_JOURNAL_HEADER_SIZE;
	w.left -= SDES_JOURNAL_HEADER_SIZE;
	REQUIRE(sdes_journal_header_hash(sdes_bytes(room, SDES_JOURNAL_HEADER_SIZE), hash) ==
	        SDES_OK);
	sdes_write_text(&f, SDES_FIELD_OPERATION, "decrypt");
	sdes_write_field(&f, SDES_FIELD_BUCKET_UUID, sdes_bytes(room, 16));
	sdes_write_number(&f, SDES_FIELD_VALUES, 1000);
	sdes_write_number(&f, (SdesFieldTag) 200, 1);
	for (int kind = 1; kind <= SDES_JOURNAL_KINDS; kind++)
		REQUIRE(sdes_journal_write_record(
		            &w, (SdesJournalKind) kind, 8 + (uint64_t) kind, kind,
		            sdes_bytes(fields, (size_t) (f.at - fields)), hash) == SDES_OK);
	signatures(&w, 9 + SDES_JOURNAL_KINDS, hash);
	seed("journal", sdes_bytes(room, (size_t) (w.at - room)));
	memset(w.at, 0, 64);
	seed("journal", sdes_bytes(room, (size_t) (w.at - room) + 64));
	seed("journal", sdes_bytes(room, (size_t) (w.at - room) - 1));
}

static void
settings(void)
{
	SdesAgentConfig config = {.module = "/usr/lib/m.so",
	                          .init_args = "configdir='sql:/d' flags=a",
	                          .token = "pkcs11:token=a%20b;serial=1",
	                          .pin_source = "file:/etc/sdes/pin",
	                          .socket = "sdes/agent.sock",
	                          .state_directory = "sdes",
	                          .forbidden_directory = "."};
	char text[8 * SDES_CONFIG_VALUE_SIZE];

	seed("settings", sdes_bytes(text, sdes_config_print(&config, text, sizeof(text)) - 1));
	config.has_secret = true;
	seed("settings", sdes_bytes(text, sdes_config_print(&config, text, sizeof(text)) - 1));
	seed_text("settings", "# a comment\n\nmodule=\nsecret = 00\ntoken = x\n");

	seed_text("token", "pkcs11:token=sdes;serial=1");
	seed_text("token", "pkcs11:token=a%20b%3bc");
	seed_text("token", "pkcs11:serial=22;model=model;manufacturer=maker");
	seed_text("token",
	          "pkcs11:token=sdes;library-version=2.40;library-description=library");
	seed_text("token", "pkcs11:slot-description=slot;slot-manufacturer=maker;serial=1");

	/* None of these chooses a token. */
	seed_text("token", "pkcs11:token=%00;serial=22");
	seed_text("token", "pkcs11:serial=22;library-version=255");
	seed_text("token", "pkcs11:serial=22;library-version=2.255");
	seed_text("token", "pkcs11:serial=22;library-version=2");
	seed_text("token", "pkcs11:serial=22;library-description=another");
	seed_text("token", "pkcs11:serial=22;slot-description=another");
	seed_text("token", "pkcs11:serial=22;model=another");
	seed_text("token", "pkcs11:serial=22;pin-value=1");

	seed("pin", SDES_BYTES_OF("file:/etc/sdes/pin\0001234"));
	seed("pin", SDES_BYTES_OF("credential:pin\0001234\n"));
	seed("pin", SDES_BYTES_OF("|cat /etc/pin\0001234\r\n"));
	seed("pin", SDES_BYTES_OF("\0"));
}

static void
pans(void)
{
	/* Published test numbers of the brands. */
	seed_text("pan", "4111111111111111");
	seed_text("pan", "5555 5555 5555 4444");
	seed_text("pan", "3782-822463-10005");
	seed_text("pan", "6011111111111117");
	seed_text("pan", "3530111333300000");
	seed_text("pan", "30569309025904");
	seed_text("pan", "6200000000000005");
	seed_text("pan", "6304 0000 0000 0000");
	seed_text("pan", "4222222222222");
	seed_text("pan", "9792 0300 0000 0000");
	seed_text("pan", "2200770212727079");
}

/* A PIN file of that many characters, without a line end and with either one. */
static void
pin(size_t size)
{
	static const char *const ends[] = {"", "\n", "\r\n"};
	char text[512] = "|a"; /* and its zero: the setting */

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
	{
		memset(text + 3, '1', size);
		strcpy(text + 3 + size, ends[i]);
		seed("pin", sdes_bytes(text, 3 + size + strlen(ends[i])));
	}
}

/* The longest that is taken of everything, and one more. */
static void
statements(void)
{
	seed_text("sqltext",
	          "\2SELECT 'it''s', E'a\\'b' -- '\n 'c', $$d$$, $1, x'ff', u&\"e\", 1.5e-3");
	seed_text("sqltext",
	          "\1Query Text: /* a /* b */ */ SELECT \"it's\"\n  Filter: (a = 'x'::text)");
}

static void
limits(void)
{
	static const uint32_t lengths[] = {0, SDES_MESSAGE_MAX, SDES_VALUES_MAX,
	                                   UINT32_MAX - 4};
	static const uint16_t strings[] = {SDES_LABEL_MAX, SDES_DETAIL_MAX};

	for (size_t more = 0; more < 2; more++)
	{
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
			length(lengths[i] + (uint32_t) more);
		for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
			string((uint16_t) (strings[i] + more));
		blob((uint16_t) (SDES_WRAPPED_MAX + more));
		seed_long("settings",
		          "token=pkcs11:token=a\ninit_args = ", SDES_CONFIG_VALUE_SIZE - 1 + more,
		          "");
		seed_long("settings", "socket=", 107 + more, "");
		seed_long("settings", "secret=", 2 * SDES_AGENT_SECRET_SIZE + more, "");
		seed_long("token", "pkcs11:token=", 32 + more, "");
		seed_long("pan", "", 19 + more, "");
		seed_long("pan", "1 ", 10 + more, "-1");
	}
	for (size_t size = 254; size <= 258; size++)
		pin(size);
}

/* Sizes about those at which libraries go from one loop to the next. */
static void
providers(void)
{
	static const uint16_t sizes[] = {0,   1,   15,  16,  17,  63,  64,  65,  127,  128,
	                                 129, 255, 256, 257, 767, 768, 769, 900, 1500, 9999};
	static const uint16_t aads[] = {0, 1, 16, 115, 256, 257, 800};
	uint8_t input[51 + 37];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		SdesWriter w = sdes_writer(input, sizeof(input));

		while (w.left > 0)
			sdes_write_u8(&w, (uint8_t) (w.left * 167 + i));
		w = sdes_writer(input + 46, 4);
		sdes_write_u16(&w, sizes[i]);
		sdes_write_u16(&w, aads[i % (sizeof(aads) / sizeof(aads[0]))]);
		seed("provider", SDES_BYTES_OF(input));
	}
}

int
main(int argc, char **argv)
{
	if (argc != 2)
		return EXIT_FAILURE;
	base = argv[1];
	envelopes();
	hellos();
	large();
	requests();
	replies();
	parcels();
	journal();
	settings();
	pans();
	statements();
	limits();
	providers();
	return EXIT_SUCCESS;
}
