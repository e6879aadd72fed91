/* pki init|issue. */
#include "node/lib/pki.h"

#include "node/cli/cli.h"

enum { OPTION_CLUSTER = 1, OPTION_HOST, OPTION_DAYS };

CLI_COMMAND(cmd_pki_init)
{
	static const struct argp_option options[] = {
		{ "cluster", OPTION_CLUSTER, "NAME", 0,
		  "the cluster's name (default berth)", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	struct cli_option_value values[1] = { 0 };
	const char *words[1];
	struct fault fault;

	cli_parse(cli, command, argc, argv, options, values, 1, 1, words);
	if (pki_init(words[0], values[0].value ? values[0].value : "berth",
		     &fault))
		return cli_fail(CLI_FAILED, "%s", fault.text);
	printf("%s/ca.pem\n%s/ca-key.pem\n", words[0], words[0]);
	return CLI_DONE;
}

CLI_COMMAND(cmd_pki_issue)
{
	static const struct argp_option options[] = {
		{ "host", OPTION_HOST, "NAME", 0,
		  "DNS name or address it may serve; again for more", 0 },
		{ "days", OPTION_DAYS, "N", 0,
		  "how long it is good (default 825)", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	struct cli_option_value values[2] = { 0 };
	const char *words[3], *hosts[COUNT_OF(values[0].values) + 1] = { 0 };
	struct identity identity;
	struct fault fault;
	uint32_t days;

	cli_parse(cli, command, argc, argv, options, values, 3, 3, words);
	if (identity_parse(words[2], &identity))
		return cli_fail(CLI_USAGE, "\"%s\" is not an identity such as"
				" berth://CLUSTER/replica/1, berth://CLUSTER/"
				"crn/HASH or berth://CLUSTER/operator/NAME",
				words[2]);
	for (uint32_t i = 0; i < values[0].count; i++)
		hosts[i] = values[0].values[i];
	days = (uint32_t)cli_number(&values[1], "days", 825, 1, 36500);
	if (pki_issue(words[0], words[1], &identity, hosts, days, &fault))
		return cli_fail(CLI_FAILED, "%s", fault.text);
	printf("%s/cert.pem\n%s/key.pem\n%s/ca.pem\n", words[1], words[1],
	       words[1]);
	return CLI_DONE;
}
