/*
 * test_checkpoint.c
 *		Signatures in a journal: those that are right, and what they find.
 */
#include "journal/verify.h"
#include "tap.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define SEGMENTS    2
#define SEGMENT_MAX 16384

/* Who signs. */
typedef struct Signer
{
	EVP_PKEY *key;
	uint8_t id[SDES_SIGNING_KEY_ID_SIZE];
	uint8_t info[SDES_PUBLIC_KEY_MAX];
	size_t info_size;
	uint8_t fingerprint[SDES_DIGEST_SIZE];
} Signer;

/* A journal that is being written. */
typedef struct Journal
{
	SdesJournalHeader header;
	int segment;
	SdesWriter w;
	uint64_t next;
	uint8_t hash[SDES_DIGEST_SIZE];
	SdesCheckpoint checkpoint; /* the last one */
	size_t sizes[SEGMENTS];
	uint8_t bytes[SEGMENTS][SEGMENT_MAX];
} Journal;

static void
make_signer(Signer *signer, uint8_t id, bool rsa)
{
	unsigned char *at = signer->info;

	signer->key = rsa ? EVP_RSA_gen(4096) : EVP_EC_gen("P-256");
	memset(signer->id, id, sizeof(signer->id));
	if (signer->key == NULL || i2d_PUBKEY(signer->key, NULL) > (int) sizeof(signer->info) ||
	    (signer->info_size = (size_t) i2d_PUBKEY(signer->key, &at)) == 0 ||
	    EVP_Digest(signer->info, signer->info_size, signer->fingerprint, NULL, EVP_sha256(),
	               NULL) != 1)
		abort();
}

static void
begin_segment(Journal *journal)
{
	journal->header.sequence = journal->next;
	memcpy(journal->header.before, journal->hash, sizeof(journal->hash));
	journal->w = sdes_writer(journal->bytes[journal->segment], SEGMENT_MAX);
	sdes_journal_write_header(&journal->header, journal->w.at);
	sdes_journal_header_hash(sdes_bytes(journal->w.at, SDES_JOURNAL_HEADER_SIZE),
	                         journal->hash);
	journal->w.at += SDES_JOURNAL_HEADER_SIZE;
	journal->w.left -= SDES_JOURNAL_HEADER_SIZE;
}

static void
start(Journal *journal)
{
	memset(journal, 0, sizeof(*journal));
	memset(journal->header.journal, 0x5a, sizeof(journal->header.journal));
	journal->next = 1;
	begin_segment(journal);
}

static void
end_segment(Journal *journal)
{
	journal->sizes[journal->segment] = SEGMENT_MAX - journal->w.left;
}

static void
next_segment(Journal *journal)
{
	end_segment(journal);
	journal->segment++;
	begin_segment(journal);
}

static void
add(Journal *journal, SdesJournalKind kind, const uint8_t *fields, const SdesWriter *f)
{
	if (sdes_journal_write_record(
	        &journal->w, kind, journal->next, (int64_t) journal->next * 1000,
	        sdes_bytes(fields, (size_t) (f->at - fields)), journal->hash) != SDES_OK)
		abort();
	journal->next++;
}

static void
add_use(Journal *journal, uint64_t values)
{
	uint8_t fields[64];
	SdesWriter f = sdes_writer(fields, sizeof(fields));

	sdes_write_number(&f, SDES_FIELD_VALUES, values);
	add(journal, SDES_JOURNAL_BEGIN, fields, &f);
}

static void
add_key(Journal *journal, const Signer *signer)
{
	uint8_t fields[1024];
	SdesWriter f = sdes_writer(fields, sizeof(fields));

	sdes_write_text(&f, SDES_FIELD_OPERATION, SDES_SIGNING_KEY);
	sdes_write_field(&f, SDES_FIELD_KEY, SDES_BYTES_OF(signer->id));
	sdes_write_field(&f, SDES_FIELD_PUBLIC_KEY,
	                 sdes_bytes(signer->info, signer->info_size));
	add(journal, SDES_JOURNAL_EVENT, fields, &f);
}

static void
add_checkpoint(Journal *journal)
{
	uint8_t none[1] = {0};
	SdesWriter f = sdes_writer(none, 0);

	journal->checkpoint.sequence = journal->next;
	add(journal, SDES_JOURNAL_CHECKPOINT, none, &f);
	memcpy(journal->checkpoint.hash, journal->hash, sizeof(journal->hash));
}

typedef struct Signature
{
	size_t size;
	uint8_t data[512];
} Signature;

