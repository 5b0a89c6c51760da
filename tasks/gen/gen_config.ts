/**
 * Renders the definition of the configuration as `docs/config.schema.json` and `docs/configuration.md`. The
 * prose is here, and every table comes from the schema. Pure text functions; `gen.ts` writes the files.
 */
import { configJsonSchema, expectation, grouped } from "../../shared/config/json_schema.ts";
import { constants } from "../../shared/config/keys/constants.ts";
import type { JsonSchema } from "../../shared/config/json_schema.ts";

const NOTICE = "Generated from shared/config/schema.ts by `deno task gen`. Do not edit.";

const INTRO = `# Configuration

<!-- ${NOTICE} -->

Each process reads one file, \`config.toml\`, named with \`--config\`. Almost every key has a default. A
Shield needs an \`[[auth.issuers]]\` entry, or it would refuse every token; a separate Brain needs
\`[nats]\`; \`deno task dev\` needs no file. There are no environment variables.

The file is strict. An unknown or repeated key, a wrong type or a value out of range stops the start,
and the error lists all problems with line, column, key and the expected value:

\`\`\`text
config.toml:3:1 server.prot: unknown key; did you mean "port"?
config.toml:7:14 policy.timeout_ms: "5" is a string; expected an integer from 1 to 60_000
\`\`\`

\`arq config check FILE\` reports the same without a start, and opens the keys, certificates and other
files that it names (\`--no-files\`: not those). \`arq config explain KEY\` explains a key and whether it is
live. \`arq doctor\` also checks the machine: ports, limits, NATS
([monitoring.md](monitoring.md#doctor)). A file is UTF-8. The error of an unreadable file
names its key.

Passwords, tokens and private keys have their own files, in keys that end in \`_file\`
([security.md](security.md#secrets-in-files)): read when needed, and never shown.

A name ends in its unit: \`_ms\`, \`_seconds\`, \`_bytes\`. Paths are relative to the working directory of
the process. A Brain reads the same file; without a port in \`[ops]\` and \`[admin]\` it uses 4101 and 4102
instead of 4001 and 4002. A switched-off part of \`[platform]\` is skipped with a warning at the start.

Editors check the file as you type if its first line names the schema:

\`\`\`toml
#:schema ./docs/config.schema.json
\`\`\`

\`arq config schema > config.schema.json\` writes that file anywhere.

## What changes without a restart

A running process applies changes of keys that are *live* in the tables of this page: on SIGHUP, which a
supervisor of several Shields forwards, and by \`arq config reload\`
([\`POST /v1/config/reload\`](admin-api.md#the-configuration)), for all processes or one;
\`arq config show\` shows each process's values. \`arq dev\` has only the second. No connection ends, and a
limit holds from the next operation on, also for open connections. Each process reads its own file:

- A file with mistakes changes nothing. The log and the answer name the mistake.
- A changed key that is not live keeps its value, is reported, and needs a restart. So do \`tls_cert\` and
  \`tls_key\` when a listener is to begin or to end TLS.
- A file whose live keys would contradict values that need a restart changes nothing.
- Levels set one by one ([\`PUT /v1/log\`](admin-api.md)) are reset when \`[log]\` changes.

\`arqon_config_restart_keys\` counts the keys that wait for a restart. Certificates and secret files are
re-read without any of this. The key files of \`[[auth.issuers]]\` (\`jwks_file\`, \`pem_file\`) are re-read
with the configuration: a changed one is among \`changed\`, and a key that is gone verifies no token from then on
(open connections stay until their token ends; [revoke](security.md) it to end them). A bad one is \`problem\`,
and the previous keys stay.
`;

