/* Commands as texts, for the one who reads a difference. */
#include <stdarg.h>
#include <stdio.h>

#include "tests/kit/slow.h"

#define NAMES 16

static const char *const types[] = {
	"", "lead", "beat", "register", "report", "expire", "assign", "revoke",
	"fence_confirm", "new_gen", "config", "put", "forget", "crn_put",
	"crn_remove",
};

const char *slow_command_name(enum fsm_command_type type)
{
	return (size_t)type < COUNT_OF(types) ? types[type] : "?";
}

const char *slow_name(const struct hash *hash)
{
	static char names[NAMES][24];
	static unsigned next;
	char *out = names[next++ % NAMES];
	size_t size = 0;

	if (hash_is_zero(hash))
		return "none";
	while (size < 12 && hash->bytes[size] > ' ' && hash->bytes[size] < 127)
		size++;
	if (size == 12 || (size > 0 && hash->bytes[size] == 0 &&
			   hash->bytes[31] == 0))
		snprintf(out, sizeof names[0], "%.*s", (int)size,
			 (const char *)hash->bytes);
	else
		snprintf(out, sizeof names[0], "%02x%02x..%02x%02x%02x%02x",
			 hash->bytes[0], hash->bytes[1], hash->bytes[28],
			 hash->bytes[29], hash->bytes[30], hash->bytes[31]);
	return out;
}

/* Appends to what is there. */
struct page {
	char *text;
	size_t size, at;
};

PRINTF_LIKE(2, 3)
static void say(struct page *p, const char *format, ...)
{
	va_list args;
	int count;

	if (p->at + 1 >= p->size)
		return;
	va_start(args, format);
	count = vsnprintf(p->text + p->at, p->size - p->at, format, args);
	va_end(args);
	if (count > 0)
		p->at += (size_t)count;
	if (p->at >= p->size)
		p->at = p->size - 1;
}

static unsigned long long big(uint64_t number)
{
	return (unsigned long long)number;
}

static void say_beat(struct page *p, const struct command_beat *m)
{
	say(p, " dt=%u", m->dt_ms);
	for (uint32_t i = 0; i < m->renewal_count && i < 12; i++) {
		const struct command_renewal *r = &m->renewals[i];

		say(p, " %s/session=%llx/gen=%llu/applied=%llx%s",
		    slow_name(&r->crn), big(r->session), big(r->gen),
		    big(r->applied), r->got_ack ? "/ack" : "");
	}
}

static void say_register(struct page *p, const struct command_register *m)
{
	say(p, " %s gen=%llu prev=%llx host=%s boot=%s nonce=%02x%02x k=%u "
	    "watchdog=%d %s held=", slow_name(&m->crn), big(m->gen),
	    big(m->prev), slow_name(&m->host), slow_name(&m->boot),
	    m->nonce[0], m->nonce[1], m->k_ms, (int)m->watchdog,
	    m->class == CRN_FENCED ? "fenced" : "unfenced");
	for (uint32_t i = 0; i < m->held_count && i < 8; i++)
		say(p, "%s/%llu.%llx/lineage=%s%s ",
		    slow_name(&m->held[i].program), big(m->held[i].gen),
		    big(m->held[i].epoch), slow_name(&m->held[i].lineage),
		    m->held[i].running ? "" : "/unknown");
}

static void say_put(struct page *p, const struct command_program_put *m)
{
	say(p, " %s %s%s%s%s%s%s%s time=%llu code=%llu owner=%.*s name=%.*s "
	    "vcpus=%u memory=%llu disk=%llu tokens=%u",
	    slow_name(&m->program), m->source == SOURCE_CCN ? "ccn"
							    : "operator",
	    m->kind == KIND_INSTANCE ? " instance" : "",
	    m->guarantee == GUARANTEE_HOLD ? " hold" : "",
	    m->amendable ? "" : " fixed", m->has_data ? " data" : "",
	    m->move_without_data ? " movable" : "",
	    m->persistent ? "" : " on-demand", big(m->time_ms),
	    big(m->code_revision), (int)m->owner.size, m->owner.data,
	    (int)m->name.size, m->name.data, m->vcpus, big(m->memory_mib),
	    big(m->disk_mib), m->token_count);
	if (m->has_replaces)
		say(p, " replaces=%s", slow_name(&m->replaces));
	if (m->has_node_pin)
		say(p, " pin=%s", slow_name(&m->node_pin));
}

