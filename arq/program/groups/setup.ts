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
    --no-files  for another machine: do not open the named files, and ignore this machine's limits

    It makes the checks of a server's start, without starting one: it opens the named keys,
    certificates and other files, with relative paths from this folder. Exit code 1 if a check
    fails. arq doctor checks ports, NATS and the machine.
    $ arq config check config.toml
    $ arq config check config.toml --json | jq .problems`(calls(config, "configCheck")),
  command`config explain: explain a key or a table: meaning, type, default, bounds, and whether it is live
    [key]  auth.issuers.jwks_url, [limits], or a key's last part (default: all tables)
    --json  print it as JSON

    Exit code 2 for an unknown key, with similar keys.
    $ arq config explain server.drain_ms
    $ arq config explain rooms --json`(calls(config, "configExplain")),
  command`config schema: print the JSON Schema of config.toml, for editors
    --json  on one line

    Editors check a file whose first line is "#:schema ./config.schema.json" while you type.
    $ arq config schema > config.schema.json`(calls(config, "configSchema")),
  command`config show: show the live keys in force in each process, and keys of its file that are not in force
    --node <id>  only of this process (default: all) ${node}
    ${ANSWER}

    For operators. It does not read the file again; lists and secrets are not shown.
    $ arq config show
    $ arq config show --node edge-1 --json | jq .configs`(
    asks({ route: "GET /v1/config?node", text: from(texts, "configText") }),
  ),
  command`config reload: make each process read its configuration again, as SIGHUP does
    --node <id>  only of this process (default: all) ${node}
    ${ANSWER}

    For operators. Connections stay open. It names changed keys that are not live: they need a
    restart. An invalid file changes nothing; then, or if a process does not answer, exit code 1.
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

    A command uses the first available bus of this list:
      1. --url, --admin-url, --ops-url, --token and --token-file
      2. --context NAME; NAME dev is the running development bus, otherwise a compose stack of arq dev up
      3. in a folder of arq init or of such a stack, and below: the development bus that runs there,
         otherwise the stack, otherwise the folder's own context
      4. the context in use: arq context use NAME
      5. a running development bus: of this folder, of the folders above it, then of arq's own checkout
    arq context show prints the bus used here, and why. With --context, tokens of that context are
    also sent to an address in the other options; without it, only to the context's own address.

    Contexts are stored in contexts.json in $XDG_CONFIG_HOME/arqon, otherwise ~/.config/arqon (Windows:
    %APPDATA%\\arqon), for their owner only. They contain addresses and paths, never a key or a token.
    With a key, commands sign a token of the role that they need, valid for an hour.`,
  command`context add: add a name for a bus, with its addresses and tokens
    <name>  its name
    --url <url>  the bus, for example wss://bus.example.com
    --admin-url <url>  its admin listener, for example http://127.0.0.1:4002
    --ops-url <url>  its ops listener, for example http://127.0.0.1:4001
    --ops-token-file <file>  a file with the token of that listener, if it needs one
    --tenant <id>  tenant of its tokens, and default of --tenant ${tenant}
    --key <file>  private JWK that tokens are signed with; with --issuer, --audience
    --issuer <text>  iss of its tokens (with --key)
    --audience <text>  aud of its tokens (with --key)
    --token-file <file>  instead of --key: a file with a token, read at each command
    --use  use it from now on
    --update  change the given values of an existing context
    --json  print the context as JSON

    $ arq context add prod --url wss://bus.example.com --admin-url http://10.0.0.7:4002 --token-file admin.jwt --use
    $ arq context add local --url ws://127.0.0.1:4000 --key keys/arqon-private.jwk.json --issuer arqon-local --audience arqon
    $ arq context add prod --update --tenant acme`(calls(contexts, "contextAdd")),
  command`context use: select the context that commands use; dev: none, the development bus
    <context>  its name
    --json  print it as JSON

    $ arq context use prod
    $ arq context use dev`(calls(contexts, "contextUse")),
  command`context list: list all contexts; a star marks the one in use
    --json  print them as JSON

    $ arq context list
    $ arq context list --json | jq .current`(calls(contexts, "contextList")),
  command`context show: show the bus that commands use here, and why ${BUS}
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

    It completes commands, options, their choices, names of files and contexts. The first lines of
    the script explain its installation; nothing is installed automatically.
    $ arq completion bash > ~/.local/share/bash-completion/completions/arq
    $ arq completion zsh > "\${fpath[1]}/_arq"
    $ arq completion fish > ~/.config/fish/completions/arq.fish
    $ arq completion powershell | Out-String | Invoke-Expression`(async (_io, _flags, [shell]) => {
    const { completionScript } = await import("../../commands/setup/completion.ts");
    const script = completionScript(shell as "bash");
    return { json: { shell, script }, text: script };
  }),
  command`man: print the manual page
    --json  print it as JSON

    The format is roff.
    $ arq man | man -l -
    $ arq man > ~/.local/share/man/man1/arq.1`(async (_io, _flags, _operands, _named, command) => {
    const { manPage } = await import("../../commands/setup/completion.ts");
    const page = manPage(describeCommand(command.parent!), VERSION);
    return { json: { page }, text: page };
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