const EXAMPLES = `## Examples

One node with NATS, TLS and an identity provider:

\`\`\`toml
[server]
allowed_origins = ["https://app.example.com"]
tls_cert = "/etc/arqon/cert.pem"
tls_key = "/etc/arqon/key.pem"

[nats]
urls = ["nats://127.0.0.1:4222"]

[[auth.issuers]]
issuer = "https://id.example.com/"
audience = "arqon"
jwks_url = "https://id.example.com/.well-known/jwks.json"
tenants = ["acme"]
roles = ["user"]
\`\`\`

Two issuers, one for people and one for backends of any tenant; backends of \`ops\` operate the bus.
Some rooms require signed messages:

\`\`\`toml
[admin]
operator_tenants = ["ops"]

[auth]
require_signature = [{ role = "user", room = "ledger-*" }]

[[auth.issuers]]
issuer = "https://id.example.com/"
audience = "arqon"
jwks_url = "https://id.example.com/.well-known/jwks.json"
algorithms = ["RS256", "ES256"]
tenants = ["acme", "globex"]

[[auth.issuers]]
issuer = "backends"
audience = "arqon"
jwks_file = "/etc/arqon/backends.jwks.json"
algorithms = ["EdDSA"]
tenants = ["*"]
roles = ["service", "admin"]
\`\`\`

A single machine without NATS, whose room state survives a restart:

\`\`\`toml
[server]
host = "127.0.0.1"
data_dir = "/var/lib/arqon"

[log]
level = "debug"
format = "json"
\`\`\`
`;

/** The text of `docs/config.schema.json`. */
export function renderConfigSchema(): string {
  return JSON.stringify({ $comment: NOTICE, ...configJsonSchema() }, null, 2) + "\n";
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

function defaultCell(node: JsonSchema, is_required: boolean): string {
  if (is_required) return "required";
  if (node.default === undefined) return "–";
  const value = typeof node.default === "number"
    ? grouped(node.default)
    : JSON.stringify(node.default);
  return `\`${value}\``;
}

const tableRow = (...cells: string[]) => `| ${cells.map(cell).join(" | ")} |`;

/** The node whose keys the section of a node lists; undefined for a node without a section. */
function tableOf(node: JsonSchema): JsonSchema | undefined {
  if (node.type === "object") return node;
  return node.items?.type === "object" ? node.items : undefined;
}

/** One section for each table and array of tables, in the order of the schema. */
function sections(node: JsonSchema, path: readonly string[]): string[] {
  const table = tableOf(node);
  if (table === undefined) return [];
  const children = Object.entries(table.properties ?? {});
  const keys = children.filter(([, child]) => tableOf(child) === undefined);
  const name = path.join(".");
  const header = node.type === "array" ? `[[${name}]]` : `[${name}]`;
  const lines: string[] = [];
  if (keys.length > 0) {
    const about = node.description ?? "";
    lines.push(`### \`${header}\``, "");
    if (about !== "") lines.push(`${about.charAt(0).toUpperCase()}${about.slice(1)}.`, "");
    lines.push(tableRow("key", "value", "default", "live", "meaning"));
    lines.push(tableRow("---", "---", "---", "---", "---"));
    for (const [key, child] of keys) {
      const is_required = table.required?.includes(key) ?? false;
      lines.push(
        tableRow(
          `\`${key}\``,
          expectation(child).replace(" in quotes", ""),
          defaultCell(child, is_required),
          child["x-live"] === true ? "yes" : "",
          child.description ?? "",
        ),
      );
    }
    lines.push("");
  }
  return [...lines, ...children.flatMap(([key, child]) => sections(child, [...path, key]))];
}

const CONSTANTS_INTRO = `## Constants

These have the names of keys and cannot be set: a file that has one is refused with its value.
`;

function constantRows(): string[] {
  const rows = constants().map(([name, { value, why }]) => {
    const shown = typeof value === "number" ? grouped(value) : JSON.stringify(value);
    return tableRow(`\`${name}\``, `\`${shown}\``, why);
  });
  return [
    tableRow("constant", "value", "what it bounds, and why so"),
    tableRow("---", "---", "---"),
    ...rows,
  ];
}

/** The text of `docs/configuration.md`, with a table of every key. */
export function renderConfigMarkdown(): string {
  const tables = sections({ ...configJsonSchema(), type: "object" }, []);
  const fixed = [CONSTANTS_INTRO, ...constantRows(), ""].join("\n");
  return [INTRO, EXAMPLES, "## Every key\n", tables.join("\n"), fixed].join("\n");
}
