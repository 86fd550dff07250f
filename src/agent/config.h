/*
 * config.h
 *		The agent's settings: their names, their syntax, their text form.
 *
 * Both sides use this file: the server's check hooks, which check syntax only
 * (a hook that looked for a file would make the setting silently empty at the
 * next start), and the agent, which reads the settings as "name = value"
 * lines, from its own file when it is a service, from its standard input when
 * the supervisor starts it. A line that is empty ends the settings there.
 */
#ifndef SDES_AGENT_CONFIG_H
#define SDES_AGENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SDES_CONFIG_VALUE_SIZE 1024 /* of a value, with its zero */
#define SDES_AGENT_SECRET_SIZE 32
#define SDES_MAX_TOKENS        4 /* of a server, each with an agent of its own */

typedef struct SdesAgentConfig
{
	char module[SDES_CONFIG_VALUE_SIZE];     /* absolute path */
	char init_args[SDES_CONFIG_VALUE_SIZE];  /* pReserved of C_Initialize */
	char token[SDES_CONFIG_VALUE_SIZE];      /* PKCS#11 URI, RFC 7512 */
	char pin_source[SDES_CONFIG_VALUE_SIZE]; /* file:/path, |command, credential:name */
	char socket[SDES_CONFIG_VALUE_SIZE];     /* at most 107 bytes, see unix(7) */
	char state_directory[SDES_CONFIG_VALUE_SIZE];     /* for the PIN latch */
	char forbidden_directory[SDES_CONFIG_VALUE_SIZE]; /* no PIN file below it */
	bool has_secret; /* clients must show it; set by the supervisor only */
	uint8_t secret[SDES_AGENT_SECRET_SIZE];
} SdesAgentConfig;

/*
 * Syntax checks. An empty value (not set) is fine. On failure they return
 * false and point *why to a static string that completes the sentence
 * "The value must ...". They never look at the file system.
 */
extern bool sdes_config_check_module(const char *value, const char **why);
extern bool sdes_config_check_init_args(const char *value, const char **why);
extern bool sdes_config_check_token(const char *value, const char **why);
extern bool sdes_config_check_pin_source(const char *value, const char **why);
extern bool sdes_config_check_socket(const char *value, const char **why);

/*
 * The server's settings for several tokens, in failover order: PKCS#11 URIs, or sockets
 * of agents that are services, separated by blanks. A URI here may carry
 * "?module-path=...&pin-source=...".
 */
extern bool sdes_config_check_tokens(const char *list, const char **why);
extern bool sdes_config_check_sockets(const char *list, const char **why);

extern int sdes_config_count(const char *list);

/* Item number 0, 1 ... of a list; false when there is none, or no room for it. */
extern bool sdes_config_item(const char *list, int number, char *out, size_t room);

/*
 * Makes config's token that of a list which passed its check, empty when there is no
 * such item. The URI's own module, which then has no init_args, and PIN source take
 * the place of config's.
 */
extern void sdes_config_take_token(const char *list, int number, SdesAgentConfig *config);

/*
 * Sets one setting from a "name = value" line. False, with *why set as above,
 * when the name is unknown or the value's syntax is wrong. Lines that begin
 * with '#' are comments.
 */
extern bool sdes_config_set_line(SdesAgentConfig *config, const char *line,
                                 const char **why);

/*
 * Writes the settings as lines, with the empty line at the end. Returns the
 * length, or 0 when size is too small or a value cannot stand in a line. The
 * text holds the secret if there is one: out is locked memory then.
 */
extern size_t sdes_config_print(const SdesAgentConfig *config, char *out, size_t size);

#endif
