#include "node/replica/audit.h"

static struct audit_replica *find(struct audit *audit, uint64_t id)
{
	for (uint32_t i = 0; i < AUDIT_REPLICAS_MAX; i++)
		if (audit->replicas[i].id == id)
			return &audit->replicas[i];
	return NULL;
}

void audit_init(struct audit *audit, uint64_t self)
{
	memset(audit, 0, sizeof *audit);
	audit->self = self;
	audit->replicas[0].id = self;
}

struct audit_said *audit_said(struct audit *audit, uint64_t id, uint64_t index)
{
	struct audit_replica *r = find(audit, id);

	for (uint32_t i = 0; r != NULL && i < AUDIT_KEPT; i++)
		if (r->said[i].index == index && index != 0)
			return &r->said[i];
	return NULL;
}

bool audit_say(struct audit *audit, uint64_t id, const struct audit_said *said)
{
	struct audit_said *before = audit_said(audit, id, said->index);
	struct audit_replica *r = find(audit, id);

	if (said->index == 0 || id == 0)
		return false;
	if (before != NULL) {
		/* Another word on the same index takes the place of it. */
		if (before->hash == said->hash &&
		    before->version == said->version)
			return false;
		before->hash = said->hash;
		before->version = said->version;
		return true;
	}
	if (r == NULL)
		r = find(audit, 0);
	if (r == NULL)
		return false;
	r->id = id;
	r->said[r->next] = *said;
	r->said[r->next].told = false;
	r->next = (r->next + 1) % AUDIT_KEPT;
	return true;
}

static bool among(const uint64_t *ids, uint32_t count, uint64_t id)
{
	for (uint32_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

void audit_keep(struct audit *audit, const uint64_t *members, uint32_t count)
{
	for (uint32_t i = 0; i < AUDIT_REPLICAS_MAX; i++) {
		struct audit_replica *r = &audit->replicas[i];

		if (r->id != 0 && r->id != audit->self &&
		    !among(members, count, r->id))
			memset(r, 0, sizeof *r);
	}
}

/* What the members said of one index, of our version of the hash. */
struct opinions {
	uint32_t count, own; /* own: with our hash, ours among them */
	uint32_t most;       /* with the commonest one of the others' */
	const struct audit_said *leader;
};

static struct opinions gather(struct audit *audit, const struct audit_said *own,
			      const struct audit_court *court)
{
	const struct audit_said *said[AUDIT_REPLICAS_MAX];
	struct opinions o = { .count = 0 };
	const struct audit_said *s;

	for (uint32_t i = 0; i < court->member_count; i++) {
		s = audit_said(audit, court->members[i], own->index);
		if (s == NULL || s->version != own->version ||
		    o.count == AUDIT_REPLICAS_MAX)
			continue;
		said[o.count++] = s;
		o.own += s->hash == own->hash;
		if (court->members[i] == court->leader)
			o.leader = s;
	}
	for (uint32_t i = 0; i < o.count; i++) {
		uint32_t same = 0;

		for (uint32_t j = 0; j < o.count; j++)
			same += said[j]->hash == said[i]->hash;
		if (said[i]->hash != own->hash && same > o.most)
			o.most = same;
	}
	return o;
}

enum audit_verdict audit_judge(struct audit *audit, uint64_t index,
			       const struct audit_court *court)
{
	const struct audit_said *own = audit_said(audit, audit->self, index);
	struct opinions o;

	/* One who is no member is judged by nobody. */
	if (own == NULL ||
	    !among(court->members, court->member_count, audit->self))
		return AUDIT_AGREES;
	o = gather(audit, own, court);
	if (o.own == o.count)
		return AUDIT_AGREES;
	if (2 * o.own > court->member_count)
		return AUDIT_OTHERS;
	if (2 * o.most > court->member_count)
		return AUDIT_STOPS;
	if (o.count < court->linked_count && !court->waited)
		return AUDIT_WAITS;
	if (o.count > 2 && 2 * o.own > o.count)
		return AUDIT_OTHERS;
	if (o.count > 2 && 2 * o.most > o.count)
		return AUDIT_STOPS;
	if (o.leader == NULL)
		return AUDIT_WAITS;
	return o.leader->hash == own->hash ? AUDIT_OTHERS : AUDIT_STOPS;
}
