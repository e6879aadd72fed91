/* Sentences on why a program has no place. */
#include "fsm/overlay.h"

/* Text into a bounded buffer; what does not fit is cut. */
struct builder {
	char *text;
	size_t size, length;
};

static void add(struct builder *b, const char *data, size_t size)
{
	for (size_t i = 0; i < size && b->length + 1 < b->size; i++)
		b->text[b->length++] = data[i];
	if (b->size > 0)
		b->text[b->length] = '\0';
}

static void say(struct builder *b, const char *words)
{
	add(b, words, fsm__text(words).size);
}

static void say_number(struct builder *b, uint64_t number)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	add(b, digits + at, sizeof digits - at);
}

/* The first 12 hex digits are enough to find it by. */
static void say_hash(struct builder *b, const struct hash *hash)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < 6; i++) {
		char pair[2] = {hex[hash->bytes[i] >> 4],
				hex[hash->bytes[i] & 15]};

		add(b, pair, 2);
	}
}

static void say_crn(struct builder *b, const struct fsm_view *s, slot_t crn)
{
	if (crn != SLOT_NONE)
		say_hash(b, &s->crns[crn].hash);
	else
		say(b, "(unknown)");
}

static void say_looked(struct builder *b, const struct place_verdict *v)
{
	say(b, " (");
	say_number(b, v->considered);
	say(b, " looked at)");
}

static uint64_t free_of(const struct crn *c, enum place_reason what)
{
	uint64_t all = c->vcpus, used = c->vcpus_used;

	if (what == PLACE_MEMORY) {
		all = c->memory_mib;
		used = c->memory_mib_used;
	} else if (what == PLACE_DISK) {
		all = c->disk_mib;
		used = c->disk_mib_used;
	}
	return all > used ? all - used : 0;
}

static uint64_t most_free(const struct fsm_view *s, enum place_reason what)
{
	uint64_t most = 0;

	for (slot_t i = 0; i < s->crn_bound; i++) {
		const struct crn *c = &s->crns[i];

		if (c->used && c->alive && c->established && c->reported &&
		    free_of(c, what) > most)
			most = free_of(c, what);
	}
	return most;
}

static void say_capacity(struct builder *b, const struct fsm_view *s,
			 const struct program *p, const struct place_verdict *v)
{
	const char *unit = v->reason == PLACE_VCPUS ? " vcpus"
			   : v->reason == PLACE_MEMORY ? " MiB of memory"
						       : " MiB of disk";
	uint64_t need = v->reason == PLACE_VCPUS ? p->vcpus
			: v->reason == PLACE_MEMORY ? p->memory_mib
						    : p->disk_mib;

	say(b, "needs ");
	say_number(b, need);
	say(b, unit);
	say(b, ": the most free on a CRN is ");
	say_number(b, most_free(s, v->reason));
	say_looked(b, v);
}

static void say_away(struct builder *b, const struct fsm_view *s, slot_t crn)
{
	if (crn == SLOT_NONE)
		say(b, " which is not known");
	else if (!s->crns[crn].alive)
		say(b, " which is away");
	else if (!s->crns[crn].linked)
		say(b, " which is no longer linked");
	else
		say(b, " which is not ready yet");
}

static void say_pin(struct builder *b, const struct fsm_view *s,
		    const struct program *p, const struct place_verdict *v)
{
	uint32_t id = v->reason == PLACE_PIN ? p->node_pin : p->data_crn;
	struct hash hash = fsm__hash_get(s, id);

	say(b, v->reason == PLACE_PIN ? "pinned to CRN " : "data on CRN ");
	say_hash(b, &hash);
	say_away(b, s, v->crn);
}

