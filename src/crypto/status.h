/*
 * status.h
 *		What can come of a call below the waterline.
 *
 * Nothing below the waterline throws: each function returns one of these, and
 * sdes_errors.c, the only place that knows both worlds, turns it into a
 * SQLSTATE, a message and a hint. A status never carries data, so that it
 * cannot carry a secret.
 *
 * The numbers travel in the agent's replies: append only.
 */
#ifndef SDES_STATUS_H
#define SDES_STATUS_H

typedef enum SdesStatus
{
	SDES_OK = 0,

	/* crypto and envelope */
	SDES_ERR_MEMORY = 1,        /* no memory */
	SDES_ERR_LOCKED_MEMORY = 2, /* no locked memory: RLIMIT_MEMLOCK is too low */
	SDES_ERR_CRYPTO = 3,        /* OpenSSL failed where it cannot fail */
	SDES_ERR_RANDOM = 4,        /* no random bytes */
	SDES_ERR_TOO_LONG = 5,      /* a value is longer than the format allows */
	SDES_ERR_FORMAT = 6,        /* not a canonical envelope, armor or message */
	SDES_ERR_SUITE = 7,         /* a suite or flag this version does not know */
	SDES_ERR_TAG = 8,           /* authentication failed */
	SDES_ERR_COMMITMENT = 9,    /* a key is not the one its row commits to */

	/* on the way to the agent */
	SDES_ERR_AGENT_ABSENT = 20,   /* nobody listens on the agent's socket */
	SDES_ERR_AGENT_LOST = 21,     /* the agent went away in mid-request */
	SDES_ERR_AGENT_PROTOCOL = 22, /* another version, or not our agent */
	SDES_ERR_AGENT_REFUSED = 23,  /* wrong secret or peer */
	SDES_ERR_AGENT_TIMEOUT = 24,  /* no answer within the deadline */

	/* in the agent and the HSM */
	SDES_ERR_HSM_STARTING = 40,    /* not logged in yet */
	SDES_ERR_HSM_UNSET = 41,       /* module, token or PIN source is not set */
	SDES_ERR_HSM_MODULE = 42,      /* module cannot be loaded or initialised */
	SDES_ERR_HSM_TOKEN = 43,       /* no token, or more than one, matches the URI */
	SDES_ERR_HSM_PIN_SOURCE = 44,  /* the PIN source is missing or unsafe */
	SDES_ERR_HSM_PIN = 45,         /* the token refused the PIN; not tried again */
	SDES_ERR_HSM_PIN_LOCKED = 46,  /* the token reports its PIN locked or one try from it */
	SDES_ERR_HSM_MECHANISM = 47,   /* the token lacks a mechanism we need */
	SDES_ERR_HSM_KEY_MISSING = 48, /* no key with this id in the token */
	SDES_ERR_HSM_KEY_AMBIGUOUS = 49, /* two keys with this id */
	SDES_ERR_HSM_KEY_UNSAFE = 50,    /* a key's attributes are not what they must be */
	SDES_ERR_HSM_TIMEOUT = 51,       /* the module did not return within its deadline */
	SDES_ERR_HSM = 52                /* any other CKR: the reply holds the code */
} SdesStatus;

/*
 * A short English name of a status for logs and tests: a static string, never
 * NULL, "unknown status" for a number that is none.
 */
extern const char *sdes_status_name(SdesStatus status);

#endif
