/*
 * fuzz_token.c
 *		The token's PKCS#11 URI (RFC 7512): what our check accepts, p11-kit's parser
 *		accepts too, and it chooses just the tokens that a matcher of our own
 *		chooses. The module has four tokens.
 */
#include "fuzz.h"

#include "hsm/pkcs11.h"

#define TOKENS 4

static const char *const labels[TOKENS] = {"sdes", "sdes", "a b;c",
                                           "11111111111111111111111111111111"};
static const char *const serials[TOKENS] = {"1", "22", "1", "1"};

/* A blank-padded field of CK_UTF8CHARs, without a zero. */
static void
set_field(unsigned char *field, size_t size, const char *text)
{
	memset(field, ' ', size);
	memcpy(field, text, strlen(text));
}

static CK_RV
get_slot_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
	(void) present;
	for (CK_ULONG i = 0; slots != NULL && i < TOKENS; i++)
		slots[i] = i;
	*count = TOKENS;
	return CKR_OK;
}

static CK_RV
get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
	(void) slot;
	memset(info, 0, sizeof(*info));
	set_field(info->slotDescription, sizeof(info->slotDescription), "slot");
	set_field(info->manufacturerID, sizeof(info->manufacturerID), "maker");
	return CKR_OK;
}

static CK_RV
get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	memset(info, 0, sizeof(*info));
	set_field(info->label, sizeof(info->label), labels[slot]);
	set_field(info->manufacturerID, sizeof(info->manufacturerID), "maker");
	set_field(info->model, sizeof(info->model), "model");
	set_field(info->serialNumber, sizeof(info->serialNumber), serials[slot]);
	return CKR_OK;
}

static SdesHsm *
the_hsm(void)
{
	static CK_FUNCTION_LIST functions;
	static SdesHsm hsm;

	functions.C_GetSlotList = get_slot_list;
	functions.C_GetSlotInfo = get_slot_info;
	functions.C_GetTokenInfo = get_token_info;
	memset(&hsm, 0, sizeof(hsm));
	hsm.p11 = &functions;
	hsm.slot = TOKENS;
	set_field(hsm.info.manufacturerID, sizeof(hsm.info.manufacturerID), "maker");
	set_field(hsm.info.libraryDescription, sizeof(hsm.info.libraryDescription), "library");
	hsm.info.libraryVersion = (CK_VERSION){2, 40};
	return &hsm;
}

/* What the token says under an attribute's name. */
static const char *
field_of(CK_SLOT_ID slot, const char *name)
{
	if (strcmp(name, "token") == 0)
		return labels[slot];
	if (strcmp(name, "serial") == 0)
		return serials[slot];
	if (strcmp(name, "model") == 0)
		return "model";
	if (strcmp(name, "library-description") == 0)
		return "library";
	return strcmp(name, "slot-description") == 0 ? "slot" : "maker";
}

/* Decodes percent signs in place. */
static void
decode(char *value)
{
	char *out = value;

	for (char *at = value; *at != '\0'; at++)
	{
		char digits[3] = {at[0], '\0', '\0'};

		if (*at == '%')
		{
			memcpy(digits, at + 1, 2);
			digits[0] = (char) strtoul(digits, NULL, 16);
			at += 2;
		}
		*out++ = digits[0];
	}
	*out = '\0';
}

/* Fields are compared with blanks at the end, so the value's own do not count. */
static bool
attribute_matches(CK_SLOT_ID slot, char *attribute)
{
	char *value = strchr(attribute, '=');
	size_t size;

	*value++ = '\0';
	if (strcmp(attribute, "library-version") == 0)
	{
		char *dot = strchr(value, '.');
		unsigned long minor = dot != NULL ? strtoul(dot + 1, NULL, 10) : 0;

		return strtoul(value, NULL, 10) == 2 && minor == 40;
	}
	decode(value);
	for (size = strlen(value); size > 0 && value[size - 1] == ' ';)
		value[--size] = '\0';
	return strcmp(value, field_of(slot, attribute)) == 0;
}

static bool
token_matches(CK_SLOT_ID slot, const char *uri)
{
	char *copy = strdup(uri + strlen("pkcs11:")), *rest = copy, *attribute;
	bool matches = true;

	while ((attribute = strsep(&rest, ";")) != NULL)
		matches = attribute_matches(slot, attribute) && matches;
	free(copy);
	return matches;
}

static void
check_choice(const char *uri, const SdesHsm *hsm, SdesStatus status,
             const SdesHsmFault *fault)
{
	CK_SLOT_ID last = TOKENS;
	int matches = 0;

	for (CK_SLOT_ID slot = 0; slot < TOKENS; slot++)
	{
		if (!token_matches(slot, uri))
			continue;
		matches++;
		last = slot;
	}
	REQUIRE(strstr(fault->detail, "not valid") == NULL);
	REQUIRE(status == (matches == 1 ? SDES_OK : SDES_ERR_HSM_TOKEN));
	if (matches == 1)
		REQUIRE(hsm->slot == last);
}

/* What a list that is taken is taken apart to has passed the checks of its settings. */
static void
check_list(const char *list)
{
	SdesAgentConfig config = {
	    .module = "/default", .init_args = "args", .pin_source = "|pin"};
	const char *why = NULL;

	if (!sdes_config_check_tokens(list, &why))
	{
		REQUIRE(why != NULL && why[0] != '\0');
		return;
	}
	REQUIRE(sdes_config_count(list) <= SDES_MAX_TOKENS);
	for (int i = 0; i < SDES_MAX_TOKENS; i++)
	{
		SdesAgentConfig taken = config;

		sdes_config_take_token(list, i, &taken);
		REQUIRE((taken.token[0] != '\0') == (i < sdes_config_count(list)));
		REQUIRE(sdes_config_check_token(taken.token, &why));
		REQUIRE(taken.module[0] == '/' && sdes_config_check_module(taken.module, &why));
		REQUIRE(taken.pin_source[0] != '\0' &&
		        sdes_config_check_pin_source(taken.pin_source, &why));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *uri = fuzz_string(sdes_bytes(data, size));
	SdesHsm *hsm = the_hsm();
	SdesHsmFault fault = {.detail = ""};
	const char *why = NULL;
	bool accepted = sdes_config_check_token(uri, &why) && uri[0] != '\0';
	SdesStatus status = sdes_pkcs11_find_token(hsm, uri, &fault);

	check_list(uri);
	REQUIRE(status == SDES_OK || (status == SDES_ERR_HSM_TOKEN && fault.detail[0] != '\0'));
	if (accepted)
		check_choice(uri, hsm, status, &fault);
	else
		REQUIRE(uri[0] == '\0' || (why != NULL && why[0] != '\0'));
	free(uri);
	return 0;
}
