/** The commands of `arq audit` and `arq journal`. */
import { command, type Definition, group, NEEDED, rows } from "./define.ts";
import { AUDIT_OUTCOMES } from "../../../shared/audit/outcome.ts";
import { BUS, calls, count, id, room, span, tenant } from "./options.ts";
import type { Anchor } from "../../../shared/audit/chain.ts";
import { usageError } from "../../terminal/exit.ts";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import { asks, from, sentence } from "./asks.ts";

// A command is loaded when it runs.
const audit = () => import("../../commands/audit/audit.ts");
const journal = () => import("../../commands/journal/journal.ts");
const journalText = () => import("../../answers/why_text.ts");

/** Reads an anchor of the form `SEQ:HASH`. Throws a usage error. */
function parseAnchor(text: string): Anchor {
  const [, seq = "", hash = ""] = /^([1-9][0-9]{0,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq !== "") return { seq: Number(seq), hash };
  throw usageError("--anchor: expected SEQ:HASH, as arq audit verify prints it");
}

/** `arq audit` */
export const AUDIT: readonly Definition[] = [
  group`audit: the audit log of the admin API: show it, and verify that nobody changed it`,
  command`audit [list]: list admins' actions, newest last ${BUS}
    --tenant <id>  only about this tenant ${tenant}
    --actor <user>  only by this user
    --action <name>  only this action: policy.deploy, or policy for all policy actions
    --outcome <name>  only with this outcome ${AUDIT_OUTCOMES}
    --since <time>  only the last 10m, 1h, 7d or seconds ${span}
    --limit <n>  the most entries, the newest ones ${count} ${{ is: 100 }}
    -f, --follow  continue with new entries
    --json  one JSON object a line, with the hash of each entry

    Needs a token of role admin; the admin of one tenant sees only that tenant. An action without an
    outcome is shown as begun.
    $ arq audit --since 1d
    $ arq audit list --tenant acme --action policy --json | jq .by
    $ arq audit --follow --outcome refused`(calls(audit, "auditList")),
  command`audit verify: check that the audit log is one chain of hashes; 1: the chain is broken ${BUS}
    --file <file>  check this file of entries, one a line; - is stdin
    --anchor <seq:hash>  an entry that the log must contain, from an earlier run ${parseAnchor}
    --json  print the findings as JSON

    Needs a token of an operator. Save the printed anchor elsewhere: it later shows whether the log
    was truncated or replaced. GET /v1/audit/entries returns the entries.
    $ arq audit verify
    $ arq audit verify --anchor 1204:5f3c…
    $ arq audit verify --file entries.ndjson`(calls(audit, "auditVerify")),
];

const WHOSE = rows`
    --tenant <id>  the tenant of the journal ${tenant} ${{ is: DEV_TENANT }}`;

const FILTERS = rows`
    ${WHOSE}
    --room <id>  only about this room ${room}
    --user <id>  only about this user
    --connection <id>  only about this connection ${id("connection")}
    --trace <id>  only of this W3C trace
    --message-id <id>  only about this message
    --policy <name>  only decisions of this policy
    --outcome <name>  only with this outcome; fault: a policy could not decide ${[
  "allowed",
  "refused",
  "fault",
]}
    --since <time>  only the last 10m, 1h, 7d or seconds ${span}`;

/** `arq journal` */
export const JOURNAL: readonly Definition[] = [
  group`journal: decisions of policies, schemas and limits, with every input: show, export, erase`,
  command`journal [list]: list decisions about connections, subscriptions and messages, oldest first ${BUS}
    ${FILTERS}
    --limit <n>  the most lines ${count} ${{ is: 100 }}
    --newest  the last lines instead of the first ones; --follow then begins there
    -f, --follow  continue with new lines, without a limit
    --json  the raw lines: one JSON object each, with every input

    Needs a token of role admin. A HOLE means missing decisions; it has their number and the reason.
    $ arq journal --since 10m --outcome refused
    $ arq journal list --room lobby --policy words --since 1d --json | jq .policies
    $ arq journal --newest --limit 20
    $ arq journal --follow --since 1m`(calls(journal, "journalList")),
  command`journal export: write decisions into a file, one JSON object a line ${BUS}
    ${FILTERS}
    --out <file>  the new file; - is stdout ${NEEDED}
    --json  print the result as JSON, on stderr
    --no-payloads  omit payloads that are in the logs of durable rooms

    arq policy replay --journal FILE replays the file. After Ctrl-C it has the complete lines so
    far.
    $ arq journal export --room lobby --since 7d --out lobby.ndjson
    $ arq journal export --since 1h --outcome refused --out - | jq .reason`(
    calls(journal, "journalExport"),
  ),
  command`journal erase: delete the keys of a user, so that the journal's records of it become unreadable ${BUS}
    ${WHOSE}
    --user <id>  the user ${NEEDED}
    --yes  do not ask
    --json  print the answer as JSON

    Decisions, their cost and their schemas stay; the user, the address and the payloads are lost
    permanently. Messages in the logs of durable rooms stay.
    $ arq journal erase --tenant acme --user ann --yes`(asks({
    route: "POST /v1/journal/erase",
    body: "tenant,user",
    confirm: ({ tenant, user }) =>
      `The records of user ${user} in the journal of ${tenant} will be lost permanently. Erase them?`,
    text: sentence(({ erased }, { tenant, user }) =>
      erased === true
        ? `user ${user} is erased from the journal of ${tenant}`
        : `the journal of ${tenant} has no records of user ${user}`
    ),
  })),
  command`journal status: print the size of a tenant's journal, and its beginning ${BUS}
    ${WHOSE}
    --json  print the answer as JSON

    $ arq journal status --tenant acme`(asks({
    route: "GET /v1/journal/status?tenant",
    text: from(journalText, "journalStatusText"),
  })),
];
