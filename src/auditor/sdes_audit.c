/*
 * sdes_audit.c
 *		The auditor's program: reads the audit journal of a server, without one.
 *
 *		sdes_audit verify FOLDER	follows the chain and its signatures; says the first
 *									record that is wrong
 *		sdes_audit export FOLDER	the records as JSON, one a line
 *		sdes_audit tail FOLDER		the last ones, and those that come
 *
 * Exit status: 0 all is well, 1 the journal is not what was written, 2 it could not be
 * read, or the program was called in a wrong way.
 */
#include "auditor/json.h"
#include "journal/append.h"
#include "journal/verify.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXIT_WRONG    1
#define EXIT_TROUBLE  2
#define LOOK_EVERY_US 200000

typedef struct Options
{
	const char *command;
	const char *folder;
	uint64_t from; /* sequences */
	uint64_t to;
	uint64_t lines;   /* that tail begins with */
	uint64_t witness; /* a record that is known from elsewhere; 0: none */
	char witness_hash[2 * SDES_DIGEST_SIZE + 1];
	uint8_t keys[SDES_PINS_MAX][SDES_DIGEST_SIZE]; /* that may have signed; none: any */
	int nkeys;
	bool follow;
} Options;

static void
print_help(void)
{
	printf(
	    "sdes_audit reads the audit journal of the PostgreSQL extension sdes.\n"
	    "\n"
	    "Usage:\n"
	    "  sdes_audit verify FOLDER   follow the chain of hashes, and its signatures\n"
	    "      --key FINGERPRINT      which are to be by this key; may be repeated\n"
	    "      --witness SEQ:HASH     and see that it has the record with that hash\n"
	    "  sdes_audit export FOLDER   print the records as JSON, one a line\n"
	    "      --from SEQ --to SEQ    of these sequences only\n"
	    "  sdes_audit tail FOLDER     print the last records\n"
	    "      --lines N              so many, 10 if not given\n"
	    "      --follow               and go on with those that come\n"
	    "  sdes_audit --help          show this help, then exit\n"
	    "  sdes_audit --version       show the version, then exit\n"
	    "\n"
	    "FOLDER holds the journal's segments, files named *.journal. The exit status is\n"
	    "0 when all is well, 1 when a record is wrong, 2 when something cannot be read.\n");
}

__attribute__((format(printf, 1, 2), noreturn)) static void
die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("sdes_audit: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_TROUBLE);
}

/* ---- options ---- */

static uint64_t
number(const char *text, const char *name)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || text[0] == '-')
		die("--%s takes a number, not \"%s\"", name, text);
	return value;
}

/* Hex digits in lower case, of so many bytes. */
static bool
is_hex(const char *text, size_t bytes)
{
	return strlen(text) == 2 * bytes && strspn(text, "0123456789abcdef") == 2 * bytes;
}

static void
read_key(Options *options, const char *text)
{
	if (!is_hex(text, SDES_DIGEST_SIZE))
		die("--key takes a fingerprint, 64 hexadecimal digits, as \"verify\" and "
		    "sdes.verify_audit() print it");
	if (options->nkeys == SDES_PINS_MAX)
		die("--key can be given %d times", SDES_PINS_MAX);
	for (int i = 0; i < SDES_DIGEST_SIZE; i++)
	{
		unsigned value = 0;

		(void) sscanf(text + 2 * i, "%2x", &value);
		options->keys[options->nkeys][i] = (uint8_t) value;
	}
	options->nkeys++;
}

static void
read_witness(Options *options, const char *text)
{
	char sequence[24];
	const char *colon = strchr(text, ':');

	if (colon == NULL || (size_t) (colon - text) >= sizeof(sequence) ||
	    !is_hex(colon + 1, SDES_DIGEST_SIZE))
		die("--witness takes a sequence and a hash, as \"verify\" prints them: "
		    "1234:ab12...");
	snprintf(sequence, sizeof(sequence), "%.*s", (int) (colon - text), text);
	options->witness = number(sequence, "witness");
	memcpy(options->witness_hash, colon + 1, sizeof(options->witness_hash));
}