static void say_config(struct page *p, const struct fsm_config *m)
{
	say(p, " heartbeat=%u ttl_a=%u ttl_s=%u k=%u dt_max=%u beat=%u "
	    "sticky=%u failures=%u timeout=%u exclude=%u rho=%u programs=%u "
	    "crns=%u no_watchdog_ok=%d unfenced_ok=%d", m->heartbeat_ms,
	    m->ttl_a_ms, m->ttl_s_ms, m->k_ms, m->dt_max_ms, m->beat_ms,
	    m->sticky_ms, m->start_failures_max, m->start_timeout_ms,
	    m->exclude_ms, m->rho_ppm, m->programs_max, m->crns_max,
	    m->watchdog_none_ok, m->unfenced_hold_ok);
}

static void say_new_gen(struct page *p, const struct command_new_gen *m)
{
	say(p, " gen=%llu%s universe=", big(m->gen),
	    m->no_holds ? " no_holds" : "");
	for (uint32_t i = 0; i < m->universe_count && i < 8; i++)
		say(p, "%s,", slow_name(&m->universe[i]));
}

static void say_more(struct page *p, const struct command *c)
{
	if (c->type == FSM_FENCE_CONFIRM)
		say(p, " %s gen=%llu session=%llx%s",
		    slow_name(&c->fence_confirm.crn),
		    big(c->fence_confirm.gen), big(c->fence_confirm.session),
		    c->fence_confirm.all_machines ? " all" : "");
	else if (c->type == FSM_NEW_GEN)
		say_new_gen(p, &c->new_gen);
	else if (c->type == FSM_CONFIG)
		say_config(p, &c->config);
	else if (c->type == FSM_PROGRAM_PUT)
		say_put(p, &c->program_put);
	else if (c->type == FSM_PROGRAM_FORGET)
		say(p, " %s", slow_name(&c->program_forget.program));
	else if (c->type == FSM_CRN_PUT)
		say(p, " %s name=%.*s%s", slow_name(&c->crn_put.crn),
		    (int)c->crn_put.name.size, c->crn_put.name.data,
		    c->crn_put.linked ? "" : " unlinked");
	else if (c->type == FSM_CRN_REMOVE)
		say(p, " %s", slow_name(&c->crn_remove.crn));
}

void slow_words(const struct command *c, char *text, size_t size)
{
	struct page p = {text, size, 0};

	text[0] = '\0';
	say(&p, "%s", slow_command_name(c->type));
	if (c->request[0])
		say(&p, " request=%u", c->request[0]);
	if (c->type == FSM_LEAD)
		say(&p, " term=%llu", big(c->lead.term));
	else if (c->type == FSM_BEAT)
		say_beat(&p, &c->beat);
	else if (c->type == FSM_REGISTER)
		say_register(&p, &c->reg);
	else if (c->type == FSM_CRN_REPORT)
		say(&p, " %s session=%llx vcpus=%u", slow_name(&c->report.crn),
		    big(c->report.session), c->report.vcpus);
	else if (c->type == FSM_EXPIRE)
		say(&p, " %s session=%llx", slow_name(&c->expire.crn),
		    big(c->expire.session));
	else if (c->type == FSM_ASSIGN)
		say(&p, " %s %s session=%llx", slow_name(&c->assign.program),
		    slow_name(&c->assign.crn), big(c->assign.session));
	else if (c->type == FSM_REVOKE)
		say(&p, " %s epoch=%llx cause=%d",
		    slow_name(&c->revoke.program), big(c->revoke.epoch),
		    (int)c->revoke.cause);
	else
		say_more(&p, c);
}