/* As PKCS#11 has it: r || s. */
static void
flatten(Signature *out, const unsigned char *der, size_t size)
{
	ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long) size);

	if (pair == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(pair), out->data, 32) != 32 ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(pair), out->data + 32, 32) != 32)
		abort();
	out->size = 64;
	ECDSA_SIG_free(pair);
}

static void
sign(const Journal *journal, const Signer *signer, Signature *out)
{
	uint8_t digest[SDES_DIGEST_SIZE], made[512];
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(signer->key, NULL);
	bool rsa = EVP_PKEY_is_a(signer->key, "RSA");
	size_t size = sizeof(made);

	if (sdes_checkpoint_digest(journal->header.journal, journal->checkpoint.sequence,
	                           journal->checkpoint.hash, digest) != SDES_OK ||
	    EVP_PKEY_sign_init(ctx) != 1 ||
	    (rsa && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1) ||
	    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) != 1 ||
	    EVP_PKEY_sign(ctx, made, &size, digest, sizeof(digest)) != 1)
		abort();
	EVP_PKEY_CTX_free(ctx);
	if (rsa)
	{
		out->size = size;
		memcpy(out->data, made, size);
	}
	else
		flatten(out, made, size);
}

static void
add_signature(Journal *journal, const Signer *signer, const Signature *signature,
              uint64_t of)
{
	uint8_t fields[1024];
	SdesWriter f = sdes_writer(fields, sizeof(fields));

	sdes_write_text(&f, SDES_FIELD_ALGORITHM,
	                signature->size == 64 ? SDES_CHECKPOINT_P256 : SDES_CHECKPOINT_RSA);
	sdes_write_field(&f, SDES_FIELD_KEY, SDES_BYTES_OF(signer->id));
	sdes_write_field(&f, SDES_FIELD_SIGNATURE,
	                 sdes_bytes(signature->data, signature->size));
	sdes_write_number(&f, SDES_FIELD_CHECKPOINT, of);
	add(journal, SDES_JOURNAL_SIGNATURE, fields, &f);
}

static void
add_signed(Journal *journal, const Signer *signer)
{
	Signature signature;

	sign(journal, signer, &signature);
	add_signature(journal, signer, &signature, journal->checkpoint.sequence);
}

/* ---- verifying ---- */

/* From one segment on, in memory of exactly that size; pin may be NULL. */
static SdesVerify
verify(const Journal *journal, int from, const uint8_t *pin, SdesSignatures *s)
{
	SdesVerify v;

	sdes_verify_start(&v);
	sdes_signatures_start(s);
	if (pin != NULL)
		memcpy(s->pins[s->npins++], pin, SDES_DIGEST_SIZE);
	v.signatures = s;
	for (int i = from; i <= journal->segment; i++)
	{
		uint8_t *bytes = malloc(journal->sizes[i]);
		bool good;

		memcpy(bytes, journal->bytes[i], journal->sizes[i]);
		good = sdes_verify_segment(&v, sdes_bytes(bytes, journal->sizes[i]));
		free(bytes);
		if (!good)
			break;
	}
	sdes_signatures_end(s);
	return v;
}

/* Records 1 to 14; 4 and 10 are signed, by 7 and 12. */
static void
make_journal(Journal *journal, const Signer *signer)
{
	start(journal);
	add_key(journal, signer);
	add_use(journal, 100);
	add_use(journal, 200);
	add_checkpoint(journal);
	add_use(journal, 300);
	add_use(journal, 400);
	add_signed(journal, signer);
	next_segment(journal);
	add_key(journal, signer);
	add_use(journal, 500);
	add_checkpoint(journal);
	add_use(journal, 600);
	add_signed(journal, signer);
	add_use(journal, 700);
	add_use(journal, 800);
	end_segment(journal);
}

static void
is_signed(const SdesVerify *v, const SdesSignatures *s, uint64_t count, uint64_t last,
          const char *name)
{
	if (!ok(v->wrong == SDES_WRONG_NOTHING && s->count == count && s->last.sequence == last,
	        "%s", name))
		diag("%s at %ld, %ld signatures, the last of %ld", sdes_wrong_name(v->wrong),
		     (long) v->next, (long) s->count, (long) s->last.sequence);
}

static void
is_not_signed(const SdesVerify *v, uint64_t sequence, const char *name)
{
	if (!ok(v->wrong == SDES_WRONG_SIGNATURE && v->next == sequence, "%s", name))
		diag("%s at %ld", sdes_wrong_name(v->wrong), (long) v->next);
}

