/** The commands of `arq audit`. */
import { command, type Definition, group } from "./define.ts";
import { AUDIT_OUTCOMES } from "../../../shared/audit/outcome.ts";
import { BUS, calls, count, span, tenant } from "./options.ts";
import type { Anchor } from "../../../shared/audit/chain.ts";
import { usageError } from "../../terminal/exit.ts";

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
    $ arq audit --follow --outcome refused`(
    calls(() => import("../../commands/audit/audit_list.ts"), "auditList"),
  ),
  command`audit verify: check that the audit log is one chain of hashes; 1 is a break ${BUS}
    --file <file>  check this file of entries, one a line; - is stdin
    --anchor <seq:hash>  an entry that must be there, as noted before ${parseAnchor}
    --json  print what was found as JSON

    Needs a token of an operator. The anchor that it prints, kept elsewhere, shows later whether the
    end was cut off or all of it made anew. GET /v1/audit/entries hands out the entries.
    $ arq audit verify
    $ arq audit verify --anchor 1204:5f3c…
    $ arq audit verify --file entries.ndjson`(
    calls(() => import("../../commands/audit/audit_verify.ts"), "auditVerify"),
  ),
];
