#include "raft/members.h"

#include <inttypes.h>
#include <stdio.h>

#include "raft/bytes.h"

#define FORMAT 1u
#define ADDRESS_SIZE 64u

bool disk_id_known(const uint8_t disk_id[16])
{
	static const uint8_t zero[16];

	return memcmp(disk_id, zero, 16) != 0;
}

static void address_of(const struct replica_member *member,
		       char text[ADDRESS_SIZE])
{
	int at = snprintf(text, ADDRESS_SIZE, "%" PRIu64, member->id);
	int i;

	if (!disk_id_known(member->disk_id))
		return;
	text[at++] = '/';
	for (i = 0; i < 16; i++, at += 2)
		snprintf(text + at, ADDRESS_SIZE - (size_t)at, "%02x",
			 member->disk_id[i]);
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool disk_of(const char *address, uint8_t disk_id[16])
{
	const char *slash = strchr(address, '/');
	int i;

	memset(disk_id, 0, 16);
	if (!slash)
		return true;
	if (strlen(slash + 1) != 32)
		return false;
	for (i = 0; i < 16; i++) {
		int high = nibble(slash[1 + 2 * i]);
		int low = nibble(slash[2 + 2 * i]);

		if (high < 0 || low < 0)
			return false;
		disk_id[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static int role_to_raft(enum replica_role role)
{
	if (role == ROLE_VOTER)
		return RAFT_VOTER;
	return role == ROLE_STANDBY ? RAFT_STANDBY : RAFT_SPARE;
}

static enum replica_role role_from_raft(int role)
{
	if (role == RAFT_VOTER)
		return ROLE_VOTER;
	return role == RAFT_STANDBY ? ROLE_STANDBY : ROLE_SPARE;
}

static bool member_decode(struct cursor *cursor, struct replica_member *out)
{
	char address[ADDRESS_SIZE];
	uint32_t i;
	uint8_t role;

	out->id = cursor_u64(cursor);
	for (i = 0; i < sizeof address; i++) {
		address[i] = (char)cursor_u8(cursor);
		if (!address[i])
			break;
	}
	role = cursor_u8(cursor);
	if (cursor->bad || i == sizeof address || out->id == 0 ||
	    (role != RAFT_VOTER && role != RAFT_STANDBY &&
	     role != RAFT_SPARE))
		return false;
	out->role = role_from_raft(role);
	return disk_of(address, out->disk_id);
}

bool members_decode(struct members *out, const void *data, size_t size)
{
	struct cursor cursor = { .at = data, .left = size };
	struct members members = { 0 };
	uint64_t count, i;

	if (cursor_u8(&cursor) != FORMAT)
		return false;
	count = cursor_u64(&cursor);
	if (cursor.bad || count == 0 || count > REPLICA_MEMBERS_MAX)
		return false;
	for (i = 0; i < count; i++) {
		if (!member_decode(&cursor, &members.list[i]) ||
		    members_find(&members, members.list[i].id))
			return false;
		members.count++;
	}
	*out = members;
	return true;
}

int members_to_raft(const struct members *members,
		    struct raft_configuration *out)
{
	uint32_t i;

	raft_configuration_init(out);
	for (i = 0; i < members->count; i++) {
		char address[ADDRESS_SIZE];
		int rv;

		address_of(&members->list[i], address);
		rv = raft_configuration_add(out, members->list[i].id, address,
					    role_to_raft(
						    members->list[i].role));
		if (rv) {
			raft_configuration_close(out);
			return rv == RAFT_NOMEM ? BERTH_NOMEM : BERTH_INVALID;
		}
	}
	return 0;
}

int members_encode(const struct members *members, struct raft_buffer *out)
{
	struct raft_configuration configuration;
	int code = members_to_raft(members, &configuration);

	if (code)
		return code;
	code = raft_configuration_encode(&configuration, out) ? BERTH_NOMEM : 0;
	raft_configuration_close(&configuration);
	return code;
}

void members_from_raft(struct members *out,
		       const struct raft_configuration *configuration)
{
	unsigned i;

	memset(out, 0, sizeof *out);
	for (i = 0; i < configuration->n && i < REPLICA_MEMBERS_MAX; i++) {
		const struct raft_server *server = &configuration->servers[i];

		out->list[i].id = server->id;
		out->list[i].role = role_from_raft(server->role);
		if (!disk_of(server->address, out->list[i].disk_id))
			memset(out->list[i].disk_id, 0, 16);
		out->count++;
	}
}

const struct replica_member *members_find(const struct members *members,
					  uint64_t id)
{
	uint32_t i;

	for (i = 0; i < members->count; i++)
		if (members->list[i].id == id)
			return &members->list[i];
	return NULL;
}

bool members_sole_voter(const struct members *members, uint64_t id)
{
	const struct replica_member *own = members_find(members, id);
	uint32_t i, voters = 0;

	for (i = 0; i < members->count; i++)
		voters += members->list[i].role == ROLE_VOTER;
	return own && own->role == ROLE_VOTER && voters == 1;
}
