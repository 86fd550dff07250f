/*
 * sdes_guc.c
 *		The settings.
 *
 * Check hooks look at syntax only: one that looked for a file would make the
 * setting silently empty at the next start. Whether a module, token or PIN is
 * there is for the agent to find out and for sdes.health() to tell.
 *
 * Where the keys are is the host administrator's business, so those settings
 * can't be changed by ALTER SYSTEM, that is, through SQL.
 */
#include "postgres.h"

#include "agent/config.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "utils/guc.h"

char *sdes_pkcs11_module;
char *sdes_pkcs11_init_args;
char *sdes_pkcs11_token;
char *sdes_pin_source;
char *sdes_agent_socket;
char *sdes_crypto_provider;
bool sdes_accept_ciphertext;
bool sdes_redact;
int sdes_key_cache_ttl;
int sdes_key_cache_max_age;
int sdes_rotation_batch_rows;
double sdes_rotation_share;
int sdes_rotation_max_lag;
int sdes_rotation_naptime;
char *sdes_audit_directory;
char *sdes_audit_mirror;
int sdes_audit_timeout;
int sdes_audit_retention;
static char *rotation_window;

#define WEEK_S  (7 * 24 * 60 * 60)
#define DAY_MIN (24 * 60)

static bool preloaded = false;

typedef bool (*SyntaxCheck)(const char *value, const char **why);

/* The message does not repeat the value: somebody may have put a PIN into it. */
static bool
check_syntax(const char *name, const char *value, SyntaxCheck check)
{
	const char *why = NULL;

	if (value == NULL || check(value, &why))
		return true;
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errmsg("invalid value for parameter \"%s\"", name);
	GUC_check_errdetail("The value must %s.", why);
	return false;
}

static bool
check_module(char **newval, void **extra, GucSource source)
{
	return check_syntax("sdes.pkcs11_module", *newval, sdes_config_check_module);
}

static bool
check_init_args(char **newval, void **extra, GucSource source)
{
	return check_syntax("sdes.pkcs11_init_args", *newval, sdes_config_check_init_args);
}

static bool
check_token(char **newval, void **extra, GucSource source)
{
	return check_syntax("sdes.pkcs11_token", *newval, sdes_config_check_tokens);
}

static bool
check_pin_source(char **newval, void **extra, GucSource source)
{
	return check_syntax("sdes.pin_source", *newval, sdes_config_check_pin_source);
}

static bool
check_socket(char **newval, void **extra, GucSource source)
{
	return check_syntax("sdes.agent_socket", *newval, sdes_config_check_sockets);
}

/* "22:00-06:30"; false for anything else. */
static bool
parse_window(const char *value, int *from, int *to)
{
	int hours[2], minutes[2], length = 0;

	if (sscanf(value, "%2d:%2d-%2d:%2d%n", &hours[0], &minutes[0], &hours[1], &minutes[1],
	           &length) != 4 ||
	    value[length] != '\0')
		return false;
	for (int i = 0; i < 2; i++)
		if (hours[i] < 0 || hours[i] > 23 || minutes[i] < 0 || minutes[i] > 59)
			return false;
	*from = hours[0] * 60 + minutes[0];
	*to = hours[1] * 60 + minutes[1];
	return *from != *to;
}

static bool
check_window(char **newval, void **extra, GucSource source)
{
	int from, to;

	if (*newval == NULL || **newval == '\0' || parse_window(*newval, &from, &to))
		return true;
	GUC_check_errdetail(
	    "It must be two times of the day, as in \"22:00-06:30\", or empty.");
	return false;
}

bool
sdes_rotation_window_minutes(int *from, int *to)
{
	return rotation_window[0] != '\0' && parse_window(rotation_window, from, to);
}

/*
 * For a session, by whoever restores in it. Set for a role, a database or the
 * server it would let applications take ciphertext in.
 */
