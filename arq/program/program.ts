/**
 * The command line of `arq` in commander: commands, options, help. It parses and calls the files in
 * `commands/`, which do the work.
 */
import { Command, CommanderError, Option } from "commander";
import { VERSION } from "../../shared/version.ts";
import { asksForJson, EXIT, EXIT_HELP } from "../terminal/exit.ts";
import { reflow } from "./help_text.ts";
import { print } from "../terminal/io.ts";
import type { Io } from "../terminal/io.ts";
import {
  calls,
  count,
  epoch,
  examples,
  flagsOf,
  json,
  offset,
  positive,
} from "./groups/options.ts";
import { busOptionsLast, room, span, value, withConnection, withPace } from "./groups/options.ts";
import type { Run } from "./groups/options.ts";
import { addAudit } from "./groups/audit.ts";
import { addData } from "./groups/data/data.ts";
import { addDesired } from "./groups/desired.ts";
import { addJournal } from "./groups/journal.ts";
import { addBackup } from "./groups/backup.ts";
import { addCompletion } from "./groups/completion.ts";
import { addBridge } from "./groups/bridge.ts";
import { addConfig } from "./groups/config.ts";
import { addContext } from "./groups/context.ts";
import { addDev } from "./groups/dev.ts";
import { addHook } from "./groups/hook.ts";
import { addInit, addServe } from "./groups/init.ts";
import { addMirror } from "./groups/mirror.ts";
import { addDoctor, addObserve } from "./groups/observe.ts";
import { addProof } from "./groups/proof.ts";
import { addPolicy } from "./groups/policy/policy.ts";
import { addReducer } from "./groups/policy/reducer.ts";
import { addRevocations } from "./groups/revoke.ts";
import { addRoom } from "./groups/room.ts";
import { addSchedule } from "./groups/schedule.ts";
import { addSchema } from "./groups/schema.ts";
import { addStandby } from "./groups/standby.ts";
import { addTrace, addWhy } from "./groups/why.ts";
import { ALGORITHMS, parseGrant, parseTtl, ROLES } from "../bus/token.ts";
import type { Grant } from "../bus/token.ts";
import { wrongCommandLine } from "./wrong_command_line.ts";

// A command is loaded when it runs.
const authGen = () => import("../commands/auth/auth_gen.ts");
const authKeys = () => import("../commands/auth/auth_keys.ts");
const pub = () => import("../commands/room/pub.ts");
const sub = () => import("../commands/room/sub.ts");

function addAuth(program: Command, run: Run): void {
  const auth = program.command("auth").description("make keys and tokens, and revoke tokens");
  auth.command("keys")
    .description("make a key pair: a private JWK for your token server, a public set for the bus")
    .option("--out <dir>", "folder for the two files", ".")
    .addOption(
      new Option("--alg <name>", "signature algorithm").choices(ALGORITHMS).default("RS256"),
    )
    .option("--json", "print the paths as JSON")
    .addHelpText("after", examples("arq auth keys --out keys", "arq auth keys --alg EdDSA --json"))
    .action(run(calls(authKeys, "authKeys")));
  auth.command("gen")
    .description("make a token and print it; with the context's or the dev bus's key")
    .addOption(new Option("--role <name>", "role of the token").choices(ROLES).default("user"))
    .option("--tenant <id>", "tenant (default: the context's, else default)")
    .option("--user <id>", "user id (default: dev-ROLE)")
    .option(
      "--grant <room:actions>",
      "allow only this; repeatable (default: everything in the tenant)",
      (text: string, before: Grant[] = []) => [...before, value(parseGrant)(text)],
    )
    .option("--ttl <time>", "how long it is good: 15m, 1h, 7d or seconds", value(parseTtl), 3_600)
    .option("--key <file>", "private JWK to sign with, as arq auth keys makes it")
    .option("--context <name>", "sign with the key of this context; dev: of the development bus")
    .option("--issuer <text>", "iss of the token (with --key)")
    .option("--audience <text>", "aud of the token (with --key)")
    .option("--json", "print the token and what it says as JSON")
    .addHelpText(
      "after",
      examples(
        "arq auth gen --role user",
        "arq auth gen --tenant acme --user u1 --grant 'chat-*:publish,subscribe' --ttl 15m",
        "arq auth gen --context prod --role admin --ttl 15m",
        "arq auth gen --key keys/arqon-private.jwk.json --issuer https://issuer.example --audience arqon",
      ),
    )
    .action(run(calls(authGen, "authGen")));
  addRevocations(auth, run);
}

