/*
 * settings.c
 *		Changed settings of sdes, as a reload or a restart brings them; and which token
 *		serves.
 *
 * Who has edited a file nobody knows; that something is another now is recorded. Numbers
 * are shown, texts are not: somebody may have put a PIN into one. What numbers were, a file
 * of the data directory says; of texts there is none, not even a hash that could be guessed.
 */
#include "postgres.h"

#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "audit/internal.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SETTINGS_FILE     SDES_STATE_DIRECTORY "/settings"
#define NEW_SETTINGS_FILE SDES_STATE_DIRECTORY "/settings.new"

#define VALUE_MAX 128

#define STARTING_MS 1000 /* after which a worker is not started with its server */

/* What the configuration has them be; those of a session are its own affair. */
typedef struct Setting
{
	const char *name;
	bool is_text;
	char *value; /* in TopMemoryContext; NULL: not seen yet */
} Setting;

static Setting settings[] = {
    {"sdes.pkcs11_module", true, NULL},      {"sdes.pkcs11_init_args", true, NULL},
    {"sdes.pkcs11_token", true, NULL},       {"sdes.pin_source", true, NULL},
    {"sdes.agent_socket", true, NULL},       {"sdes.key_cache_ttl", false, NULL},
    {"sdes.key_cache_max_age", false, NULL}, {"sdes.rotation_batch_rows", false, NULL},
    {"sdes.rotation_share", false, NULL},    {"sdes.rotation_window", false, NULL},
    {"sdes.rotation_max_lag", false, NULL},  {"sdes.rotation_naptime", false, NULL},
    {"sdes.audit_timeout", false, NULL},     {"sdes.audit_retention", false, NULL},
};

static void
record(const char *operation, const char *object)
{
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	SdesWriter w = sdes_writer(fields, sizeof(fields));

	sdes_write_text(&w, SDES_FIELD_OPERATION, operation);
	sdes_write_text(&w, SDES_FIELD_OUTCOME, "ok");
	sdes_write_text(&w, SDES_FIELD_OBJECT, object);
	/* The tick that follows writes it. There is room for all of them. */
	(void) sdes_audit_put(SDES_JOURNAL_EVENT, sdes_bytes(fields, (size_t) (w.at - fields)));
}

static void
record_setting(const Setting *setting, const char *now)
{
	char object[256];

	snprintf(object, sizeof(object), "%s", setting->name);
	if (!setting->is_text)
		snprintf(object, sizeof(object), "%s: %.60s to %.60s", setting->name,
		         setting->value, now);
	record("change setting", object);
}

static void
keep(Setting *setting, const char *value)
{
	if (setting->value != NULL)
		pfree(setting->value);
	setting->value = MemoryContextStrdup(TopMemoryContext, value);
}

/* A line "NAME=VALUE", of what it was when somebody looked last. */
static void
read_line(char *line)
{
	char *value = strchr(line, '=');

	if (value == NULL)
		return;
	*value++ = '\0';
	value[strcspn(value, "\n")] = '\0';
	for (size_t i = 0; i < lengthof(settings); i++)
		if (strcmp(settings[i].name, line) == 0)
			keep(&settings[i], value);
}

static void
read_settings(void)
{
	FILE *file = AllocateFile(SETTINGS_FILE, "r");
	char line[NAMEDATALEN + VALUE_MAX];

	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL)
		read_line(line);
	FreeFile(file);
}

/* What could not be noted is recorded once more after the next start. */
static void
note_settings(void)
{
	FILE *file = AllocateFile(NEW_SETTINGS_FILE, "w");
	bool good = file != NULL;

	if (!good)
		return;
	for (size_t i = 0; i < lengthof(settings); i++)
		if (!settings[i].is_text)
			good =
			    good && fprintf(file, "%s=%s\n", settings[i].name, settings[i].value) > 0;
	if (FreeFile(file) == 0 && good)
		(void) durable_rename(NEW_SETTINGS_FILE, SETTINGS_FILE, LOG);
}

void
sdes_audit_compare_settings(void)
{
	static bool looked = false;
	bool changed = false;

	if (!looked)
		read_settings();
	looked = true;
	for (size_t i = 0; i < lengthof(settings); i++)
	{
		Setting *setting = &settings[i];
		const char *now = GetConfigOption(setting->name, true, false);

		if (now == NULL)
			now = "";
		if (setting->value != NULL && strcmp(setting->value, now) == 0)
			continue;
		if (setting->value != NULL)
			record_setting(setting, now);
		keep(setting, now);
		changed = true;
	}
	if (changed)
		note_settings();
}

void
sdes_audit_compare_tokens(void)
{
	static int serving = -1;
	int now = sdes_agentlink_serving();

	/* As a server starts it is the first one; who is started later has to ask. */
	if (serving < 0)
		serving = TimestampDifferenceExceeds(PgStartTime, MyStartTimestamp, STARTING_MS)
		              ? now
		              : 0;
	if (now != serving)
		record("HSM failover", psprintf("from token \"%s\" to token \"%s\"",
		                                sdes_agentlink_public(serving).token_label,
		                                sdes_agentlink_public(now).token_label));
	serving = now;
}
