/*
 * sdes_crypto.c
 *		Chooses by sdes.crypto_provider, and says what came of it.
 *
 * A setting that cannot be followed is the one thing that keeps the server from
 * starting: it may be there by a rule on certified modules, which another provider
 * would break in silence. "auto" always starts; where no provider passes its self-test,
 * no key can be made.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "sdes_crypto.h"
#include "sdes_guc.h"

static SdesProviderChoice choice;

static const char *
available(void)
{
	StringInfoData names;

	initStringInfo(&names);
	appendStringInfoString(&names, "auto");
	for (const SdesProvider *const *at = sdes_providers(); *at != NULL; at++)
		appendStringInfo(&names, ", %s", (*at)->name);
	return names.data;
}

static void
refuse(void)
{
	if (choice.failed != NULL)
		ereport(FATAL,
		        (errcode(ERRCODE_SYSTEM_ERROR),
		         errmsg("\"%s\" of parameter \"sdes.crypto_provider\" fails its "
		                "self-test",
		                choice.failed->name),
		         errdetail("%s.", choice.why),
		         errhint("Mend its library, or set another provider: %s.", available())));
	ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("invalid value for parameter \"sdes.crypto_provider\""),
	                errhint("This build has on this processor: %s.", available())));
}

void
sdes_crypto_init(void)
{
	choice = sdes_provider_choose(sdes_crypto_provider);
	if (choice.provider == NULL && strcmp(sdes_crypto_provider, "auto") != 0)
		refuse();
	if (choice.failed != NULL)
		ereport(WARNING,
		        (errcode(ERRCODE_SYSTEM_ERROR),
		         errmsg("crypto provider \"%s\" fails its self-test and is not used",
		                choice.failed->name),
		         errdetail("%s.", choice.why)));
	if (choice.provider == NULL)
		sdes_provider_use(NULL);
}

SdesProviderChoice
sdes_crypto_choice(void)
{
	return choice;
}