static bool
check_accept_ciphertext(bool *newval, void **extra, GucSource source)
{
	if (!*newval || source <= PGC_S_DYNAMIC_DEFAULT || source == PGC_S_CLIENT ||
	    source == PGC_S_OVERRIDE || source == PGC_S_SESSION)
		return true;
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errmsg("\"sdes.accept_ciphertext\" can only be set in a session");
	return false;
}

static void
define_hsm_setting(const char *name, const char *what, const char *more, char **value,
                   GucStringCheckHook check)
{
	DefineCustomStringVariable(name, what, more, value, "", PGC_SIGHUP,
	                           GUC_SUPERUSER_ONLY | GUC_DISALLOW_IN_AUTO_FILE, check, NULL,
	                           NULL);
}

static void
define_rotation_settings(void)
{
	DefineCustomIntVariable(
	    "sdes.rotation_batch_rows", "Rows that are re-encrypted in one transaction.",
	    "So many row locks are held at once, and those of the same page.",
	    &sdes_rotation_batch_rows, 1000, 1, 100000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomRealVariable(
	    "sdes.rotation_share", "Percent of the time that a rotation worker works.",
	    "After each batch it rests so long that this is its share; the "
	    "longer batches take on a busy server, the longer it rests.",
	    &sdes_rotation_share, 0.5, 0.1, 100, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("sdes.rotation_window",
	                           "Hours in which values are re-encrypted, as in "
	                           "\"22:00-06:30\".",
	                           "In the time zone of the server log. Empty: at any time.",
	                           &rotation_window, "", PGC_SIGHUP, 0, check_window, NULL,
	                           NULL);
	DefineCustomIntVariable("sdes.rotation_max_lag",
	                        "Re-encryption waits while a replica is further behind.",
	                        "-1 for no limit.", &sdes_rotation_max_lag, 256, -1, INT_MAX,
	                        PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomIntVariable("sdes.rotation_naptime",
	                        "How often each database is looked at for keys that are due.",
	                        NULL, &sdes_rotation_naptime, 60, 1, 86400, PGC_SIGHUP,
	                        GUC_UNIT_S, NULL, NULL, NULL);
}

static bool
check_directory(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0' || **newval == '/')
		return true;
	GUC_check_errdetail("It must be an absolute path, or empty.");
	return false;
}

static void
define_audit_settings(void)
{
	DefineCustomStringVariable(
	    "sdes.audit_directory", "Folder of the audit journal.",
	    "Outside the data directory. Empty: beside it, with \".audit\" after its name.",
	    &sdes_audit_directory, "", PGC_POSTMASTER,
	    GUC_SUPERUSER_ONLY | GUC_DISALLOW_IN_AUTO_FILE, check_directory, NULL, NULL);
	DefineCustomStringVariable(
	    "sdes.audit_mirror", "Folder in which the audit journal is once more.",
	    "On another disk. Within about a second; statements do not wait for it.",
	    &sdes_audit_mirror, "", PGC_POSTMASTER,
	    GUC_SUPERUSER_ONLY | GUC_DISALLOW_IN_AUTO_FILE, check_directory, NULL, NULL);
	DefineCustomIntVariable("sdes.audit_timeout",
	                        "Longest that a statement waits for its audit record.",
	                        "It fails then, and no value is opened.", &sdes_audit_timeout,
	                        5000, 100, 600000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("sdes.audit_retention", "How long sdes.audit_log is kept.",
	                        "Whole months go; the audit journal stays as it is.",
	                        &sdes_audit_retention, 366 * DAY_MIN, DAY_MIN, 36525 * DAY_MIN,
	                        PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

static void
define_start_settings(void)
{
	DefineCustomStringVariable(
	    "sdes.agent_socket", "Sockets of key agents that run as services of their own.",
	    "Empty: the server starts and supervises its own agent.", &sdes_agent_socket, "",
	    PGC_POSTMASTER, GUC_SUPERUSER_ONLY | GUC_DISALLOW_IN_AUTO_FILE, check_socket, NULL,
	    NULL);
	/* No check hook: a value that it refused would be passed over with a warning. */
	DefineCustomStringVariable(
	    "sdes.crypto_provider", "Whose AES-256-GCM and HMAC-SHA-256 sessions use.",
	    "openssl, nettle or ipsec-mb; auto: the fastest on this processor, OpenSSL where "
	    "that is in FIPS mode.",
	    &sdes_crypto_provider, "auto", PGC_POSTMASTER, GUC_DISALLOW_IN_AUTO_FILE, NULL,
	    NULL, NULL);
}

static void
define_cache_setting(const char *name, const char *what, const char *more, int *value,
                     int seconds)
{
	DefineCustomIntVariable(name, what, more, value, seconds, 1, WEEK_S, PGC_SIGHUP,
	                        GUC_UNIT_S, NULL, NULL, NULL);
}

void
sdes_guc_init(void)
{
	preloaded = process_shared_preload_libraries_in_progress;

	define_hsm_setting("sdes.pkcs11_module", "Path of the HSM's PKCS#11 module.",
	                   "The key agent loads it; the server never does.",
	                   &sdes_pkcs11_module, check_module);
	define_hsm_setting(
	    "sdes.pkcs11_init_args", "Initialization string for the PKCS#11 module.",
	    "Passed as pReserved of C_Initialize; NSS needs it, most modules do not.",
	    &sdes_pkcs11_init_args, check_init_args);
	define_hsm_setting("sdes.pkcs11_token",
	                   "PKCS#11 URIs (RFC 7512) of the tokens, in failover order.",
	                   "For example pkcs11:token=sdes;serial=0123. Separated by blanks; "
	                   "each may carry ?module-path= and pin-source=.",
	                   &sdes_pkcs11_token, check_token);
	define_hsm_setting("sdes.pin_source", "Where the key agent gets the token's PIN from.",
	                   "file:/path, |command, or credential:name (systemd).",
	                   &sdes_pin_source, check_pin_source);

	define_cache_setting("sdes.key_cache_ttl",
	                     "Age at which a session fetches a key anew from the HSM.",
	                     "So a key that was destroyed in the HSM is noticed. While the HSM "
	                     "fails, the key is used on until sdes.key_cache_max_age.",
	                     &sdes_key_cache_ttl, 5 * 60);
	define_cache_setting("sdes.key_cache_max_age",
	                     "Age at which a session forgets a key, whether the HSM can be "
	                     "reached or not.",
	                     "How long sessions get along without the HSM. Lower than "
	                     "sdes.key_cache_ttl it stands for both.",
	                     &sdes_key_cache_max_age, 60 * 60);

	define_rotation_settings();

	/* A postmaster setting can only be made while the postmaster starts. */
	if (preloaded)
	{
		define_audit_settings();
		define_start_settings();
	}

	DefineCustomBoolVariable(
	    "sdes.accept_ciphertext", "Accept encrypted values as input, as a restore does.",
	    "For copies by hand and foreign tables. Leave it off for "
	    "applications: whoever can enter ciphertext there would get it "
	    "back decrypted.",
	    &sdes_accept_ciphertext, false, PGC_USERSET, GUC_DISALLOW_IN_FILE,
	    check_accept_ciphertext, NULL, NULL);

	DefineCustomBoolVariable(
	    "sdes.redact", "Keeps values out of the server log and pg_stat_activity.",
	    "Statements are shown without their constants, and without parameters, in all "
	    "databases of the server.",
	    &sdes_redact, true, PGC_SUSET, 0, NULL, NULL, NULL);

	/* Only now: a setting defined after this would be lost. */
	SDES_RESERVE_PREFIX("sdes");
}

bool
sdes_is_preloaded(void)
{
	return preloaded;
}

void
sdes_require_preload(void)
{
	if (!preloaded)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("sdes must be loaded by \"shared_preload_libraries\""),
		         errhint("Add 'sdes' to shared_preload_libraries in postgresql.conf and "
		                 "restart the server."),
		         SDES_KEEP_OUT_OF_LOG));
}
