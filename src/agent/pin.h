/*
 * pin.h
 *		Where the PIN comes from: a file, a systemd credential or a command.
 *
 * The source is opened and checked first, and read only when a login is really
 * about to happen. Its identity tells one PIN from the next without the PIN:
 * for a file its path, place and times, for a command the command.
 */
#ifndef SDES_AGENT_PIN_H
#define SDES_AGENT_PIN_H

#include "agent/config.h"
#include "hsm/provider.h"

#define SDES_PIN_MAX           255 /* bytes */
#define SDES_PIN_IDENTITY_SIZE 1536
#define SDES_PIN_COMMAND_MS    5000

typedef struct SdesPinSource
{
	int fd;              /* -1 for a command */
	const char *command; /* borrows from the configuration; NULL for a file */
	char path[SDES_CONFIG_VALUE_SIZE];
	char identity[SDES_PIN_IDENTITY_SIZE]; /* one line */
} SdesPinSource;

/* SDES_ERR_HSM_PIN_SOURCE unless the source is there and nobody else can change it. */
extern SdesStatus sdes_pin_open(const SdesAgentConfig *config, SdesPinSource *out,
                                SdesHsmFault *fault);

/*
 * Reads the PIN into *buffer, which the caller frees as soon as it can; *pin
 * is the part of it that is the PIN.
 */
extern SdesStatus sdes_pin_read(SdesPinSource *source, SdesSecret *buffer, SdesBytes *pin,
                                SdesHsmFault *fault);

extern void sdes_pin_close(SdesPinSource *source);

/*
 * The identity the source would have if it were opened now; empty when it is
 * not there. Looks, but opens nothing.
 */
extern void sdes_pin_identity(const SdesAgentConfig *config,
                              char out[SDES_PIN_IDENTITY_SIZE]);

/* pin_command.c: what the command prints, at most size bytes; *used is set. */
extern SdesStatus sdes_pin_command(const char *command, uint8_t *out, size_t size,
                                   size_t *used, SdesHsmFault *fault);

#endif
