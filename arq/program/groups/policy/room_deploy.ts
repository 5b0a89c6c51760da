/** The command line of `arq room deploy`, `rollback` and `programs`; what they do is in `commands/reducer/`. */
import { type Command, InvalidArgumentError } from "commander";
import { parseSeconds } from "../../../bus/token.ts";
import { examples, id, value, withConnection } from "../options.ts";
import type { Run } from "../options.ts";

// A command is loaded when it runs.
const commands = () => import("../../../commands/reducer/room_deploy.ts");

const WEEK_SECONDS = 604_800;

function count(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Expected a whole number.");
}

const withTenant = (command: Command): Command =>
  withConnection(command).option("--tenant <id>", "tenant", id("tenant"), "default");

/** Adds them to `arq room`. */
export function addRoomDeploy(group: Command, run: Run): void {
  withTenant(group.command("deploy").argument("<class>", "the pattern of a class with a reducer"))
    .argument("<file>", "the WebAssembly module")
    .description("make another module the program of all rooms of a class, while they are called")
    .option(
      "--check-since <time>",
      "first apply it to what its rooms were asked since then: 10m, 1h, 7d or seconds",
      value((text) => parseSeconds("--check-since", text)),
      WEEK_SECONDS,
    )
    .option("--no-check", "apply it to nothing before")
    .option("--max-differences <n>", "deploy it when no more than so many entries differ", count, 0)
    .option("--dry-run", "check it, and deploy nothing")
    .option("--yes", "do not ask")
    .option("--json", "print a JSON object for each room, and one at the end")
    .addHelpText(
      "after",
      "\nThe logs are read from the bus and folded on this machine, once by the programs of before and" +
        "\nonce by the module: it says where verdicts, answers, events, values or timers differ, and which" +
        "\nroom it cannot migrate. A module with a migration may make other values and timers. Exit code 6" +
        "\nwhen more differ than --max-differences: nothing is deployed then. Each room takes it between" +
        "\ntwo entries. It needs a token of role admin.\n" +
        examples(
          "arq room deploy 'auction-*' auction.wasm --dry-run",
          "arq room deploy 'auction-*' auction.wasm --check-since 1d --yes",
        ),
    )
    .action(
      run(async (io, flags, [pattern, file]) =>
        (await commands()).roomDeploy(io, pattern as string, file as string, flags)
      ),
    );
  withTenant(group.command("rollback").argument("<class>", "the pattern of a class"))
    .description("make the module of before the program of all rooms of a class again")
    .option("--json", "print the answer as JSON")
    .addHelpText(
      "after",
      "\nAt last to the file of the configuration. Values that the later module wrote stay.\n" +
        examples("arq room rollback 'auction-*'"),
    )
    .action(
      run(async (io, flags, [pattern]) =>
        (await commands()).roomRollback(io, pattern as string, flags)
      ),
    );
  withTenant(group.command("programs"))
    .description("print which module each class of rooms with a reducer has, since when, by whom")
    .option("--json", "print the answer as JSON")
    .addHelpText("after", "\n" + examples("arq room programs", "arq room programs --tenant acme"))
    .action(run(async (io, flags) => (await commands()).roomPrograms(io, flags)));
}
