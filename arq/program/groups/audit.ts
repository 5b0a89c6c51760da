/** The command line of `arq audit …` as commander sees it; what a command does is in `commands/`. */
import { Option } from "commander";
import type { Command } from "commander";
import { AUDIT_OUTCOMES } from "../../../shared/audit/outcome.ts";
import { parseAnchor } from "../../config/audit_anchor.ts";
import { calls, count, examples, id, span, value, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const auditList = () => import("../../commands/audit/audit_list.ts");

function addList(audit: Command, run: Run): void {
  withConnection(audit.command("list", { isDefault: true }))
    .description("what admins did, the newest last")
    .option("--tenant <id>", "about this tenant", id("tenant"))
    .option("--actor <user>", "by this user")
    .option("--action <name>", "policy.deploy, or policy for all about policies")
    .addOption(new Option("--outcome <name>", "how it ended").choices([...AUDIT_OUTCOMES]))
    .option("--since <time>", "so long ago at most: 10m, 1h, 7d or seconds", span("--since"))
    .option("--limit <n>", "so many at most, the newest", count, 100)
    .option("-f, --follow", "go on with what comes")
    .option("--json", "one JSON object a line, with the hash of each entry")
    .addHelpText(
      "after",
      "\nNeeds a token of role admin; who operates one tenant sees what is about it. A change that began" +
        "\nand has no outcome is shown as begun.\n" +
        examples(
          "arq audit --since 1d",
          "arq audit list --tenant acme --action policy --json | jq .by",
          "arq audit --follow --outcome refused",
        ),
    )
    .action(run(calls(auditList, "auditList")));
}

function addVerify(audit: Command, run: Run): void {
  withConnection(audit.command("verify"))
    .description("check that the audit log is one chain of hashes; 1 is a break")
    .option("--file <file>", "check this file of entries, one a line; - is stdin")
    .option(
      "--anchor <seq:hash>",
      "an entry that must be there, as noted before",
      value(parseAnchor),
    )
    .option("--json", "print what was found as JSON")
    .addHelpText(
      "after",
      "\nNeeds a token of an operator. The anchor that it prints, kept elsewhere, shows later whether the" +
        "\nend was cut off or all of it made anew. GET /v1/audit/entries hands out the entries.\n" +
        examples(
          "arq audit verify",
          "arq audit verify --anchor 1204:5f3c…",
          "arq audit verify --file entries.ndjson",
        ),
    )
    .action(run(calls(() => import("../../commands/audit/audit_verify.ts"), "auditVerify")));
}

/** Adds `arq audit` and its commands. */
export function addAudit(program: Command, run: Run): void {
  const audit = program.command("audit").description(
    "who did what on the admin API: show the audit log, and check that nobody changed it",
  );
  addList(audit, run);
  addVerify(audit, run);
}
