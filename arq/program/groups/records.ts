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
const journalText = () => import("../../answers/journal_text.ts");

/** Reads an anchor of the form `SEQ:HASH`. Throws a usage error. */
function parseAnchor(text: string): Anchor {
  const [, seq = "", hash = ""] = /^([1-9][0-9]{0,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq !== "") return { seq: Number(seq), hash };
  throw usageError("--anchor: expected SEQ:HASH, as arq audit verify prints it");
}

/** `arq audit` */
export const AUDIT: readonly Definition[] = [
  group`audit: who did what on the admin API: show the audit log, and check that nobody changed it`,
  command`audit [list]: what admins did, the newest last ${BUS}
    --tenant <id>  about this tenant ${tenant}
    --actor <user>  by this user
    --action <name>  policy.deploy, or policy for all about policies
    --outcome <name>  how it ended ${AUDIT_OUTCOMES}
    --since <time>  so long ago at most: 10m, 1h, 7d or seconds ${span}
    --limit <n>  so many at most, the newest ${count} ${{ is: 100 }}
    -f, --follow  go on with what comes
    --json  one JSON object a line, with the hash of each entry

    Needs a token of role admin; who operates one tenant sees what is about it. A change that began
    and has no outcome is shown as begun.
    $ arq audit --since 1d
    $ arq audit list --tenant acme --action policy --json | jq .by
    $ arq audit --follow --outcome refused`(calls(audit, "auditList")),
  command`audit verify: check that the audit log is one chain of hashes; 1 is a break ${BUS}
    --file <file>  check this file of entries, one a line; - is stdin
    --anchor <seq:hash>  an entry that must be there, as noted before ${parseAnchor}
    --json  print what was found as JSON

    Needs a token of an operator. The anchor that it prints, kept elsewhere, shows later whether the
    end was cut off or all of it made anew. GET /v1/audit/entries hands out the entries.
    $ arq audit verify
    $ arq audit verify --anchor 1204:5f3c…
    $ arq audit verify --file entries.ndjson`(calls(audit, "auditVerify")),
];

const WHOSE = rows`
    --tenant <id>  whose journal ${tenant} ${{ is: DEV_TENANT }}`;

const FILTERS = rows`
    ${WHOSE}
    --room <id>  about this room ${room}
    --user <id>  about this user
    --connection <id>  about this connection ${id("connection")}
    --trace <id>  of this W3C trace
    --message-id <id>  about this message
    --policy <name>  for which this policy was asked
    --outcome <name>  how they ended; fault: a policy could not decide ${[
  "allowed",
  "refused",
  "fault",
]}
    --since <time>  so long ago at most: 10m, 1h, 7d or seconds ${span}`;

/** `arq journal` */
export const JOURNAL: readonly Definition[] = [
  group`journal: what policies, schemas and limits decided, with every input: show, export, erase`,
  command`journal [list]: what was decided about connections, subscriptions and messages, the oldest first ${BUS}
    ${FILTERS}
    --limit <n>  so many lines at most ${count} ${{ is: 100 }}
    --newest  the last lines, not the first ones; also where --follow begins
    -f, --follow  go on with what comes, without a limit
    --json  the lines as they are: one JSON object each, with every input that was read

    Needs a token of role admin. A HOLE says that decisions are missing, how many, and why.
    $ arq journal --since 10m --outcome refused
    $ arq journal list --room lobby --policy words --since 1d --json | jq .policies
    $ arq journal --newest --limit 20
    $ arq journal --follow --since 1m`(calls(journal, "journalList")),
  command`journal export: write what was decided into a file, one JSON object a line ${BUS}
    ${FILTERS}
    --out <file>  the new file; - is stdout ${NEEDED}
    --json  print what was written as JSON, on stderr
    --no-payloads  leave out payloads that stand in the logs of durable rooms

    The file can be replayed with arq policy replay --journal FILE. Stopped by Ctrl-C, it has
    whole lines up to there.
    $ arq journal export --room lobby --since 7d --out lobby.ndjson
    $ arq journal export --since 1h --outcome refused --out - | jq .reason`(
    calls(journal, "journalExport"),
  ),
  command`journal erase: delete the keys of a user, so that nobody can read what the journal says of it ${BUS}
    ${WHOSE}
    --user <id>  the user ${NEEDED}
    --yes  do not ask
    --json  print the answer as JSON

    Decisions, their cost and their schemas stay; who it was, from where, and what was sent is gone
    for good. Messages in the logs of durable rooms are not touched.
    $ arq journal erase --tenant acme --user ann --yes`(asks({
    route: "POST /v1/journal/erase",
    body: "tenant,user",
    confirm: ({ tenant, user }) =>
      `What the journal of ${tenant} says of user ${user} will be lost permanently. Erase it?`,
    text: sentence(({ erased }, { tenant, user }) =>
      erased === true
        ? `user ${user} is erased from the journal of ${tenant}`
        : `the journal of ${tenant} says nothing of user ${user}`
    ),
  })),
  command`journal status: how much of a tenant's journal there is, and from when ${BUS}
    ${WHOSE}
    --json  print the answer as JSON

    $ arq journal status --tenant acme`(asks({
    route: "GET /v1/journal/status?tenant",
    text: from(journalText, "journalStatusText"),
  })),
];