static Options
parse_options(int argc, char **argv)
{
	static const struct option known[] = {
	    {"from", required_argument, NULL, 'f'},
	    {"to", required_argument, NULL, 't'},
	    {"lines", required_argument, NULL, 'n'},
	    {"follow", no_argument, NULL, 'F'},
	    {"witness", required_argument, NULL, 'w'},
	    {"key", required_argument, NULL, 'k'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	Options options = {.from = 1, .to = UINT64_MAX, .lines = 10};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (c)
		{
			case 'f':
				options.from = number(optarg, "from");
				break;
			case 't':
				options.to = number(optarg, "to");
				break;
			case 'n':
				options.lines = number(optarg, "lines");
				break;
			case 'F':
				options.follow = true;
				break;
			case 'w':
				read_witness(&options, optarg);
				break;
			case 'k':
				read_key(&options, optarg);
				break;
			case 'h':
				print_help();
				exit(EXIT_SUCCESS);
			case 'V':
				printf("sdes_audit %s\n", SDES_VERSION);
				exit(EXIT_SUCCESS);
			default:
				exit(EXIT_TROUBLE);
		}
	if (argc - optind != 2)
		die("give a command and the journal's folder (see --help)");
	options.command = argv[optind];
	options.folder = argv[optind + 1];
	return options;
}

/* ---- segments ---- */

typedef struct Segments
{
	const char *folder;
	uint64_t *sequences;
	size_t n;
} Segments;

static Segments
list(const char *folder)
{
	Segments segments = {.folder = folder};
	int error = sdes_journal_list(folder, &segments.sequences, &segments.n);

	if (error != 0)
		die("folder \"%s\" cannot be read: %s", folder, strerror(error));
	return segments;
}

static SdesBytes
map(const Segments *segments, size_t i)
{
	SdesBytes bytes;
	int error = sdes_journal_read(segments->folder, segments->sequences[i], 0, &bytes);

	if (error != 0)
		die("segment %016" PRIx64 " cannot be read: %s", segments->sequences[i],
		    strerror(error));
	return bytes;
}

/* ---- verify ---- */

/* Whether the segment that is about to be verified has the witness, with another hash. */
static bool
contradicts(const Options *options, SdesBytes segment)
{
	SdesReader r = sdes_reader(segment);
	SdesRecord record;
	char hash[2 * SDES_DIGEST_SIZE + 1];

	sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE);
	while (sdes_journal_read_record(&r, &record) == SDES_RECORD_READ)
	{
		if (record.sequence != options->witness)
			continue;
		sdes_hex(record.hash, hash);
		return strcmp(hash, options->witness_hash) != 0;
	}
	return false;
}

static void
print_time(int64_t microseconds)
{
	time_t seconds = (time_t) (microseconds / 1000000);
	struct tm parts;
	char text[32];

	if (gmtime_r(&seconds, &parts) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts) == 0)
		strcpy(text, "?");
	printf("%s UTC", text);
}

/* What of a whole chain is signed. */
static int
report_signatures(const SdesVerify *v, const Options *options)
{
	const SdesSignatures *s = v->signatures;
	char fingerprint[2 * SDES_DIGEST_SIZE + 1];

	if (s->count == 0)
	{
		printf("no record is signed%s\n",
		       options->nkeys > 0 ? " by a key that was given" : "");
		return sdes_signatures_suffice(s) ? EXIT_SUCCESS : EXIT_WRONG;
	}
	sdes_hex(SDES_BYTES_OF(s->signed_by), fingerprint);
	printf("signed up to record %" PRIu64 ", of ", s->last.sequence);
	print_time(s->last.time);
	printf(", %" PRIu64 " signatures\nby the key %s\n", s->count, fingerprint);
	if (s->changes > 0)
		printf("(the last of several: give those that are right by --key)\n");
	else if (options->nkeys == 0)
		printf("(see that this is the right one, and give it by --key)\n");
	if (sdes_signatures_suffice(s))
		return EXIT_SUCCESS;
	printf("records %" PRIu64 " to %" PRIu64 " are not signed\n", s->last.sequence + 1,
	       v->next - 1);
	return EXIT_WRONG;
}

static int
report(const SdesVerify *v, const Options *options)
{
	char hash[2 * SDES_DIGEST_SIZE + 1];

	if (v->status != SDES_OK)
		die("%s", sdes_status_name(v->status));
	if (v->wrong != SDES_WRONG_NOTHING)
	{
		printf("record %" PRIu64 " is wrong: %s\n", v->next, sdes_wrong_name(v->wrong));
		printf("records before it: %" PRIu64 "\n", v->next - v->first);
		return EXIT_WRONG;
	}
	if (!v->begun)
		die("folder \"%s\" holds no journal", options->folder);
	sdes_hex(SDES_BYTES_OF(v->hash), hash);
	printf("records %" PRIu64 " to %" PRIu64 " are a whole chain\n", v->first, v->next - 1);
	printf("to witness it: %" PRIu64 ":%s\n", v->next - 1, hash);
	return report_signatures(v, options);
}

