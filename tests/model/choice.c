/* Nondeterminism as questions: the same code runs once for each answer. */
#include <stdlib.h>

#include "tests/model/model.h"

static unsigned answers[32], widths[32], asked, known;

void choice_begin(void)
{
	asked = known = 0;
}

unsigned choose(unsigned count)
{
	if (count <= 1)
		return 0;
	if (asked == known) {
		if (known == 32)
			abort();
		answers[known] = 0;
		widths[known] = count;
		known++;
	}
	return answers[asked++];
}

void choice_again(void)
{
	known = asked;
	asked = 0;
}

bool choice_next(void)
{
	known = asked;
	while (known > 0 && answers[known - 1] + 1 == widths[known - 1])
		known--;
	asked = 0;
	if (known == 0)
		return false;
	answers[known - 1]++;
	return true;
}
