/*
 * status.c
 *		Names of the statuses, for logs and tests.
 *
 * The switch has no default, so that the compiler points at a status that was
 * added without a name.
 */
#include "crypto/status.h"

const char *
sdes_status_name(SdesStatus status)
{
	switch (status)
	{
		case SDES_OK:
			return "ok";
		case SDES_ERR_MEMORY:
			return "out of memory";
		case SDES_ERR_LOCKED_MEMORY:
			return "out of locked memory";
		case SDES_ERR_CRYPTO:
			return "cryptographic library failure";
		case SDES_ERR_RANDOM:
			return "no random bytes";
		case SDES_ERR_TOO_LONG:
			return "too long";
		case SDES_ERR_FORMAT:
			return "malformed";
		case SDES_ERR_SUITE:
			return "unknown suite or flag";
		case SDES_ERR_TAG:
			return "authentication failed";
		case SDES_ERR_COMMITMENT:
			return "key commitment mismatch";
		case SDES_ERR_AGENT_ABSENT:
			return "agent absent";
		case SDES_ERR_AGENT_LOST:
			return "agent lost";
		case SDES_ERR_AGENT_PROTOCOL:
			return "agent protocol mismatch";
		case SDES_ERR_AGENT_REFUSED:
			return "agent refused";
		case SDES_ERR_AGENT_TIMEOUT:
			return "agent timeout";
		case SDES_ERR_HSM_STARTING:
			return "hsm starting";
		case SDES_ERR_HSM_UNSET:
			return "hsm not configured";
		case SDES_ERR_HSM_MODULE:
			return "hsm module unusable";
		case SDES_ERR_HSM_TOKEN:
			return "hsm token not found or ambiguous";
		case SDES_ERR_HSM_PIN_SOURCE:
			return "hsm pin source missing or unsafe";
		case SDES_ERR_HSM_PIN:
			return "hsm pin refused";
		case SDES_ERR_HSM_PIN_LOCKED:
			return "hsm pin locked or nearly locked";
		case SDES_ERR_HSM_MECHANISM:
			return "hsm mechanism missing";
		case SDES_ERR_HSM_KEY_MISSING:
			return "hsm key missing";
		case SDES_ERR_HSM_KEY_AMBIGUOUS:
			return "hsm key ambiguous";
		case SDES_ERR_HSM_KEY_UNSAFE:
			return "hsm key unsafe";
		case SDES_ERR_HSM_TIMEOUT:
			return "hsm timeout";
		case SDES_ERR_HSM:
			return "hsm error";
	}
	return "unknown status";
}
