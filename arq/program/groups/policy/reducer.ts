/**
 * The command line of `arq reducer …`, which needs no bus. Its code is loaded when it runs, since compiler and
 * metering are large.
 */
import { Option } from "commander";
import type { Command } from "commander";
import { calls, examples, positive, room } from "../options.ts";
import type { Run } from "../options.ts";

const FUEL_LIMIT_MAX = 1_000_000_000;
const MEMORY_PAGES_MAX = 65_536;

function addBuild(group: Command, run: Run): void {
  group.command("build")
    .description("compile a reducer written in AssemblyScript")
    .argument("<entry>", "the reducer's .ts file")
    .option("-o, --output <file>", "the module (default: beside the entry, with .wasm)")
    .option("--json", "print the result, or what is wrong, as JSON")
    .addHelpText(
      "after",
      '\nThe reducer imports "@arqon/reducer" and files of its own folder. A problem is told with file,' +
        "\nline and column, exit code 1.\n" +
        examples("arq reducer build auction.ts", "arq reducer build src/room.ts -o room.wasm"),
    )
    .action(run(calls(() => import("../../../commands/reducer/reducer_build.ts"), "reducerBuild")));
}

function addTest(group: Command, run: Run): void {
  const count = (what: string, most: number) => positive(what, true, most);
  group.command("test")
    .description("apply a module to the commands of a file and print what each came to")
    .argument("<file>", "the WebAssembly module")
    .requiredOption("--commands <file>", "commands, one JSON object a line")
    .option("--compare <file>", "another module with the same log: where it differs")
    .option("--begin <file>", "a snapshot to begin with (default: an empty room)")
    .option("--snapshot <file>", "write the state at the end there")
    .option("--values", "print every value at the end")
    .option("--room <id>", "room", room, "lobby")
    .option("--seed <n>", "where the randomness of commands begins", count("a number", 2 ** 31), 1)
    .addOption(
      new Option("--fuel-limit <n>", "fuel of a command")
        .argParser(count("a whole number above 0", FUEL_LIMIT_MAX)).default(10_000),
    )
    .addOption(
      new Option("--memory-limit-pages <n>", "memory in pages of 64 KiB")
        .argParser(count("a whole number of pages", MEMORY_PAGES_MAX)).default(64),
    )
    .option("--json", "print a JSON object for each entry, and one at the end")
    .addHelpText(
      "after",
      "\nThe same module and commands give the same digests on every machine. Exit code 1 when a command" +
        "\nis a fault, or when the two modules differ.\n" +
        examples(
          "arq reducer test auction.wasm --commands bids.ndjson --values",
          "arq reducer test new.wasm --compare auction.wasm --commands bids.ndjson",
          "arq reducer test auction.wasm --commands more.ndjson --begin at-noon.snapshot --json",
        ),
    )
    .action(run(calls(() => import("../../../commands/reducer/reducer_try.ts"), "reducerTry")));
}

function addTypes(group: Command, run: Run): void {
  group.command("types")
    .description("make types for clients, or for the reducer, of a room's schema")
    .argument("<schema>", "the schema, or a module that has one")
    .requiredOption("--out <file>", "file of TypeScript (.ts) or Python (.py) to write")
    .option(
      "--guest",
      "AssemblyScript for the reducer itself: what commands bring, answer and tell",
    )
    .option("--check", "write nothing; exit code 1 when the file is another")
    .option("--json", "print what was made as JSON")
    .addHelpText(
      "after",
      '\nThe types are for reduced<Sale>(room) of "@arqon/sdk/reducers", or sale(room) in Python: names of' +
        "\ncommands, what they bring and answer, events and values are then checked by the compiler.\n" +
        examples(
          "arq reducer types sale.schema.json --out sale_types.ts",
          "arq reducer types sale.wasm --out sale_types.py",
          "arq reducer types sale.schema.json --guest --out src/sale_types.ts",
        ),
    )
    .action(run(calls(() => import("../../../commands/reducer/reducer_types.ts"), "reducerTypes")));
}

/** Adds `arq reducer`. */
export function addReducer(program: Command, run: Run): void {
  const group = program.command("reducer")
    .description("rooms as programs, on this machine: build, test, types");
  addBuild(group, run);
  addTest(group, run);
  addTypes(group, run);
}
