/* The model's state, wide. */
#define MODEL_WIDE
#include "tests/model/fsm.c"
