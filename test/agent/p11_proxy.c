/*
 * p11_proxy.c
 *		A PKCS#11 module that passes calls on to another one, writes down each
 *		with its result, and misbehaves when told to.
 *
 *		SDES_PROXY_MODULE	the module behind
 *		SDES_PROXY_INIT_ARGS	if it is set, that module gets pReserved, too
 *		SDES_PROXY_LOG		file that gets a line "C_Login 0xa0" per call
 *		SDES_PROXY_CONTROL	file of rules, read at each call; none without it:
 *			C_Decrypt hang			until the rule is gone
 *			C_Decrypt segv
 *			C_Decrypt 0x30			return this CKR, do not pass on
 *			C_Decrypt 0xb3 1		the same, for the next call only
 *			C_GetTokenInfo set 0x10000		these flags are on
 *			C_GetAttributeValue flip 0x162	this boolean attribute is inverted
 *
 * Only the functions that the agent uses are wrapped.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_SIZE 64

static CK_FUNCTION_LIST_PTR real;
static CK_FUNCTION_LIST list;

typedef struct Rule
{
	char action[NAME_SIZE];
	unsigned long number;
	unsigned long count; /* 0: always */
} Rule;

/* How often a rule with a count has been applied, per function name. */
typedef struct Used
{
	char name[NAME_SIZE];
	unsigned long times;
} Used;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Used used[32];

static void
record(const char *name, CK_RV rv, const char *more)
{
	const char *path = getenv("SDES_PROXY_LOG");
	int fd =
	    path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	char line[512];
	int n =
	    snprintf(line, sizeof(line), "%s 0x%lx%s%s\n", name, rv, more[0] ? " " : "", more);

	if (fd < 0)
		return;
	if (write(fd, line, (size_t) n) != n)
		abort();
	close(fd);
}

static bool
find_rule(const char *name, Rule *rule)
{
	const char *path = getenv("SDES_PROXY_CONTROL");
	FILE *file = path == NULL ? NULL : fopen(path, "re");
	char line[256], function[NAME_SIZE], argument[NAME_SIZE];
	bool found = false;

	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), file) != NULL)
	{
		int n;

		argument[0] = '\0';
		rule->count = 0;
		n = sscanf(line, "%63s %63s %63s", function, rule->action, argument);
		if (n < 2 || strcmp(function, name) != 0)
			continue;
		found = true;
		if (rule->action[0] == '0')
		{
			rule->number = strtoul(rule->action, NULL, 0);
			rule->count = strtoul(argument, NULL, 0);
		}
		else
			rule->number = strtoul(argument, NULL, 0);
	}
	fclose(file);
	return found;
}

