/* The state's hash at every so many entries: taken from a frozen view, in the
 * pool, told to the other replicas, compared. What differs is said with every
 * number; the replica whose state is the wrong one stops, and its directory
 * is not opened again (R18: it rejoins, empty, under a new id). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "node/lib/log.h"
#include "node/replica/core_impl.h"
#include "raft/bytes.h"

#define EVERY_DEFAULT 1024u
#define SPARSE 16u          /* when entries come fast: every 16th of those */
#define PERIOD_MIN_MS 2000u
#define LINE_MS 1000u       /* between two lines about one replica */
#define SAID_SIZE 20u
#define MARK_NAME "untrusted"

struct court {
	struct audit_court court;
	uint64_t members[REPLICA_MEMBERS_MAX];
	bool linked[REPLICA_MEMBERS_MAX];
};

static void court_open(struct core *core, struct court *c)
{
	struct replica_status s;

	memset(c, 0, sizeof *c);
	replica_status(core->replica, &s);
	for (uint32_t i = 0; i < s.member_count; i++) {
		if (s.members[i].role == ROLE_SPARE)
			continue;
		c->linked[c->court.member_count] = s.connected[i];
		c->members[c->court.member_count++] = s.members[i].id;
		c->court.linked_count += s.connected[i];
	}
	c->court.members = c->members;
	c->court.leader = s.leader;
}

/* --- the mark --------------------------------------------------------------- */

static bool mark_path(const struct core *core, char *path, size_t size)
{
	int length = snprintf(path, size, "%s/" MARK_NAME,
			      core->config.directory);

	return length > 0 && (size_t)length < size;
}

/* On the loop, but the last thing that this replica does. */
static void mark(const struct core *core, const char *text)
{
	char path[4200];
	int fd = -1;

	if (mark_path(core, path, sizeof path))
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, "%s\n", text) < 0 || fsync(fd) != 0)
		log_error("audit", "%s cannot be written: %s; do not start "
			  "this replica again", MARK_NAME, strerror(errno));
	if (fd >= 0)
		close(fd);
}

int core__audit_open(struct core *core, struct fault *fault)
{
	char path[4200];

	core->audit.every = core->config.audit_entries == 0
				    ? EVERY_DEFAULT
				    : core->config.audit_entries;
	audit_init(&core->audit.said, core->config.replica.id);
	if (!mark_path(core, path, sizeof path))
		return fault_set(fault, BERTH_INVALID, "path too long");
	if (access(path, F_OK) != 0)
		return 0;
	return fault_set(fault, BERTH_CORRUPT, "%s: the state here differed "
			 "from the other replicas' and must not be trusted; "
			 "remove this replica from the cluster and let it "
			 "join under a new id with an empty directory", path);
}

/* --- telling ------------------------------------------------------------------ */

static void say(struct core *core, uint64_t id, const struct audit_said *said)
{
	uint8_t data[SAID_SIZE];

	put_u64(data, said->index);
	put_u64(data + 8, said->hash);
	put_u32(data + 16, said->version);
	peers_state(&core->peers, id, data, sizeof data);
}

/* Nothing is said, voted or acknowledged any more; main ends the process. */
static void stop(struct core *core, uint64_t index)
{
	const struct audit_said *own =
		audit_said(&core->audit.said, core->config.replica.id, index);
	struct fault fault;

	fault_set(&fault, BERTH_CORRUPT, "the state of replica %" PRIu64
		  " at index %" PRIu64 " has hash %016" PRIx64 ", the others' "
		  "has not: it must not be trusted; remove this replica from "
		  "the cluster and let it join under a new id with an empty "
		  "directory", core->config.replica.id, index, own->hash);
	core->failed = true;
	peers_close(&core->peers);
	driver_leader(core->driver, false, 0);
	mark(core, fault.text);
	core__tell_fatal(core, &fault);
}

static void judge(struct core *core, uint64_t index, struct court *c,
		  bool waited)
{
	struct core_audit_work *a = &core->audit;

	c->court.waited = waited;
	switch (audit_judge(&a->said, index, &c->court)) {
	case AUDIT_STOPS:
		stop(core, index);
		break;
	case AUDIT_WAITS:
		/* One that waited in vain makes room for a newer one. */
		if (!waited && a->doubt != 0 && !a->doubt_waited)
			break;
		a->doubt = index;
		a->doubt_waited = waited;
		a->doubt_end_ms = clock_monotonic_ms() + AUDIT_WAIT_MS;
		break;
	case AUDIT_AGREES:
	case AUDIT_OTHERS:
	default:
		if (a->doubt == index)
			a->doubt = 0;
		break;
	}
}

/* Once for each replica and index: said, counted, and ours told to it, for it
 * may have been away when we told all. */