/* Goes through all segments; whether what is wrong, if anything, is in the last one. */
static bool
verify_once(const Options *options, SdesVerify *v, SdesSignatures *signatures)
{
	Segments segments = list(options->folder);
	bool good = true;
	size_t i;

	sdes_verify_start(v);
	sdes_signatures_start(signatures);
	memcpy(signatures->pins, options->keys, sizeof(options->keys));
	signatures->npins = options->nkeys;
	v->signatures = signatures;
	for (i = 0; i < segments.n && good; i++)
	{
		SdesBytes bytes = map(&segments, i);

		good = sdes_verify_segment(v, bytes);
		if (good && options->witness != 0 && contradicts(options, bytes))
		{
			v->wrong = SDES_WRONG_FORKED;
			v->next = options->witness;
			good = false;
		}
		sdes_journal_free(bytes);
	}
	free(segments.sequences);
	sdes_signatures_end(signatures);
	return i == segments.n;
}

/* A server may be in the midst of writing its last record; then there is more a moment later. */
static int
verify(const Options *options)
{
	SdesSignatures signatures;
	SdesVerify v, before;
	bool in_last = verify_once(options, &v, &signatures);

	while (v.wrong != SDES_WRONG_NOTHING && in_last)
	{
		before = v;
		usleep(LOOK_EVERY_US);
		in_last = verify_once(options, &v, &signatures);
		if (v.next == before.next)
			break;
	}
	if (options->witness != 0 && v.begun && options->witness < v.first)
		die("record %" PRIu64 " is before the first one that is here, %" PRIu64,
		    options->witness, v.first);
	if (options->witness != 0)
		sdes_verify_reaches(&v, options->witness);
	return report(&v, options);
}

/* ---- export and tail ---- */

/* Prints the records from one sequence on; returns the one after the last. */
static uint64_t
print_records(const Options *options, uint64_t from)
{
	Segments segments = list(options->folder);
	uint64_t next = from;

	for (size_t i = 0; i < segments.n; i++)
	{
		SdesBytes bytes;
		SdesReader r;
		SdesRecord record;
		SdesRecordRead result;

		if (i + 1 < segments.n && segments.sequences[i + 1] <= from)
			continue;
		bytes = map(&segments, i);
		r = sdes_reader(bytes);
		sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE);
		while ((result = sdes_journal_read_record(&r, &record)) == SDES_RECORD_READ)
		{
			if (record.sequence < from || record.sequence > options->to)
				continue;
			if (!sdes_print_json(&record, stdout))
				die("record %" PRIu64 " cannot be printed", record.sequence);
			next = record.sequence + 1;
		}
		sdes_journal_free(bytes);
		/* At the end of the last one a server may be in the midst of writing. */
		if (result != SDES_RECORD_END && i + 1 < segments.n)
			die("segment %016" PRIx64 " is damaged: see sdes_audit verify",
			    segments.sequences[i]);
	}
	free(segments.sequences);
	if (fflush(stdout) != 0)
		die("cannot write: %s", strerror(errno));
	return next;
}

/* The sequence after the last record. */
static uint64_t
find_end(const Options *options)
{
	Segments segments = list(options->folder);
	uint64_t next = segments.n > 0 ? segments.sequences[segments.n - 1] : 1;
	SdesBytes bytes = {NULL, 0};
	SdesRecord record;
	SdesReader r;

	if (segments.n > 0)
		bytes = map(&segments, segments.n - 1);
	r = sdes_reader(bytes);
	sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE);
	while (!r.failed && sdes_journal_read_record(&r, &record) == SDES_RECORD_READ)
		next = record.sequence + 1;
	sdes_journal_free(bytes);
	free(segments.sequences);
	return next;
}

static int
tail(const Options *options)
{
	uint64_t end = find_end(options);
	uint64_t next = print_records(options, end > options->lines ? end - options->lines : 1);

	while (options->follow)
	{
		usleep(LOOK_EVERY_US);
		next = print_records(options, next);
	}
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	Options options = parse_options(argc, argv);

	if (strlen(options.folder) >= SDES_JOURNAL_PATH_MAX)
		die("the name of the folder is too long");
	if (strcmp(options.command, "verify") == 0)
		return verify(&options);
	if (strcmp(options.command, "tail") == 0)
		return tail(&options);
	if (strcmp(options.command, "export") != 0)
		die("there is no command \"%s\" (see --help)", options.command);
	print_records(&options, options.from);
	return EXIT_SUCCESS;
}
