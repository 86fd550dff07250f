/*
 * sdes_errors.c
 *		Status to SQLSTATE, message and hint.
 *
 * Messages name no value, key or PIN. A failed tag has one message, whatever
 * was wrong with the value.
 */
#include "postgres.h"

#include "sdes_errors.h"

typedef struct StatusText
{
	SdesStatus status;
	int sqlstate;
	const char *message;
	const char *hint; /* NULL: none */
} StatusText;

static const StatusText texts[] = {
    {SDES_ERR_MEMORY, ERRCODE_OUT_OF_MEMORY, "out of memory for an encryption key", NULL},
    {SDES_ERR_LOCKED_MEMORY, ERRCODE_INSUFFICIENT_RESOURCES,
     "cannot get locked memory for an encryption key",
     "Raise the server's limit of locked memory (ulimit -l, LimitMEMLOCK in systemd)."},
    {SDES_ERR_CRYPTO, ERRCODE_INTERNAL_ERROR, "cryptographic library failed", NULL},
    {SDES_ERR_RANDOM, ERRCODE_INTERNAL_ERROR, "could not get random bytes", NULL},
    {SDES_ERR_TOO_LONG, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "value is too long to be encrypted",
     NULL},
    {SDES_ERR_FORMAT, ERRCODE_DATA_CORRUPTED, "encrypted value is malformed", NULL},
    {SDES_ERR_SUITE, ERRCODE_FEATURE_NOT_SUPPORTED,
     "encrypted value has a format that this version of sdes does not know",
     "It may have been written by a newer version."},
    {SDES_ERR_TAG, ERRCODE_DATA_CORRUPTED, "encrypted value failed authentication",
     "It was damaged, or sealed for another type or bucket. Restore it from a backup."},
    {SDES_ERR_COMMITMENT, ERRCODE_DATA_CORRUPTED,
     "encryption key does not match its row in sdes.dek",
     "The row was changed by hand or damaged. Restore it from a backup."},

    {SDES_ERR_AGENT_ABSENT, ERRCODE_SYSTEM_ERROR, "key agent is not running",
     "The server starts its own agent by itself; one that is a service of its own "
     "(sdes.agent_socket) must be started. See sdes.health() and the server log."},
    {SDES_ERR_AGENT_LOST, ERRCODE_SYSTEM_ERROR, "lost the connection to the key agent",
     "The server starts it again by itself; try again."},
    {SDES_ERR_AGENT_PROTOCOL, ERRCODE_SYSTEM_ERROR,
     "key agent does not speak this version's protocol",
     "Install sdes and its agent from the same build, and restart the server."},
    {SDES_ERR_AGENT_REFUSED, ERRCODE_SYSTEM_ERROR, "key agent refused the connection",
     "If the agent is a service of its own, the server's user must be in the group of its "
     "socket; else see the server log."},
    {SDES_ERR_AGENT_TIMEOUT, ERRCODE_SYSTEM_ERROR, "key agent did not answer in time",
     "See SELECT * FROM sdes.health() and the server log."},

    {SDES_ERR_HSM_STARTING, ERRCODE_SYSTEM_ERROR, "HSM is not ready yet", "Try again."},
    {SDES_ERR_HSM_UNSET, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "no HSM is configured",
     "Set sdes.pkcs11_module, sdes.pkcs11_token and sdes.pin_source in postgresql.conf and "
     "reload."},
    {SDES_ERR_HSM_MODULE, ERRCODE_SYSTEM_ERROR, "PKCS#11 module cannot be used",
     "Check sdes.pkcs11_module and sdes.pkcs11_init_args. A module that loads but does not "
     "start may lack its own configuration (SoftHSM2: SOFTHSM2_CONF in the server's "
     "environment, then a restart), or the right to read its files as the server's user."},
    {SDES_ERR_HSM_TOKEN, ERRCODE_SYSTEM_ERROR, "HSM token cannot be used",
     "Exactly one token must match sdes.pkcs11_token."},
    {SDES_ERR_HSM_PIN_SOURCE, ERRCODE_SYSTEM_ERROR, "PIN of the HSM token cannot be read",
     "Check sdes.pin_source. A file must belong to the server's user with mode 0600, or to "
     "root "
     "with mode 0640, and lie outside the data directory."},
    {SDES_ERR_HSM_PIN, ERRCODE_SYSTEM_ERROR, "HSM token refused the PIN",
     "It is not tried again, so that the token is not locked. Correct the PIN at its "
     "source; "
     "for a command, then run SELECT sdes.retry_pin()."},
    {SDES_ERR_HSM_PIN_LOCKED, ERRCODE_SYSTEM_ERROR,
     "PIN of the HSM token is locked or close to it",
     "If it is not locked and the PIN at its source is right now, run SELECT "
     "sdes.retry_pin(); else the token's security officer must reset it first."},
    {SDES_ERR_HSM_MECHANISM, ERRCODE_FEATURE_NOT_SUPPORTED,
     "HSM token lacks a mechanism that sdes needs", NULL},
    {SDES_ERR_HSM_KEY_MISSING, ERRCODE_UNDEFINED_OBJECT,
     "key encryption key is not in the HSM token",
     "Configure the token that holds it, or restore the key there."},
    {SDES_ERR_HSM_KEY_AMBIGUOUS, ERRCODE_DUPLICATE_OBJECT,
     "more than one key in the HSM token has the id of the key encryption key",
     "Remove the object that sdes did not make."},
    {SDES_ERR_HSM_KEY_UNSAFE, ERRCODE_SYSTEM_ERROR,
     "key encryption key in the HSM token lacks protection",
     "The token must keep it sensitive and non-extractable."},
    {SDES_ERR_HSM_TIMEOUT, ERRCODE_SYSTEM_ERROR, "HSM did not answer in time",
     "See SELECT * FROM sdes.health() and the server log."},
    {SDES_ERR_HSM, ERRCODE_SYSTEM_ERROR, "HSM reported an error",
     "The key agent tries it again by itself, every few seconds. If it stays away, look at "
     "the HSM and the way to it; SELECT * FROM sdes.health() tells how it is."},
};

static const StatusText *
find_text(SdesStatus status)
{
	for (size_t i = 0; i < lengthof(texts); i++)
		if (texts[i].status == status)
			return &texts[i];
	return NULL;
}

const char *
sdes_status_hint(SdesStatus status)
{
	const StatusText *text = find_text(status);

	return text ? text->hint : NULL;
}

void
sdes_report(int elevel, SdesStatus status, const char *detail)
{
	const StatusText *text = find_text(status);

	if (text == NULL)
		elog(ERROR, "unexpected sdes status %d (%s)", (int) status,
		     sdes_status_name(status));
	ereport(elevel, (errcode(text->sqlstate), errmsg_internal("%s", text->message),
	                 detail && detail[0] ? errdetail_internal("%s", detail) : 0,
	                 text->hint ? errhint("%s", text->hint) : 0, SDES_KEEP_OUT_OF_LOG));
}

void
sdes_check(SdesStatus status)
{
	if (status != SDES_OK)
		sdes_report(ERROR, status, NULL);
}

void
sdes_refuse_nulls(FunctionCallInfo fcinfo, const char *const *names)
{
	for (int i = 0; i < PG_NARGS(); i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			                errmsg("argument \"%s\" must not be null", names[i])));
}