static void
test_good(const Signer *signer, const Signer *other)
{
	Journal journal;
	SdesSignatures s;
	SdesVerify v;
	size_t half = SDES_JOURNAL_HEADER_SIZE;
	SdesReader r;
	SdesRecord record;

	make_journal(&journal, signer);
	v = verify(&journal, 0, NULL, &s);
	is_signed(&v, &s, 2, 10, "two signatures");
	ok(memcmp(s.signed_by, signer->fingerprint, SDES_DIGEST_SIZE) == 0 &&
	       s.last.time == 10000,
	   "by which key, and when");
	v = verify(&journal, 0, signer->fingerprint, &s);
	is_signed(&v, &s, 2, 10, "the key is the one that is known");
	v = verify(&journal, 0, other->fingerprint, &s);
	is_not_signed(&v, 7, "it is not");
	v = verify(&journal, 1, signer->fingerprint, &s);
	is_signed(&v, &s, 1, 10, "a segment alone");

	/* The same in two steps. */
	r = sdes_reader(sdes_bytes(journal.bytes[1], journal.sizes[1]));
	sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE);
	for (int i = 0; i < 3; i++)
		sdes_journal_read_record(&r, &record);
	half = journal.sizes[1] - r.left;
	sdes_verify_start(&v);
	sdes_signatures_start(&s);
	v.signatures = &s;
	ok(sdes_verify_segment(&v, sdes_bytes(journal.bytes[1], half)) && v.next == 11,
	   "a part of it");
	ok(sdes_verify_more(&v, sdes_bytes(journal.bytes[1] + half, journal.sizes[1] - half)) &&
	       v.next == 15,
	   "and the rest");
	is_signed(&v, &s, 1, 10, "with the signature");
	sdes_signatures_end(&s);
}

static void
test_forged(const Signer *signer, const Signer *other)
{
	Signature signature;
	Journal journal;
	SdesSignatures s;
	SdesVerify v;

	/* Written anew from record 2 on, with the signature that was there. */
	make_journal(&journal, signer);
	journal.segment = 0;
	start(&journal);
	add_key(&journal, signer);
	add_use(&journal, 100);
	add_use(&journal, 200);
	add_checkpoint(&journal);
	sign(&journal, signer, &signature);
	start(&journal);
	add_key(&journal, signer);
	add_use(&journal, 100);
	add_use(&journal, 199);
	add_checkpoint(&journal);
	add_signature(&journal, signer, &signature, 4);
	end_segment(&journal);
	v = verify(&journal, 0, NULL, &s);
	is_not_signed(&v, 5, "a record before a checkpoint is another one");

	start(&journal);
	add_key(&journal, signer);
	add_use(&journal, 100);
	add_checkpoint(&journal);
	sign(&journal, signer, &signature);
	add_use(&journal, 200);
	add_signature(&journal, signer, &signature, 4);
	end_segment(&journal);
	v = verify(&journal, 0, NULL, &s);
	is_not_signed(&v, 5, "a signature of a record that is no checkpoint");

	start(&journal);
	add_key(&journal, signer);
	add_checkpoint(&journal);
	add_signed(&journal, signer);
	add_signed(&journal, signer);
	end_segment(&journal);
	v = verify(&journal, 0, NULL, &s);
	is_not_signed(&v, 4, "one checkpoint is signed once");

	start(&journal);
	add_key(&journal, signer);
	add_checkpoint(&journal);
	sign(&journal, signer, &signature);
	add_signature(&journal, signer, &signature, 4);
	end_segment(&journal);
	v = verify(&journal, 0, NULL, &s);
	is_not_signed(&v, 3, "a checkpoint that is yet to come");

	/* By a key of the forger's. */
	make_journal(&journal, other);
	v = verify(&journal, 0, NULL, &s);
	is_signed(&v, &s, 2, 10, "all is signed by another key");
	ok(memcmp(s.signed_by, other->fingerprint, SDES_DIGEST_SIZE) == 0, "and that is said");
	v = verify(&journal, 0, signer->fingerprint, &s);
	is_not_signed(&v, 7, "which is found out when the right one is known");

	/* Who has signed is told, not who might have. */
	make_journal(&journal, other);
	journal.w =
	    sdes_writer(journal.bytes[1] + journal.sizes[1], SEGMENT_MAX - journal.sizes[1]);
	add_key(&journal, signer);
	end_segment(&journal);
	v = verify(&journal, 0, NULL, &s);
	is_signed(&v, &s, 2, 10, "another key is made known afterwards");
	ok(memcmp(s.signed_by, other->fingerprint, SDES_DIGEST_SIZE) == 0 && s.changes == 0,
	   "and has not signed");
	ok(sdes_signatures_suffice(&s), "without keys that are known nothing more is asked");
	s.npins = 1;
	ok(sdes_signatures_suffice(&s), "a short tail is not signed");
	s.seen += SDES_UNSIGNED_MAX;
	ok(!sdes_signatures_suffice(&s), "a long one should be");
	s.seen -= SDES_UNSIGNED_MAX;
	s.unsigned_since = s.seen;
	ok(sdes_signatures_suffice(&s), "a server that ends days later is no tail");
	s.count = 0;
	ok(!sdes_signatures_suffice(&s), "nothing is signed");

	/* Of another journal. */
	make_journal(&journal, signer);
	start(&journal);
	memset(journal.header.journal, 0x77, sizeof(journal.header.journal));
	add_key(&journal, signer);
	add_checkpoint(&journal);
	sign(&journal, signer, &signature);
	start(&journal);
	add_key(&journal, signer);
	add_checkpoint(&journal);
	add_signature(&journal, signer, &signature, 2);
	end_segment(&journal);
	v = verify(&journal, 0, NULL, &s);
	is_not_signed(&v, 3, "a signature of another journal");
}