static void differs(struct core *core, uint64_t id, struct audit_said *theirs,
		    const struct audit_said *own)
{
	struct core_audit_work *a = &core->audit;
	uint64_t now_ms = clock_monotonic_ms();

	if (theirs->told)
		return;
	theirs->told = true;
	atomic_fetch_add(&a->mismatches, 1);
	say(core, id, own);
	if (a->line_ms != 0 && now_ms - a->line_ms < LINE_MS &&
	    a->line_id == id)
		return;
	a->line_ms = now_ms;
	a->line_id = id;
	log_error("audit", "states differ at index %" PRIu64 ": replica %"
		  PRIu64 " (this one) has hash %016" PRIx64 ", replica %"
		  PRIu64 " has %016" PRIx64, own->index,
		  core->config.replica.id, own->hash, id, theirs->hash);
}

static void compare(struct core *core, uint64_t index, struct court *c)
{
	struct audit *said = &core->audit.said;
	const struct audit_said *own = audit_said(said, said->self, index);
	bool doubt = false;

	for (uint32_t i = 0; own != NULL && i < c->court.member_count; i++) {
		struct audit_said *theirs =
			audit_said(said, c->members[i], index);

		if (theirs == NULL || theirs == own ||
		    theirs->version != own->version ||
		    theirs->hash == own->hash)
			continue;
		differs(core, c->members[i], theirs, own);
		doubt = true;
	}
	if (doubt)
		judge(core, index, c, false);
}

/* --- hearing ------------------------------------------------------------------ */

bool core__audit_heard(void *ctx, uint64_t id, const uint8_t *data, size_t size)
{
	struct core *core = ctx;
	struct audit_said said = { .told = false };
	struct court c;

	if (size != SAID_SIZE)
		return false;
	said.index = get_u64(data);
	said.hash = get_u64(data + 8);
	said.version = get_u32(data + 16);
	if (said.index == 0)
		return false;
	if (core->failed || core->stopping)
		return true;
	court_open(core, &c);
	for (uint32_t i = 0; i < c.court.member_count; i++) {
		/* Linked means that the engine accepted its disk. */
		if (c.members[i] != id || !c.linked[i] ||
		    !audit_say(&core->audit.said, id, &said))
			continue;
		compare(core, said.index, &c);
		break;
	}
	return true;
}

/* --- our own ------------------------------------------------------------------ */

static void hash_view(uv_work_t *work)
{
	struct core_audit_work *a = work->data;

	a->hash = fsm_view_hash(a->view);
}

static void on_hashed(uv_work_t *work, int status)
{
	struct core_audit_work *a = work->data;
	struct core *core = a->core;
	const struct audit_said own = { .index = a->index, .hash = a->hash,
					.version = fsm_hash_version() };
	struct court c;

	core_view_close(core, a->view);
	a->view = NULL;
	if (status != 0 || core->failed || core->stopping)
		return;
	atomic_fetch_add(&a->taken, 1);
	court_open(core, &c);
	audit_keep(&a->said, c.members, c.court.member_count);
	if (!audit_say(&a->said, a->said.self, &own))
		return;
	for (uint32_t i = 0; i < c.court.member_count; i++)
		if (c.members[i] != a->said.self)
			say(core, c.members[i], &own);
	compare(core, own.index, &c);
}

/* By index alone, so that all replicas look at the same ones; and when entries
 * come fast, at fewer of those, which are the same again. */
void core__audit_applied(struct core *core, uint64_t index)
{
	struct core_audit_work *a = &core->audit;
	uint64_t now_ms;

	if (index % a->every != 0)
		return;
	now_ms = clock_monotonic_ms();
	if (a->last_ms != 0 && now_ms - a->last_ms < PERIOD_MIN_MS &&
	    index % ((uint64_t)a->every * SPARSE) != 0)
		return;
	a->last_ms = now_ms;
	if (a->view == NULL)
		a->view = core_view_open(core);
	else
		index = 0; /* the last one is not hashed yet */
	if (a->view == NULL || index == 0) {
		atomic_fetch_add(&a->skipped, 1);
		return;
	}
	a->core = core;
	a->index = index;
	a->work.data = a;
	if (uv_queue_work(&core->loop, &a->work, hash_view, on_hashed) == 0)
		return;
	core_view_close(core, a->view);
	a->view = NULL;
}

/* The wait of a doubt is over; without a leader it goes on. */
void core__audit_tick(struct core *core)
{
	struct core_audit_work *a = &core->audit;
	struct court c;

	if (a->doubt == 0 || clock_monotonic_ms() < a->doubt_end_ms)
		return;
	court_open(core, &c);
	judge(core, a->doubt, &c, true);
}

void core_audit_counts(struct core *core, struct core_audit *out)
{
	out->taken = atomic_load(&core->audit.taken);
	out->skipped = atomic_load(&core->audit.skipped);
	out->mismatches = atomic_load(&core->audit.mismatches);
}
