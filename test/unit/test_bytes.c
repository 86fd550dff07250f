/*
 * test_bytes.c
 *		Reader, writer and the names of the statuses.
 */
#include "crypto/bytes.h"
#include "tap.h"

static const uint8_t sample[] = {0x01, 0x02, 0x03, 0x04, 0x05,
                                 0x06, 0x07, 0xff, 0xfe, 0xfd};

static void
test_reader(void)
{
	SdesReader r = sdes_reader(SDES_BYTES_OF(sample));
	uint8_t copy[2] = {0};
	SdesBytes view;

	ok(sdes_read_u8(&r) == 0x01, "u8");
	ok(sdes_read_u16(&r) == 0x0203, "u16 is big-endian");
	ok(sdes_read_u32(&r) == 0x04050607, "u32 is big-endian");
	ok(!sdes_read_complete(&r), "not complete while bytes are left");
	view = sdes_read_bytes(&r, 1);
	ok(view.data == sample + 7 && view.size == 1, "a view borrows");
	sdes_read_into(&r, copy, 2);
	ok(copy[0] == 0xfe && copy[1] == 0xfd, "a copy");
	ok(sdes_read_complete(&r), "complete at the end");
	view = sdes_read_bytes(&r, 0);
	ok(view.size == 0 && sdes_read_complete(&r), "no bytes at the end is no failure");
}

static void
test_reader_failure(void)
{
	SdesReader r = sdes_reader(sdes_bytes(sample, 3));
	uint8_t copy[4] = {9, 9, 9, 9};
	SdesBytes view;

	ok(sdes_read_u32(&r) == 0 && r.failed, "a number past the end is 0 and fails");
	ok(sdes_read_u8(&r) == 0 && r.failed, "the failure sticks though a byte is left");
	view = sdes_read_bytes(&r, 1);
	ok(view.data == NULL && view.size == 0, "a view after a failure is empty");
	view = sdes_read_bytes(&r, 0);
	ok(view.data == NULL && r.failed, "also a view of no bytes");
	sdes_read_into(&r, copy, sizeof(copy));
	ok(all_bytes(copy, sizeof(copy), 0), "a copy after a failure is zeroed");
	ok(!sdes_read_complete(&r), "a failed reader is never complete");

	r = sdes_reader(SDES_BYTES_OF(sample));
	view = sdes_read_bytes(&r, SIZE_MAX);
	ok(view.data == NULL && r.failed, "a size that would wrap around");
	r = sdes_reader(sdes_bytes(NULL, 0));
	sdes_read_into(&r, copy, 0);
	ok(sdes_read_complete(&r), "an empty run is complete");
	ok(sdes_read_u16(&r) == 0 && r.failed, "and has no number");
}

static void
test_writer(void)
{
	uint8_t out[sizeof(sample)] = {0};
	SdesWriter w = sdes_writer(out, sizeof(out));

	sdes_write_u8(&w, 0x01);
	sdes_write_u16(&w, 0x0203);
	sdes_write_u32(&w, 0x04050607);
	sdes_write_bytes(&w, sdes_bytes(NULL, 0));
	sdes_write_bytes(&w, sdes_bytes(sample + 7, 3));
	ok(!w.failed && w.left == 0, "everything fits exactly");
	ok(memcmp(out, sample, sizeof(sample)) == 0, "the reader's bytes");
	sdes_write_bytes(&w, sdes_bytes(NULL, 0));
	ok(!w.failed, "no bytes always fit");
	sdes_write_u8(&w, 1);
	ok(w.failed, "one more does not");
}

static void
test_writer_failure(void)
{
	uint8_t out[5] = {9, 9, 9, 9, 9};
	SdesWriter w = sdes_writer(out, 3);

	sdes_write_u32(&w, 1);
	ok(w.failed && all_bytes(out, 5, 9), "what does not fit is not written in part");
	sdes_write_u8(&w, 1);
	ok(w.failed && all_bytes(out, 5, 9), "the failure sticks though a byte would fit");
}

static void
test_status_names(void)
{
	static const int known[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  20, 21, 22, 23,
	                            24, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52};
	const int nknown = (int) (sizeof(known) / sizeof(known[0]));
	int unnamed = 0, doubled = 0;

	for (int i = 0; i < nknown; i++)
	{
		const char *name = sdes_status_name((SdesStatus) known[i]);

		unnamed += name == NULL || strcmp(name, "unknown status") == 0;
		for (int j = 0; j < i; j++)
			doubled += strcmp(name, sdes_status_name((SdesStatus) known[j])) == 0;
	}
	none_failed(unnamed, nknown, "every status has a name");
	none_failed(doubled, nknown, "no two share one");
	ok(strcmp(sdes_status_name((SdesStatus) 19), "unknown status") == 0, "19 is none");
}

static void
test_wide(void)
{
	uint8_t room[12];
	char text[25];
	SdesWriter w = sdes_writer(room, sizeof(room));
	SdesReader r = sdes_reader(SDES_BYTES_OF(room));

	sdes_write_u64(&w, 0x0123456789abcdefULL);
	sdes_write_u32(&w, 0xfedcba98u);
	ok(!w.failed && w.left == 0, "eight bytes, then four");
	sdes_hex(SDES_BYTES_OF(room), text);
	ok(strcmp(text, "0123456789abcdeffedcba98") == 0, "big-endian, in hexadecimal");
	ok(sdes_read_u64(&r) == 0x0123456789abcdefULL && r.left == 4, "read again");
	sdes_read_u64(&r);
	ok(r.failed, "not from four bytes");
	sdes_hex(sdes_bytes(NULL, 0), text);
	ok(text[0] == '\0', "no bytes, no digits");
}

int
main(void)
{
	test_wide();
	test_reader();
	test_reader_failure();
	test_writer();
	test_writer_failure();
	test_status_names();
	return done_testing();
}
