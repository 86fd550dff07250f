/*
 * protocol.h
 *		What backends and the agent say to each other.
 *
 * A Unix stream socket carries messages: a 4-byte big-endian length of what
 * follows (at most SDES_MESSAGE_MAX), then the body. The first message on a
 * connection is HELLO with the protocol version and the secret that the
 * supervisor drew for this start of the agent; the agent answers it like any
 * request. After that, requests are answered one at a time, in order.
 *
 * The codec is strict on both sides: a body with anything missing, left over
 * or unknown is SDES_ERR_FORMAT and ends the connection. Encoded requests and
 * replies may hold a secret or a DEK, so they are built and read in locked
 * memory (client.c, clients.c). Those that hold values are too large for that:
 * they go through ordinary memory, taken for one message and wiped after it.
 */
#ifndef SDES_PROTOCOL_H
#define SDES_PROTOCOL_H

#include "agent/config.h"
#include "envelope/dek.h"

#define SDES_PROTOCOL_VERSION 4
#define SDES_MESSAGE_MAX      4096  /* of a body without values */
#define SDES_VALUES_MAX       65536 /* of a request's body with values: SEAL, OPEN */
#define SDES_RESULTS_MAX      (2 * SDES_VALUES_MAX) /* of the body of its reply */
#define SDES_VALUE_MAX        32768 /* of one value sealed in the token: its plaintext */
#define SDES_VALUE_CHECK_SIZE 8     /* sealed along with a value, see batch.c */
#define SDES_VALUE_OVERHEAD   (28 + SDES_VALUE_CHECK_SIZE) /* sealed - plaintext */
#define SDES_WRAPPED_MAX      1024                         /* of a wrapped DEK */
#define SDES_LABEL_MAX        200                          /* of a key's label, UTF-8 */
#define SDES_DETAIL_MAX       300                          /* of a reply's text */
#define SDES_KEK_LIST_MAX     200                          /* ids in one KEK_LIST reply */

typedef enum SdesAgentOp
{
	SDES_OP_HELLO = 1,
	SDES_OP_STATUS = 2,      /* state of the agent, never waits for the module */
	SDES_OP_KEK_CREATE = 3,  /* generate a KEK with a random id, read back, round trip */
	SDES_OP_KEK_CHECK = 4,   /* find it, read its attributes back, round trip */
	SDES_OP_KEK_DESTROY = 5, /* destroy it; a missing one is SDES_ERR_HSM_KEY_MISSING */
	SDES_OP_KEK_LIST = 6,    /* ids of KEKs whose label begins with a prefix, after an id */
	SDES_OP_DEK_CREATE = 7,  /* draw a DEK, wrap it, return blob and commitment */
	SDES_OP_DEK_UNWRAP = 8,  /* return the DEK of a blob */
	SDES_OP_PIN_RETRY = 9, /* forget a refused PIN: an administrator says it is right now */
	SDES_OP_SEAL = 10,     /* seal values inside the token, under a key that stays there */
	SDES_OP_OPEN = 11,     /* open them there */
	SDES_OP_DEK_WRAP = 12, /* wrap a DEK that was unwrapped, return blob and commitment */
	SDES_OP_PUBLIC_KEY = 13, /* of an RSA key, or of one on P-256 */
	SDES_OP_SIGN = 14        /* sign a digest with a key that only signs */
} SdesAgentOp;

typedef enum SdesAgentState
{
	SDES_AGENT_STARTING = 0, /* the module is being loaded, or the login runs */
	SDES_AGENT_READY = 1,    /* logged in */
	SDES_AGENT_FAILED = 2    /* see the status; requests fail at once with it */
} SdesAgentState;

/* Numbers of SdesHsmKekKind, for those who may not include the HSM's room. */
typedef enum SdesKekKind
{
	SDES_KEK_AES_256 = 1,
	SDES_KEK_RSA_4096 = 2,
	SDES_KEK_RSA_4096_SIGN = 3, /* wraps nothing: a site signs with it what it gives away */
	SDES_KEK_P256_SIGN = 4      /* nor does this: the audit's checkpoints */
} SdesKekKind;

#define SDES_SIGN_DIGEST_SIZE 32  /* SHA-256 */
#define SDES_RSA_4096_SIZE    512 /* of its modulus, and of a signature */

/* A request. Only the fields its op names below are sent. */
typedef struct SdesRequest
{
	SdesAgentOp op;
	uint16_t version;                       /* HELLO */
	uint8_t secret[SDES_AGENT_SECRET_SIZE]; /* HELLO */
	char label[SDES_LABEL_MAX + 1];         /* KEK_CREATE; KEK_LIST: the prefix */
	/* KEK_CHECK, _DESTROY, PUBLIC_KEY, SIGN; KEK_LIST: after this id */
	uint8_t kek_id[SDES_KEK_ID_SIZE];
	uint8_t digest[SDES_SIGN_DIGEST_SIZE]; /* SIGN */
	SdesDekBinding binding;                /* DEK_* (kek_id is in it) */
	SdesBytes dek;                         /* DEK_WRAP: SDES_DEK_SIZE bytes; borrows */
	size_t wrapped_size;                   /* DEK_UNWRAP */
	uint8_t wrapped[SDES_WRAPPED_MAX];     /* DEK_UNWRAP */
	uint8_t kind;                          /* KEK_CREATE: SdesKekKind */
	bool seals;       /* KEK_CREATE: values will be sealed under it, so GCM is a must */
	uint16_t nvalues; /* SEAL, OPEN */
	SdesBytes values; /* SEAL, OPEN: see sdes_value_write(); borrows */
} SdesRequest;

