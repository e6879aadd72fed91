/* Connections that lose all packets from now on, as over a split. */
#ifndef TESTS_KIT_DEAF_H
#define TESTS_KIT_DEAF_H

#include <stdbool.h>

/* Nothing that comes to this socket is heard any more. Asserts. */
void deaf_make(int fd);
/* May this process do that? If not, says why a test is skipped. */
bool deaf_able(void);

#endif