function addPub(program: Command, run: Run): void {
  const command = withConnection(program.command("pub"))
    .description("publish to a room: one event, or one per line of NDJSON")
    .argument("<room>", "the room", room)
    .argument(
      "[data]",
      "the event's data: JSON, or else text; without it, all of stdin is one event",
    )
    .option("--ndjson <file>", "one event a line, its bytes as they are; - is stdin")
    .option("--type <type>", "type of the events", "message")
    .option("--message-id <id>", "id of the one event: arq why finds it, a repetition is dropped");
  withPace(command)
    .option("--json", "print the result as JSON, of a durable room with offset and epoch")
    .addHelpText(
      "after",
      "\nText from stdin loses the line end at its end, and what is not UTF-8 is published as bytes." +
        "\nA file with a line that is not JSON is refused before anything of it is sent; stdin up to that line." +
        "\nWithout --message-id every event has a random one, so a repetition after a reconnect is dropped.\n" +
        examples(
          `arq pub lobby '{"hello":"world"}'`,
          "arq pub lobby 'hello' --type chat",
          `arq pub orders '{"item":"tea"}' --message-id order-4711`,
          "jq -n '{at: now}' | arq pub lobby",
          "arq pub github --ndjson events.ndjson --rate 500",
          "tail -f log.ndjson | arq pub logs --ndjson -",
        ),
    )
    .action(run(calls(pub, "pub")));
}

function addSub(program: Command, run: Run): void {
  withConnection(program.command("sub"))
    .description("print what is published to rooms")
    .argument(
      "<rooms...>",
      "the rooms",
      (text: string, before: string[] = []) => [...before, room(text)],
    )
    .option("--count <n>", "end after n messages", count)
    .addOption(
      new Option("--from <offset>", "a durable room from after this offset on; 0: all there is")
        .argParser(offset).conflicts(["since", "last"]),
    )
    .option("--epoch <epoch>", "of --from; refuse a room that began anew since", epoch)
    .addOption(
      new Option("--since <time>", "durable rooms from so long ago on: 10m, 1h or seconds")
        .argParser(span("--since")).conflicts("last"),
    )
    .option(
      "--last <n>",
      "durable rooms from the n newest messages on",
      positive("a whole number above 0", true, 1e9),
    )
    .option("--filter <cel>", "only messages for which this is true: 'data.price > 100'")
    .option("--presence", "be a member of the rooms meanwhile; arq room watch shows it")
    .option("--meta <json>", "what others see of the member (with --presence)", json)
    .option("--json", "one JSON object a line, JSON data as it came")
    .addHelpText(
      "after",
      "\nOn a terminal a message is a line `room type sender data`; in a pipe it is exactly its bytes" +
        "\nand a newline. Everything else, also a loss of messages (GAP), goes to stderr. With --json each" +
        "\nmessage of a durable room has its offset and epoch: --from the last one goes on without a hole.\n" +
        examples(
          "arq sub lobby",
          "arq sub lobby alerts --json | jq .data",
          "arq sub github --count 296 > events.ndjson",
          "arq sub orders --from $(tail -n1 out | jq .offset) --json >> out",
          "arq sub orders --since 10m",
          `arq sub orders --filter 'headers["region"] == "eu"'`,
          `arq sub lobby --presence --meta '{"status":"here"}'`,
        ),
    )
    .action(run(calls(sub, "sub")));
}

