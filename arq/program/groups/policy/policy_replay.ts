/** The command line of `arq policy replay` as commander sees it; its code is loaded when it runs. */
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { parseRedactPath, type RedactPath } from "../../../replay/redaction.ts";
import type { CallBound } from "../../../commands/policy/policy_replay.ts";
import { calls, examples, id, moment, positive } from "../options.ts";
import { roomPattern, several, span, withConnection } from "../options.ts";
import type { Run } from "../options.ts";

const MEMORY_PAGES_MAX = 65_536;

function callBound(text: string): CallBound {
  const [, percent] = /^(\d+(?:\.\d+)?|\.\d+)%$/.exec(text) ?? [];
  if (percent !== undefined && Number(percent) <= 100) return { share: Number(percent) / 100 };
  if (/^\d{1,15}$/.test(text)) return { count: Number(text) };
  throw new InvalidArgumentError("Expected a number of calls, or a share of the calls: 0 or 0.1%.");
}

/** Adds the options that say which part of a journal counts. */
function withJournal(command: Command): Command {
  return withConnection(command)
    .option("--tenant <id>", "tenant (default: default; of a file: every one)", id("tenant"))
    .option(
      "--journal <file>",
      "a file of arq journal export, - is stdin (default: the bus's journal)",
    )
    .option(
      "--room <pattern>",
      "only of this room, or of rooms that begin so: 'chat-*'",
      roomPattern,
    )
    .addOption(
      new Option("--since <time>", "only so long ago at most: 10m, 1h, 7d or seconds")
        .argParser(span("--since")).conflicts("from"),
    )
    .option("--from <time>", "only from this time on: 2026-11-22T10:00:00Z", moment)
    .option("--to <time>", "only before this time", moment);
}

/** Adds `arq policy replay`. */
export function addReplay(policy: Command, run: Run): void {
  withJournal(policy.command("replay"))
    .description("say what a module would have decided about recorded calls; runs on this machine")
    .argument("<module>", "the new module: a .wasm file, or NAME[@VERSION] of the bus's policies")
    .option("--policy <name>", "whose calls are repeated (default: the module's name)")
    .option("--module <file>", "a module that records name; repeatable", several)
    .option("--max-flips <n>", "exit code 6 when there are more: a number, or 0.1%", callBound)
    .option(
      "--max-unknown <n>",
      "the same of calls that cannot be judged (default: 0 with --max-flips)",
      callBound,
    )
    .option("--flips <file>", "write every flip into this new file, one JSON object a line")
    .addOption(
      new Option("--memory-limit-pages <n>", "memory in pages of 64 KiB (default: 64)")
        .argParser(positive("a whole number of pages", true, MEMORY_PAGES_MAX)),
    )
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\nFirst the recorded module decides each call again; exit code 1 when it does not say what it said" +
        "\nthen. A call cannot be judged when the new module asks for an input that the journal does not" +
        "\nhave: it is counted, not guessed. After Ctrl-C what was done is printed.\n" +
        examples(
          "arq policy replay bad_words.wasm --room lobby --since 7d",
          "arq policy replay bad_words@7 --since 1d --json",
          "arq policy replay bad_words.wasm --journal lobby.ndjson --module old.wasm",
          "arq policy replay new.wasm --policy bad_words --journal j.ndjson --max-flips 0.1%",
        ),
    )
    .action(run(calls(() => import("../../../commands/policy/policy_replay.ts"), "policyReplay")));
}

const CASES_MAX = 100_000;

function redactPath(text: string, before: readonly RedactPath[] = []): readonly RedactPath[] {
  const path = parseRedactPath(text);
  if (path !== undefined) return [...before, path];
  throw new InvalidArgumentError(
    "Expected data.MEMBER, data.LIST.*.MEMBER, header.NAME, claim.NAME.",
  );
}

/** Adds `arq policy record`. */
export function addRecord(policy: Command, run: Run): void {
  withJournal(policy.command("record"))
    .description("write recorded calls into files, which arq policy test --cases runs")
    .requiredOption("--out <dir>", "the folder for the files")
    .option("--count <n>", "so many at most", positive("1 to 100000", true, CASES_MAX), 100)
    .option("--policy <name>", "only of this policy (default: of every policy)")
    .option("--module <file>", "the module that decided; it is checked and written, too")
    .option("--redact <path>", "take out what is there: data.email; repeatable", redactPath)
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      "\nNo two cases are alike; allowed and refused ones are half of them each, as far as there are any." +
        "\nCredentials in headers, members with such names, and tokens in texts are never written.\n" +
        examples(
          "arq policy record --journal lobby.ndjson --room lobby --count 200 --out cases",
          "arq policy record --journal j.ndjson --out cases --redact data.email --redact claim.name",
        ),
    )
    .action(run(calls(() => import("../../../commands/policy/policy_record.ts"), "policyRecord")));
}
