/*
 * startup.c
 *		Opening the token and the one try of its PIN.
 *
 * The order is the point: the token's own warnings and the latch are looked at
 * before the PIN is read, "trying" is durable before C_Login, and the PIN is
 * wiped as C_Login returns.
 */
#include "agent/startup.h"

#include "agent/log.h"

#include <string.h>

static SdesStatus
check_settings(const SdesAgentConfig *config, SdesHsmFault *fault)
{
	if (config->module[0] == '\0')
		return sdes_hsm_fault(fault, SDES_ERR_HSM_UNSET, "no PKCS#11 module is set");
	if (config->token[0] == '\0')
		return sdes_hsm_fault(fault, SDES_ERR_HSM_UNSET, "no token is set");
	return SDES_OK;
}

/*
 * Never the last try. A low count only when an administrator says so, or when
 * it is due to the one wrong PIN that we tried and that was corrected since.
 */
static SdesStatus
check_pin_flags(const SdesStartup *startup, bool corrected, SdesHsmFault *fault)
{
	const SdesHsmTokenInfo *token = &startup->token;

	if (token->pin_locked)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_PIN_LOCKED,
		                      "the token says its PIN is locked");
	if (token->pin_final_try)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_PIN_LOCKED,
		                      "the token says one more wrong PIN would lock it");
	if (token->pin_count_low && !startup->pin_retry && !corrected)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_PIN_LOCKED,
		                      "the token says a wrong PIN was tried since the last login");
	return SDES_OK;
}

static SdesStatus
check_latch(SdesStartup *startup, const char *key, bool *corrected, SdesHsmFault *fault)
{
	const char *directory = startup->config->state_directory;

	*corrected = false;
	if (startup->pin_retry)
		return SDES_OK; /* "trying" will overwrite whatever stands there */
	switch (sdes_latch_read(directory, key))
	{
		case SDES_LATCH_REFUSED:
			return sdes_hsm_fault(fault, SDES_ERR_HSM_PIN,
			                      "the token refused this PIN before; it is not tried "
			                      "again until its source changes");
		case SDES_LATCH_UNREADABLE:
			return sdes_hsm_fault(fault, SDES_ERR_HSM_PIN,
			                      "the file pin_latch in \"%.150s\" cannot be understood, "
			                      "so the PIN is not tried",
			                      directory);
		case SDES_LATCH_CHANGED:
			*corrected = true;
			break;
		case SDES_LATCH_TRYING: /* the token's flags, looked at before, allow it */
		case SDES_LATCH_CLEAR:
			break;
	}
	return SDES_OK;
}

/* Reads the PIN, spends its try, and notes what came of it. */
static SdesStatus
try_pin(SdesStartup *startup, SdesPinSource *source, const char *key, SdesHsmFault *fault)
{
	const char *directory = startup->config->state_directory;
	SdesSecret buffer = {NULL, 0};
	SdesHsmFault ignored;
	SdesBytes pin;
	SdesStatus status = sdes_pin_read(source, &buffer, &pin, fault);

	if (status != SDES_OK)
		return status;
	status = sdes_latch_write(directory, SDES_LATCH_TRYING, key, fault);
	if (status == SDES_OK)
	{
		startup->logins++;
		startup->pin_retry = false;
		/* A later one belongs to an outage, which has its own lines. */
		if (startup->logins == 1)
			sdes_agent_log("logging in to token \"%s\"", startup->token.label);
		status = startup->provider->login(startup->hsm, pin, fault);
		if (status == SDES_ERR_HSM_PIN || status == SDES_ERR_HSM_PIN_LOCKED)
			sdes_latch_write(directory, SDES_LATCH_REFUSED, key, &ignored);
	}
	sdes_secret_free(&buffer);
	if (status == SDES_OK && sdes_latch_remove(directory, &ignored) != SDES_OK)
		sdes_agent_log("%s", ignored.detail); /* stays "trying", which is harmless */
	return status;
}

static SdesStatus
login(SdesStartup *startup, SdesHsmFault *fault)
{
	char key[SDES_LATCH_KEY_SIZE];
	SdesPinSource source;
	SdesStatus status;
	bool corrected;

	if (startup->config->pin_source[0] == '\0')
	{
		if (!startup->token.login_required)
			return SDES_OK;
		return sdes_hsm_fault(fault, SDES_ERR_HSM_UNSET, "no PIN source is set");
	}
	if (startup->config->state_directory[0] == '\0')
		return sdes_hsm_fault(fault, SDES_ERR_HSM_UNSET,
		                      "no state directory is set to keep the PIN latch in");
	sdes_pin_identity(startup->config, startup->pin_identity);
	status = sdes_pin_open(startup->config, &source, fault);
	if (status != SDES_OK)
		return status;
	strcpy(startup->pin_identity, source.identity);
	sdes_latch_key(startup->token.serial, source.identity, key);
	status = check_latch(startup, key, &corrected, fault);
	if (status == SDES_OK)
		status = check_pin_flags(startup, corrected, fault);
	if (status == SDES_OK)
		status = try_pin(startup, &source, key, fault);
	sdes_pin_close(&source);
	return status;
}

SdesStatus
sdes_startup(SdesStartup *startup, SdesHsmFault *fault)
{
	const SdesAgentConfig *config = startup->config;
	SdesHsmTarget target = {config->module, config->init_args, config->token};
	SdesStatus status = check_settings(config, fault);
	SdesHsmTokenInfo again;
	SdesHsmFault ignored;

	startup->hsm = NULL;
	if (status == SDES_OK)
		status = startup->provider->open(&target, &startup->hsm, fault);
	if (status == SDES_OK)
		status = startup->provider->token_info(startup->hsm, &startup->token, fault);
	if (status == SDES_OK)
		status = login(startup, fault);
	if (status == SDES_OK)
		startup->mute =
		    startup->provider->token_info(startup->hsm, &again, &ignored) != SDES_OK;
	else
	{
		startup->provider->close(startup->hsm);
		startup->hsm = NULL;
	}
	return status;
}
