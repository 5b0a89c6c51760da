/**
 * The command line of `arq policy build`, `check` and `test`, which need no bus. Their code is loaded when
 * one of them runs, since compiler and checks are large and no other command uses them.
 */
import { InvalidArgumentError, Option } from "commander";
import type { Command } from "commander";
import { HOOKS } from "../../../../shield/message/verdict.ts";
import { calls, examples, id, positive, room, several } from "../options.ts";
import type { Run } from "../options.ts";
import { printable, usageError } from "../../../terminal/exit.ts";

/** The configuration of the bus has the same bound. */
const FUEL_LIMIT_MAX = 1_000_000_000;
const MEMORY_PAGES_MAX = 65_536;
const RUNS_MAX = 1_000_000;

type Pair<T> = readonly [name: string, value: T];

function assignment(text: string): Pair<string> {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new InvalidArgumentError("Expected NAME=VALUE.");
}

function header(text: string, before: readonly Pair<string>[] = []): readonly Pair<string>[] {
  return [...before, assignment(text)];
}

function claim(text: string, before: readonly Pair<unknown>[] = []): readonly Pair<unknown>[] {
  const [name, value] = assignment(text);
  try {
    return [...before, [name, JSON.parse(value)]];
  } catch {
    const quoted = `--claim '${printable(name)}=${JSON.stringify(value)}'`;
    throw new InvalidArgumentError(`The value is not JSON; a text has quotes: ${quoted}.`);
  }
}

function memoryOption(): Option {
  const parse = positive("a whole number of pages", true, MEMORY_PAGES_MAX);
  return new Option("--memory-limit-pages <n>", "memory in pages of 64 KiB (default: 64)")
    .argParser(parse);
}

function addBuild(policy: Command, run: Run): void {
  policy.command("build")
    .description("compile a policy written in AssemblyScript")
    .argument("<entry>", "the policy's .ts file")
    .option("-o, --output <file>", "the module (default: beside the entry, with .wasm)")
    .option("--json", "print the result, or what is wrong, as JSON")
    .addHelpText(
      "after",
      '\nThe policy imports "@arqon/policy/v2", or "@arqon/policy" for version 1 of the ABI, and files of' +
        "\nits own folder. A problem is told with file, line and column, exit code 1.\n" +
        examples("arq policy build no_malware.ts", "arq policy build src/policy.ts -o policy.wasm"),
    )
    .action(run(calls(() => import("../../../commands/policy/policy_build.ts"), "policyBuild")));
}

function addCheck(policy: Command, run: Run): void {
  policy.command("check")
    .description("say what a bus would say about a module, and what it is; needs no bus")
    .argument("<file>", "the WebAssembly module")
    .addOption(memoryOption())
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\nExit code 1 when it is refused.\n" +
        examples("arq policy check no_malware.wasm", "arq policy check policy.wasm --json"),
    )
    .action(run(calls(() => import("../../../commands/policy/policy_check.ts"), "policyCheck")));
}

function addTest(policy: Command, run: Run): void {
  policy.command("test")
    .description("run a module on events and print what it says; needs no bus")
    .argument("<file>", "the WebAssembly module")
    .option("--event <file>", "the data of an event; repeatable", several)
    .addOption(
      new Option("--cases <dir>", "recorded cases instead, from arq policy record")
        .conflicts(["event", "header", "claim"]),
    )
    .option("--shrink", "with --cases: the smallest message that still flips")
    .addOption(new Option("--hook <name>", "what to ask").choices(HOOKS).default("on_message"))
    .option("--header <name=value>", "a header of the message or request; repeatable", header)
    .option("--claim <name=json>", "a claim of the token; repeatable", claim)
    .option("--room <id>", "room", room, "lobby")
    .option("--tenant <id>", "tenant", id("tenant"), "default")
    .option("--user <id>", "user", "dev")
    .option("--type <type>", "type of the events", "message")
    .option("--content-type <type>", "of the events (default: JSON when they are, else text)")
    .option("--runs <n>", "all events so many times", positive("1 to 1000000", true, RUNS_MAX), 1)
    .addOption(
      new Option("--fuel-limit <n>", "fuel of a call (default: 10000)")
        .argParser(positive("a whole number above 0", true, FUEL_LIMIT_MAX)),
    )
    .addOption(memoryOption())
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\nExit code 1 when an event is refused or the policy fails. All events and runs go to one" +
        "\ninstance: a policy of version 1 keeps its memory, one of version 2 its keyed state, and all are" +
        "\njudged at one time, so that what counts by time says the same on any machine. With --runs the time" +
        "\nthat is shown is the median." +
        "\nWith --cases each case is asked on a fresh instance, and exit code 1 says that one is decided" +
        "\notherwise than it was.\n" +
        examples(
          "arq policy test no_malware.wasm --event clean.json --event bad.json",
          "arq policy test block_header.wasm --hook on_connect --header X-Block-Me=1",
          "arq policy test no_malware.wasm --cases cases --shrink",
          `arq policy test plan.wasm --event e.json --claim 'plan="free"' --runs 1000 --json`,
        ),
    )
    .action(run(async (io, flags, [file]) => {
      if (flags.cases !== undefined) {
        const { policyCases } = await import("../../../commands/policy/policy_cases.ts");
        return await policyCases(io, file as string, flags);
      }
      if (flags.shrink === true) throw usageError("--shrink needs --cases");
      const { policyTry } = await import("../../../commands/policy/policy_try.ts");
      return await policyTry(io, file as string, flags);
    }));
}

/** Adds the commands of `arq policy` that need no bus. */
export function addLocalPolicy(policy: Command, run: Run): void {
  addBuild(policy, run);
  addCheck(policy, run);
  addTest(policy, run);
}
