/* The shipped links of agents. */
#include "tests/sim/whole/edge.h"

#include "node/replica/agent_link.c"

uint64_t edge_link_number(const struct agent_links *links,
			  const struct stream *stream)
{
	for (uint32_t i = 0; i < EDGE_LINKS_MAX; i++)
		if (links->slots[i] && links->slots[i]->stream == stream)
			return links->slots[i]->number;
	return 0;
}