/* True while a counted rule still applies; counts it. */
static bool
spend(const char *name, unsigned long count)
{
	bool applies = false;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++)
	{
		if (used[i].name[0] == '\0')
			strcpy(used[i].name, name);
		if (strcmp(used[i].name, name) == 0)
		{
			applies = used[i].times++ < count;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	return applies;
}

/* True when the call must not be passed on; *rv is its result then. */
static bool
intervene(const char *name, CK_RV *rv)
{
	Rule rule;

	if (!find_rule(name, &rule))
		return false;
	if (strcmp(rule.action, "segv") == 0)
		raise(SIGSEGV);
	if (strcmp(rule.action, "hang") == 0)
	{
		record(name, 0, "hangs");
		while (find_rule(name, &rule) && strcmp(rule.action, "hang") == 0)
			poll(NULL, 0, 20);
		return false;
	}
	if (rule.action[0] != '0')
		return false;
	*rv = rule.number;
	return rule.count == 0 || spend(name, rule.count);
}

#define WRAP(name, parameters, arguments)                                                  \
	static CK_RV proxy_##name parameters                                                   \
	{                                                                                      \
		CK_RV rv;                                                                          \
                                                                                           \
		if (!intervene(#name, &rv))                                                        \
			rv = real->name arguments;                                                     \
		record(#name, rv, "");                                                             \
		return rv;                                                                         \
	}

WRAP(C_Finalize, (void *reserved), (reserved))
WRAP(C_GetInfo, (CK_INFO_PTR info), (info))
WRAP(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR n),
     (present, slots, n))
WRAP(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO_PTR info), (slot, info))
WRAP(C_GetMechanismInfo,
     (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info),
     (slot, type, info))
WRAP(C_OpenSession,
     (CK_SLOT_ID slot, CK_FLAGS flags, void *data, CK_NOTIFY notify,
      CK_SESSION_HANDLE_PTR s),
     (slot, flags, data, notify, s))
WRAP(C_CloseSession, (CK_SESSION_HANDLE s), (s))
WRAP(C_Login, (CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG size),
     (s, user, pin, size))
WRAP(C_GenerateKey,
     (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR t, CK_ULONG n,
      CK_OBJECT_HANDLE_PTR key),
     (s, m, t, n, key))
WRAP(C_DestroyObject, (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o), (s, o))
WRAP(C_FindObjectsInit, (CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, t, n))
WRAP(C_FindObjects,
     (CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR o, CK_ULONG max, CK_ULONG_PTR n),
     (s, o, max, n))
WRAP(C_FindObjectsFinal, (CK_SESSION_HANDLE s), (s))
WRAP(C_EncryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k),
     (s, m, k))
WRAP(C_Encrypt,
     (CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG size, CK_BYTE_PTR out,
      CK_ULONG_PTR used_size),
     (s, in, size, out, used_size))
WRAP(C_DecryptInit, (CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k),
     (s, m, k))
WRAP(C_Decrypt,
     (CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG size, CK_BYTE_PTR out,
      CK_ULONG_PTR used_size),
     (s, in, size, out, used_size))
WRAP(C_GenerateRandom, (CK_SESSION_HANDLE s, CK_BYTE_PTR out, CK_ULONG size),
     (s, out, size))

/*
 * The argument is written down, and passed on only to a module that wants one.
 * NSS's has a pointer more than the standard's, see sdes_pkcs11_initialize().
 */
static CK_RV
proxy_C_Initialize(void *arguments)
{
	struct
	{
		CK_C_INITIALIZE_ARGS standard;
		void *beyond;
	} args = {*(CK_C_INITIALIZE_ARGS *) arguments, NULL};
	const char *reserved = args.standard.pReserved;
	CK_RV rv;

	if (getenv("SDES_PROXY_INIT_ARGS") == NULL)
		args.standard.pReserved = NULL;
	if (!intervene("C_Initialize", &rv))
		rv = real->C_Initialize(&args);
	record("C_Initialize", rv, reserved != NULL ? reserved : "");
	return rv;
}

static CK_RV
proxy_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	Rule rule;
	CK_RV rv;

	if (!intervene("C_GetTokenInfo", &rv))
		rv = real->C_GetTokenInfo(slot, info);
	if (rv == CKR_OK && find_rule("C_GetTokenInfo", &rule) &&
	    strcmp(rule.action, "set") == 0)
		info->flags |= rule.number;
	record("C_GetTokenInfo", rv, "");
	return rv;
}

static CK_RV
proxy_C_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t,
                          CK_ULONG n)
{
	Rule rule;
	CK_RV rv;

	if (!intervene("C_GetAttributeValue", &rv))
		rv = real->C_GetAttributeValue(s, o, t, n);
	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++)
	{
		if (find_rule("C_GetAttributeValue", &rule) && strcmp(rule.action, "flip") == 0 &&
		    t[i].type == rule.number)
			*(CK_BBOOL *) t[i].pValue ^= 1;
	}
	record("C_GetAttributeValue", rv, "");
	return rv;
}

static void
wrap_all(void)
{
	list = *real;
#define USE(name) list.name = proxy_##name
	USE(C_Initialize);
	USE(C_Finalize);
	USE(C_GetInfo);
	USE(C_GetSlotList);
	USE(C_GetSlotInfo);
	USE(C_GetTokenInfo);
	USE(C_GetMechanismInfo);
	USE(C_OpenSession);
	USE(C_CloseSession);
	USE(C_Login);
	USE(C_GenerateKey);
	USE(C_DestroyObject);
	USE(C_GetAttributeValue);
	USE(C_FindObjectsInit);
	USE(C_FindObjects);
	USE(C_FindObjectsFinal);
	USE(C_EncryptInit);
	USE(C_Encrypt);
	USE(C_DecryptInit);
	USE(C_Decrypt);
	USE(C_GenerateRandom);
#undef USE
}

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out)
{
	const char *path = getenv("SDES_PROXY_MODULE");
	void *library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get_list;
	CK_RV rv;

	if (library == NULL)
		return CKR_GENERAL_ERROR;
	*(void **) &get_list = dlsym(library, "C_GetFunctionList");
	rv = get_list == NULL ? CKR_GENERAL_ERROR : get_list(&real);
	if (rv == CKR_OK)
	{
		wrap_all();
		*out = &list;
	}
	return rv;
}
