/** The commands of `arq config`, `arq context` and `arq completion`, and `arq man`. */
import { command, type Definition, group, HIDDEN, NEEDED } from "./define.ts";
import { VERSION } from "../../../shared/version.ts";
import { describeCommand } from "../../completion/command_tree.ts";
import { asks, from } from "./asks.ts";
import { ANSWER, BUS, calls, id, tenant } from "./options.ts";

// A command is loaded when it runs.
const config = () => import("../../commands/setup/config.ts");
const contexts = () => import("../../commands/setup/context.ts");
const texts = () => import("../../answers/settings_text.ts");

const node = id("node");

/** `arq config` */
export const CONFIG: readonly Definition[] = [
  group`config: check a server's config.toml, explain its keys, and show its state on a bus`,
  command`config check: print all errors of a configuration, with line and key
    <file>  the config.toml
    --json  print it as JSON
    --no-files  for another machine: leave the files unopened that it names, and the limits here alone

    The same checks as a server's at its start, without starting one: keys, certificates and other
    files that it names are opened, relative paths from this folder. Exit code 1 when something is
    wrong. Ports, NATS and the machine are looked at by arq doctor.
    $ arq config check config.toml
    $ arq config check config.toml --json | jq .problems`(calls(config, "configCheck")),
  command`config explain: what a key or a table is: its meaning, type, default and bounds, and whether it is live
    [key]  auth.issuers.jwks_url, [limits], or a key's last part (default: all tables)
    --json  print it as JSON

    A key that does not exist is exit code 2, with those that are near.
    $ arq config explain server.drain_ms
    $ arq config explain rooms --json`(calls(config, "configExplain")),
  command`config schema: print the JSON Schema of config.toml, for editors
    --json  on one line

    An editor checks a file while you type whose first line is "#:schema ./config.schema.json".
    $ arq config schema > config.schema.json`(calls(config, "configSchema")),
  command`config show: the live keys in force in each process, and those of its file that are not
    --node <id>  only of this process (default: all) ${node}
    ${ANSWER}

    For operators. Nothing is read again, lists and secrets are not shown.
    $ arq config show
    $ arq config show --node edge-1 --json | jq .configs`(
    asks({ route: "GET /v1/config?node", text: from(texts, "configText") }),
  ),
  command`config reload: have each process read its configuration again, as SIGHUP does
    --node <id>  only of this process (default: all) ${node}
    ${ANSWER}

    For operators. No connection is ended. A key that is not live is named: it needs a restart. A
    file with mistakes changes nothing; then, or when a process does not answer, exit code 1.
    $ arq config reload
    $ arq config reload --node edge-1`(asks({
    route: "POST /v1/config/reload",
    body: "node_id=node",
    text: from(texts, "reloadedText"),
    code: from(texts, "reloadedExit"),
  })),
];

/** `arq context` */
export const CONTEXT: readonly Definition[] = [
  group`context: names for buses, so that commands need neither addresses nor tokens

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
    With a key, commands sign a token of the role that they need, good for an hour.`,
  command`context add: name a bus and how to get tokens for it
    <name>  its name
    --url <url>  the bus, for example wss://bus.example.com
    --admin-url <url>  its admin listener, for example http://127.0.0.1:4002
    --ops-url <url>  its ops listener, for example http://127.0.0.1:4001
    --ops-token-file <file>  a file with the token of that listener, if it asks for one
    --tenant <id>  tenant of its tokens, and default of --tenant ${tenant}
    --key <file>  private JWK that tokens are signed with; with --issuer, --audience
    --issuer <text>  iss of its tokens (with --key)
    --audience <text>  aud of its tokens (with --key)
    --token-file <file>  instead of --key: a file with a token, read at each command
    --use  use it from now on
    --update  change what is given of a context that is there
    --json  print the context as JSON

    $ arq context add prod --url wss://bus.example.com --admin-url http://10.0.0.7:4002 --token-file admin.jwt --use
    $ arq context add local --url ws://127.0.0.1:4000 --key keys/arqon-private.jwk.json --issuer arqon-local --audience arqon
    $ arq context add prod --update --tenant acme`(calls(contexts, "contextAdd")),
  command`context use: the context that commands use from now on; dev: none, the development bus
    <context>  its name
    --json  print it as JSON

    $ arq context use prod
    $ arq context use dev`(calls(contexts, "contextUse")),
  command`context list: all contexts; a star stands before the one in use
    --json  print them as JSON

    $ arq context list
    $ arq context list --json | jq .current`(calls(contexts, "contextList")),
  command`context show: the bus that a command uses here, and why ${BUS}
    --json  print it as JSON

    The order is in arq context --help.
    $ arq context show
    $ arq context show --context prod`(calls(contexts, "contextShow")),
  command`context remove: remove a context; its key and token files stay
    <context>  its name
    --json  print it as JSON

    $ arq context remove prod`(calls(contexts, "contextRemove")),
];

/** They describe the whole program. Completion scripts of shells call the hidden command. */
export const COMPLETION: readonly Definition[] = [
  command`completion: print the completion script of a shell
    <shell>  the shell ${["bash", "zsh", "fish", "powershell"]}
    --json  print it as JSON

    It completes commands, options, their choices, names of files and of contexts. The head of the
    script says where it goes; nothing is installed by itself.
    $ arq completion bash > ~/.local/share/bash-completion/completions/arq
    $ arq completion zsh > "\${fpath[1]}/_arq"
    $ arq completion fish > ~/.config/fish/completions/arq.fish
    $ arq completion powershell | Out-String | Invoke-Expression`(async (_io, _flags, [shell]) => {
    const { completionScript } = await import("../../commands/setup/completion.ts");
    const script = completionScript(shell as "bash");
    return { told: { shell, script }, text: script };
  }),
  command`man: print the manual page
    --json  print it as JSON

    It is roff.
    $ arq man | man -l -
    $ arq man > ~/.local/share/man/man1/arq.1`(async (_io, _flags, _operands, _named, command) => {
    const { manPage } = await import("../../commands/setup/completion.ts");
    const page = manPage(describeCommand(command.parent!), VERSION);
    return { told: { page }, text: page };
  }),
  command`complete: completions at the cursor, for the completion scripts ${HIDDEN}
    [words...]  the words before it
    --at <word>  the word under the cursor ${NEEDED}`(
    async (io, { at }, [words], _named, command) => {
      const { complete } = await import("../../commands/setup/completion.ts");
      return await complete(io, describeCommand(command.parent!), words as string[], at);
    },
  ),
];
