/* The model's lease core, wide. */
#define MODEL_WIDE
#include "tests/model/tenure.c"
