/** The command line of `arq context …` as commander sees it; what a command does is in `commands/`. */
import type { Command } from "commander";
import { calls, examples, id, withConnection } from "./options.ts";
import type { Run } from "./options.ts";

// A command is loaded when it runs.
const contexts = () => import("../../commands/setup/context.ts");

const ORDER = `
Which bus a command takes, the first that there is:
  1. --url, --admin-url, --ops-url, --token and --token-file
  2. --context NAME; NAME dev is the running development bus, else a compose stack of arq dev up
  3. in a folder of arq init or of such a stack, and below: the development bus that runs there, else
     the stack, else the folder's own context
  4. the context in use: arq context use NAME
  5. a running development bus: of this folder, the ones above it, then of arq's own checkout
arq context show says which one it is here, and why. With --context, tokens of that context also go
to an address that the other options name; without it, never to another address than its own.

Contexts are kept in contexts.json in $XDG_CONFIG_HOME/arqon, else ~/.config/arqon (Windows:
%APPDATA%\\arqon), for their owner only. They hold addresses and paths, never a key or a token.
With a key, commands sign a token of the role that they need, good for an hour.
`;

function addAdd(context: Command, run: Run): void {
  context.command("add")
    .description("name a bus and how to get tokens for it")
    .argument("<name>", "its name")
    .option("--url <url>", "the bus, for example wss://bus.example.com")
    .option("--admin-url <url>", "its admin listener, for example http://127.0.0.1:4002")
    .option("--ops-url <url>", "its ops listener, for example http://127.0.0.1:4001")
    .option("--ops-token-file <file>", "a file with the token of that listener, if it asks for one")
    .option("--tenant <id>", "tenant of its tokens, and default of --tenant", id("tenant"))
    .option("--key <file>", "private JWK that tokens are signed with; with --issuer, --audience")
    .option("--issuer <text>", "iss of its tokens (with --key)")
    .option("--audience <text>", "aud of its tokens (with --key)")
    .option("--token-file <file>", "instead of --key: a file with a token, read at each command")
    .option("--use", "use it from now on")
    .option("--update", "change what is given of a context that is there")
    .option("--json", "print the context as JSON")
    .addHelpText(
      "after",
      examples(
        "arq context add prod --url wss://bus.example.com --admin-url http://10.0.0.7:4002 --token-file admin.jwt --use",
        "arq context add local --url ws://127.0.0.1:4000 --key keys/arqon-private.jwk.json --issuer arqon-local --audience arqon",
        "arq context add prod --update --tenant acme",
      ),
    )
    .action(run(calls(contexts, "contextAdd")));
}

/** Adds `arq context` and its commands. */
export function addContext(program: Command, run: Run): void {
  const context = program.command("context").description(
    "names for buses, so that commands need neither addresses nor tokens",
  ).addHelpText("after", ORDER);
  addAdd(context, run);
  context.command("use")
    .description("the context that commands take from now on; dev: none, the development bus")
    .argument("<context>", "its name")
    .option("--json", "print it as JSON")
    .addHelpText("after", examples("arq context use prod", "arq context use dev"))
    .action(run(calls(contexts, "contextUse")));
  context.command("list")
    .description("all contexts; a star stands before the one in use")
    .option("--json", "print them as JSON")
    .addHelpText("after", examples("arq context list", "arq context list --json | jq .current"))
    .action(run(calls(contexts, "contextList")));
  withConnection(context.command("show"))
    .description("the bus that a command takes here, and why")
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\nThe order is in arq context --help.\n" +
        examples("arq context show", "arq context show --context prod"),
    )
    .action(run(calls(contexts, "contextShow")));
  context.command("remove")
    .description("take a context away; its key and token files stay")
    .argument("<context>", "its name")
    .option("--json", "print it as JSON")
    .addHelpText("after", examples("arq context remove prod"))
    .action(run(calls(contexts, "contextRemove")));
}