/* STATUS, and what sdes.health() tells of it. */
typedef struct SdesAgentInfo
{
	uint8_t state;        /* SdesAgentState */
	uint16_t status;      /* SdesStatus: why it is FAILED */
	uint32_t pid;         /* of the agent */
	uint32_t logins;      /* C_Login calls since this agent started */
	uint32_t seconds;     /* in this state */
	uint32_t failures;    /* of the HSM in a row, 0 when the last request went well */
	char module[128];     /* CK_INFO libraryDescription and version */
	char token_label[33]; /* CK_TOKEN_INFO, blanks trimmed */
	char token_serial[17];
	char token_model[17];
	char detail[SDES_DETAIL_MAX + 1]; /* the last failure in words */
} SdesAgentInfo;

typedef struct SdesReply
{
	SdesAgentOp op;    /* of the request; only its fields below are sent */
	SdesStatus status; /* unless SDES_OK, nothing but ckr and detail follows */
	uint32_t ckr;      /* the module's CK_RV, 0 when none is meant */
	char detail[SDES_DETAIL_MAX + 1]; /* for people; no secret, PIN or value */
	SdesAgentInfo info;               /* STATUS */
	uint8_t kek_id[SDES_KEK_ID_SIZE]; /* KEK_CREATE */
	char mechanism[32];               /* KEK_CREATE, KEK_CHECK: "AES-GCM" */
	uint16_t nkeks;                   /* KEK_LIST, ascending */
	uint8_t keks[SDES_KEK_LIST_MAX][SDES_KEK_ID_SIZE];
	size_t wrapped_size;                      /* DEK_CREATE, DEK_WRAP */
	uint8_t wrapped[SDES_WRAPPED_MAX];        /* DEK_CREATE, DEK_WRAP */
	uint8_t commitment[SDES_COMMITMENT_SIZE]; /* DEK_CREATE, DEK_WRAP */
	SdesBytes dek; /* DEK_UNWRAP: SDES_DEK_SIZE bytes; borrows from the message body */
	/*
	 * PUBLIC_KEY: the modulus, SDES_RSA_4096_SIZE bytes, or the point, 65 bytes (SEC 1,
	 * section 2.3.3). SIGN: the signature, of an RSA key as long as the modulus, on P-256
	 * r || s, 64 bytes.
	 */
	size_t public_size;
	uint8_t public[SDES_RSA_4096_SIZE];
	uint16_t nresults; /* SEAL, OPEN: as many as values were sent, in their order */
	SdesBytes results; /* SEAL, OPEN: see sdes_result_read(); borrows */
} SdesReply;

/*
 * Encode the body (without the length). SDES_ERR_TOO_LONG when it does not fit
 * into size; *used is set on success. A dek is read from where it points to.
 */
extern SdesStatus sdes_request_encode(const SdesRequest *request, uint8_t *out, size_t size,
                                      size_t *used);
extern SdesStatus sdes_reply_encode(const SdesReply *reply, uint8_t *out, size_t size,
                                    size_t *used);

/* Whether the messages of an op carry values. */
extern bool sdes_op_has_values(SdesAgentOp op);

/*
 * The values of SEAL and OPEN, one after the other. A value is what it is bound
 * to (aad, at most 255 bytes) and data: the plaintext for SEAL, and for OPEN
 * what SEAL answered (nonce, ciphertext, tag), SDES_VALUE_OVERHEAD bytes longer.
 * A batch that fits as a request fits as a reply when each of its values has 16
 * bytes of aad or more; another may be refused whole, as SDES_ERR_TOO_LONG.
 */
extern void sdes_value_write(SdesWriter *w, SdesBytes aad, SdesBytes data);
extern void sdes_value_read(SdesReader *r, SdesBytes *aad, SdesBytes *data);

/* Each has a status of its own; data is empty unless that is SDES_OK. */
extern void sdes_result_write(SdesWriter *w, SdesStatus status, SdesBytes data);
extern SdesStatus sdes_result_read(SdesReader *r, SdesBytes *data);

/* Decode a whole body; SDES_ERR_FORMAT unless it is canonical. */
extern SdesStatus sdes_request_decode(SdesBytes body, SdesRequest *out);
extern SdesStatus sdes_reply_decode(SdesBytes body, SdesAgentOp op, SdesReply *out);

#endif
