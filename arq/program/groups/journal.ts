/** The command line of `arq journal …` as commander sees it; what a command does is in `commands/`. */
import { Option } from "commander";
import type { Command } from "commander";
import { asks, from, sentence } from "./asks.ts";
import { calls, count, examples, id, room, span, withConnection } from "./options.ts";
import { withTenant as ownTenant } from "./options.ts";
import type { Run } from "./options.ts";

const OUTCOMES = ["allowed", "refused", "fault"];

const withTenant = (command: Command): Command =>
  ownTenant(withConnection(command), "whose journal");

function withFilters(command: Command): Command {
  return withTenant(command)
    .option("--room <id>", "about this room", room)
    .option("--user <id>", "about this user")
    .option("--connection <id>", "about this connection", id("connection"))
    .option("--trace <id>", "of this W3C trace")
    .option("--message-id <id>", "about this message")
    .option("--policy <name>", "for which this policy was asked")
    .addOption(
      new Option("--outcome <name>", "how they ended; fault: a policy could not decide")
        .choices(OUTCOMES),
    )
    .option("--since <time>", "so long ago at most: 10m, 1h, 7d or seconds", span("--since"));
}

function addList(journal: Command, run: Run): void {
  withFilters(journal.command("list", { isDefault: true }))
    .description("what was decided about connections, subscriptions and messages, the oldest first")
    .option("--limit <n>", "so many lines at most", count, 100)
    .option("--newest", "the last lines, not the first ones; also where --follow begins")
    .option("-f, --follow", "go on with what comes, without a limit")
    .option("--json", "the lines as they are: one JSON object each, with every input that was read")
    .addHelpText(
      "after",
      "\nNeeds a token of role admin. A HOLE says that decisions are missing, how many, and why.\n" +
        examples(
          "arq journal --since 10m --outcome refused",
          "arq journal list --room lobby --policy words --since 1d --json | jq .policies",
          "arq journal --newest --limit 20",
          "arq journal --follow --since 1m",
        ),
    )
    .action(run(calls(() => import("../../commands/journal/journal_list.ts"), "journalList")));
}

function addExport(journal: Command, run: Run): void {
  withFilters(journal.command("export"))
    .description("write what was decided into a file, one JSON object a line")
    .requiredOption("--out <file>", "the new file; - is stdout")
    .option("--json", "print what was written as JSON, on stderr")
    .option("--no-payloads", "leave out payloads that stand in the logs of durable rooms")
    .addHelpText(
      "after",
      "\nThe file can be replayed with arq policy replay --journal FILE. Stopped by Ctrl-C, it has\n" +
        "whole lines up to there.\n" +
        examples(
          "arq journal export --room lobby --since 7d --out lobby.ndjson",
          "arq journal export --since 1h --outcome refused --out - | jq .reason",
        ),
    )
    .action(run(calls(() => import("../../commands/journal/journal_export.ts"), "journalExport")));
}

function addErase(journal: Command, run: Run): void {
  withTenant(journal.command("erase"))
    .description("delete the keys of a user, so that nobody can read what the journal says of it")
    .requiredOption("--user <id>", "the user")
    .option("--yes", "do not ask")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nDecisions, their cost and their schemas stay; who it was, from where, and what was sent is gone" +
        "\nfor good. Messages in the logs of durable rooms are not touched.\n" +
        examples("arq journal erase --tenant acme --user ann --yes"),
    )
    .action(run(asks({
      route: "POST /v1/journal/erase",
      body: "tenant,user",
      confirm: ({ tenant, user }) =>
        `What the journal of ${tenant} says of user ${user} is lost for good. Erase it?`,
      text: sentence(({ erased }, { tenant, user }) =>
        erased === true
          ? `user ${user} is erased from the journal of ${tenant}`
          : `the journal of ${tenant} says nothing of user ${user}`
      ),
    })));
}

function addStatus(journal: Command, run: Run): void {
  withTenant(journal.command("status"))
    .description("how much of a tenant's journal there is, and from when")
    .option("--json", "print the answer as JSON")
    .addHelpText("after", examples("arq journal status --tenant acme"))
    .action(run(asks({
      route: "GET /v1/journal/status?tenant",
      text: from(() => import("../../answers/journal_text.ts"), "journalStatusText"),
    })));
}

/** Adds `arq journal` and its commands. */
export function addJournal(program: Command, run: Run): void {
  const journal = program.command("journal").description(
    "what policies, schemas and limits decided, with every input: show, export, erase",
  );
  addList(journal, run);
  addExport(journal, run);
  addErase(journal, run);
  addStatus(journal, run);
}