/** What adds commands to the program, and the words under which they are there. */
const PARTS: readonly (readonly [
  add: (program: Command, run: Run) => void,
  ...words: readonly string[],
])[] = [
  [addInit, "init"],
  [addConfig, "config"],
  [addContext, "context"],
  [addDoctor, "doctor"],
  [addServe, "serve"],
  [addDev, "dev"],
  [addAuth, "auth"],
  [addPub, "pub"],
  [addSub, "sub"],
  [addRoom, "room"],
  [addPolicy, "policy"],
  [addReducer, "reducer"],
  [addSchema, "schema"],
  [addMirror, "mirror"],
  [addObserve, "status", "top", "tail", "usage"],
  [addAudit, "audit"],
  [addProof, "proof"],
  [addDesired, "export", "plan", "apply", "rollout"],
  [addJournal, "journal"],
  [addSchedule, "schedule"],
  [addHook, "hook"],
  [addBridge, "bridge"],
  [addBackup, "backup", "restore"],
  [addData, "user", "tenant"],
  [addStandby, "standby"],
  [addTrace, "trace"],
  [addWhy, "why"],
  [addCompletion, "completion", "man", "complete"],
];

/**
 * Defines every command with its options and help, or only those that begin with the word `only`. Commands
 * run from this definition, and the completion and the manual page are made from it. It does
 * nothing on its own.
 */
export function buildProgram(run: Run, only?: string): Command {
  const program = new Command("arq")
    .description("The command line of ArqonBus.")
    .version(VERSION)
    .option("--context <name>", "the bus of this context; may also stand after the command")
    // This lets a command have a --version of its own.
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText("afterAll", `\n${EXIT_HELP}`);
  for (const [add, ...words] of PARTS) {
    if (only === undefined || words.includes(only)) add(program, run);
  }
  everyOne(program).forEach(busOptionsLast);
  return program;
}

/**
 * The first word of a command line, when a program with nothing else is enough for it. Completion and manual
 * page describe the whole program, and so does help.
 */
function onlyWord([word]: readonly string[]): string | undefined {
  const is_enough = PARTS.some(([add, ...words]) =>
    add !== addCompletion && word !== undefined && words.includes(word)
  );
  return is_enough ? word : undefined;
}

const everyOne = (command: Command): Command[] => [
  command,
  ...command.commands.flatMap(everyOne),
];

/** Width of the help without a terminal and on a wide one. */
const HELP_COLUMNS = 100;

/** Runs one command line. Resolves with its exit code; rejects with the error of the command. */
export async function runProgram(io: Io, args: readonly string[]): Promise<number> {
  let exit_code: number = EXIT.ok;
  const run: Run = (action) => async (...parsed) => {
    const command = parsed.pop() as Command;
    parsed.pop();
    const named = command.registeredArguments.map((one, at) => [one.name(), parsed[at]]);
    exit_code = await action(io, await flagsOf(io, command), parsed, Object.fromEntries(named));
  };
  const program = buildProgram(run, onlyWord(args));
  const width = Math.min(io.size()?.columns ?? HELP_COLUMNS, HELP_COLUMNS);
  for (const command of everyOne(program)) {
    command.configureOutput({
      writeOut: (text) => void print(io.stdout, reflow(text, width)),
      writeErr: (text) => void print(io.stderr, reflow(text, width)),
      // The error is reported like every other one.
      outputError: () => {},
      getOutHelpWidth: () => width,
      getErrHelpWidth: () => width,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  }
  try {
    if (args.length === 0) program.help();
    await program.parseAsync([...args], { from: "user" });
    return exit_code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.ok;
    // The command line names a group and no command; commander has shown its help.
    if (error.code === "commander.help" && !asksForJson(args)) return EXIT.usage;
    // What was meant may be any command.
    throw wrongCommandLine(error, buildProgram(run), args);
  }
}
