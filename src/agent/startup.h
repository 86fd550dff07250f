/*
 * startup.h
 *		From nothing to a logged-in token: module, token, PIN, latch, login.
 *
 * Runs in the manager thread only. Whatever happens, a PIN is tried once: see
 * latch.h.
 */
#ifndef SDES_AGENT_STARTUP_H
#define SDES_AGENT_STARTUP_H

#include "agent/latch.h"

typedef struct SdesStartup
{
	const SdesAgentConfig *config;
	const SdesHsmProvider *provider;

	/*
	 * An administrator says the PIN is right: forget a refusal, and log in in
	 * spite of a low PIN count. Cleared once a login was tried.
	 */
	bool pin_retry;

	/* results */
	SdesHsm *hsm; /* NULL unless SDES_OK */
	SdesHsmTokenInfo token;
	bool mute;       /* logged in, it does not describe itself any more; see ops.h */
	uint32_t logins; /* C_Login calls, counted up */
	char pin_identity[SDES_PIN_IDENTITY_SIZE]; /* of the source last looked at */
} SdesStartup;

/* SDES_OK with the token open and logged in, else nothing open. */
extern SdesStatus sdes_startup(SdesStartup *startup, SdesHsmFault *fault);

#endif
