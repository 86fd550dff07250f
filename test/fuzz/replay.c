/*
 * replay.c
 *		Gives each file it is called with to a target, for builds without libFuzzer:
 *		coverage by gcc, or a look into a found input with a debugger.
 */
#include "fuzz.h"

#define INPUT_MAX 65536

int
main(int argc, char **argv)
{
	static uint8_t input[INPUT_MAX];

	for (int i = 1; i < argc; i++)
	{
		FILE *file = fopen(argv[i], "rb");
		size_t size;

		REQUIRE(file != NULL);
		size = fread(input, 1, sizeof(input), file);
		fclose(file);
		LLVMFuzzerTestOneInput(input, size);
	}
	return EXIT_SUCCESS;
}
