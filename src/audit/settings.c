/*
 * settings.c
 *		Changed settings of sdes, as a reload of the configuration brings them; and which
 *		token serves.
 *
 * Who has edited a file nobody knows; that something is another now is recorded. Numbers
 * are shown, texts are not: somebody may have put a PIN into one.
 */
#include "postgres.h"

#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "audit/internal.h"
#include "utils/guc.h"
#include "utils/memutils.h"

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

void
sdes_audit_compare_settings(void)
{
	for (size_t i = 0; i < lengthof(settings); i++)
	{
		Setting *setting = &settings[i];
		const char *now = GetConfigOption(setting->name, true, false);

		if (now == NULL || (setting->value != NULL && strcmp(setting->value, now) == 0))
			continue;
		if (setting->value != NULL)
		{
			record_setting(setting, now);
			pfree(setting->value);
		}
		setting->value = MemoryContextStrdup(TopMemoryContext, now);
	}
}

void
sdes_audit_compare_tokens(void)
{
	static int serving = 0; /* the first one, to begin with */
	int now = sdes_agentlink_serving();

	if (now != serving)
		record("HSM failover", psprintf("from token \"%s\" to token \"%s\"",
		                                sdes_agentlink_public(serving).token_label,
		                                sdes_agentlink_public(now).token_label));
	serving = now;
}