/* R24: failing everywhere shows the last reason of each. */
static void say_failures(struct builder *b, const struct fsm_view *s,
			 slot_t program, const struct place_verdict *v)
{
	struct fsm_exclusion rows[8];
	uint32_t count = fsm_program_exclusions(s, program, rows, 8);

	say(b, "failed to start on every CRN that fits");
	say_looked(b, v);
	for (uint32_t i = 0; i < count; i++) {
		say(b, i == 0 ? ": " : "; ");
		say_crn(b, s, rows[i].crn);
		say(b, " said \"");
		add(b, rows[i].reason.data, rows[i].reason.size);
		say(b, "\"");
	}
}

static void say_state(struct builder *b, const struct fsm_view *s,
		      const struct program *p, const struct place_verdict *v)
{
	if (v->reason == PLACE_LOST) {
		say(b, "restored from a backup: waits until every CRN was "
		       "surveyed (");
		say_number(b, s->unsurveyed_count);
		say(b, " missing)");
	} else if (v->reason == PLACE_HELD) {
		say(b, "held by CRN ");
		say_crn(b, s, v->crn);
		say(b, ", which is silent: nothing proves that it stopped");
	} else if (v->reason == PLACE_REVOKING) {
		say(b, "waits for the proof that it stopped on CRN ");
		say_crn(b, s, v->crn);
	} else if (v->reason == PLACE_STICKY) {
		say(b, "waits for its last CRN ");
		say_crn(b, s, v->crn);
		say(b, ", which came back a moment ago");
	} else if (v->reason == PLACE_QUARANTINE) {
		say(b, "after a restore, older leases must run out first: ");
		say_number(b, s->quar_until_ms - s->c_ms);
		say(b, " ms to go");
	} else if (p->forgotten) {
		say(b, "it was forgotten");
	} else {
		say(b, p->superseded ? "it was replaced by another program"
				     : "it is not persistent");
	}
}

static void say_all(struct builder *b, const struct fsm_view *s, slot_t program,
		    const struct place_verdict *v)
{
	const struct program *p = &s->programs[program];

	switch (v->reason) {
	case PLACE_OK:
		say(b, "on CRN ");
		say_crn(b, s, v->crn);
		break;
	case PLACE_WAITS_REPLACED:
		say(b, "the program that it replaces is not known yet");
		break;
	case PLACE_LINEAGE:
		say(b, "another version of it has not stopped yet");
		break;
	case PLACE_NO_CRN:
		say(b, "no CRN is alive and ready");
		break;
	case PLACE_PIN:
	case PLACE_DATA:
		say_pin(b, s, p, v);
		break;
	case PLACE_TOKENS:
		say(b, "no CRN offers ");
		add(b, v->token.data, v->token.size);
		say_looked(b, v);
		break;
	case PLACE_CLASS:
		say(b, "only unfenced CRNs are there");
		say_looked(b, v);
		break;
	case PLACE_SLOTS:
		say(b, "a CRN takes ");
		say_number(b, FSM_CRN_PROGRAMS_MAX);
		say(b, " programs at most");
		say_looked(b, v);
		break;
	case PLACE_UNKNOWN_SIZE:
		say(b, "a CRN that fits has yet to stop a run of before the "
		       "restore, whose size is not known");
		say_looked(b, v);
		break;
	case PLACE_VCPUS:
	case PLACE_MEMORY:
	case PLACE_DISK:
		say_capacity(b, s, p, v);
		break;
	case PLACE_EXCLUDED:
		say_failures(b, s, program, v);
		break;
	case PLACE_IN_FLIGHT:
		say(b, "its assignment is being committed");
		break;
	case PLACE_NOT_WANTED:
	case PLACE_LOST:
	case PLACE_QUARANTINE:
	case PLACE_REVOKING:
	case PLACE_HELD:
	case PLACE_STICKY:
	case PLACE_REASON_COUNT:
	default:
		say_state(b, s, p, v);
	}
}

size_t place_explain(const struct fsm_view *s, slot_t program,
		     const struct place_verdict *verdict, char *text,
		     size_t size)
{
	struct builder b = {text, size, 0};

	if (size > 0)
		text[0] = '\0';
	say_all(&b, s, program, verdict);
	return b.length;
}