static void
test_odd(const Signer *signer, const Signer *other)
{
	Journal journal;
	SdesSignatures s;
	SdesVerify v;

	start(&journal);
	add_checkpoint(&journal);
	add_signed(&journal, signer);
	end_segment(&journal);
	v = verify(&journal, 0, NULL, &s);
	is_signed(&v, &s, 0, 0, "a key that is not made known here is passed over");
	v = verify(&journal, 0, signer->fingerprint, &s);
	is_not_signed(&v, 2, "unless it is to be known");

	start(&journal);
	add_key(&journal, signer);
	for (int i = 0; i < SDES_CHECKPOINTS_MAX + 3; i++)
		add_checkpoint(&journal);
	add_signed(&journal, signer);
	add_key(&journal, other);
	add_checkpoint(&journal);
	add_signed(&journal, other);
	end_segment(&journal);
	v = verify(&journal, 0, NULL, &s);
	is_signed(&v, &s, 2, SDES_CHECKPOINTS_MAX + 7,
	          "checkpoints that were never signed, and a new key");
}

static void
unhex(const char *hex, uint8_t *out)
{
	for (; hex[0] != '\0'; hex += 2)
	{
		unsigned byte;

		if (sscanf(hex, "%2x", &byte) != 1)
			abort();
		*out++ = (uint8_t) byte;
	}
}

/* RFC 6979, appendix A.2.5: P-256, SHA-256, message "sample". */
static void
test_vector(void)
{
	uint8_t point[SDES_P256_POINT_SIZE], signature[SDES_P256_SIGNATURE_SIZE];
	uint8_t digest[SDES_DIGEST_SIZE];
	SdesPublicKey *key;

	unhex("04"
	      "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
	      "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
	      point);
	unhex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
	      "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
	      signature);
	if (EVP_Digest("sample", 6, digest, NULL, EVP_sha256(), NULL) != 1)
		abort();
	ok(sdes_public_key_of_point(SDES_BYTES_OF(point), &key) == SDES_OK &&
	       sdes_public_key_verify(key, digest, SDES_BYTES_OF(signature)) == SDES_OK,
	   "the signature of RFC 6979");
	signature[63] ^= 1;
	ok(sdes_public_key_verify(key, digest, SDES_BYTES_OF(signature)) == SDES_ERR_TAG &&
	       sdes_public_key_verify(key, digest, sdes_bytes(signature, 63)) == SDES_ERR_TAG,
	   "is no other one");
	sdes_public_key_free(key);
	point[64] ^= 1;
	ok(sdes_public_key_of_point(SDES_BYTES_OF(point), &key) == SDES_ERR_FORMAT &&
	       key == NULL,
	   "a point that is not on the curve");
}

int
main(void)
{
	static Signer signer, other;

	test_vector();
	for (int rsa = 0; rsa <= 1; rsa++)
	{
		make_signer(&signer, 0xa1, rsa != 0);
		make_signer(&other, 0xb2, false);
		test_good(&signer, &other);
		test_forged(&signer, &other);
		test_odd(&signer, &other);
		EVP_PKEY_free(signer.key);
		EVP_PKEY_free(other.key);
	}
	return done_testing();
}
