/**
 * The texts that `arq init` writes: configuration, README, .gitignore, the example policy and the example
 * schema. Pure; keys and binary files come from elsewhere.
 */
import policy from "../../policies/examples/content_size.ts" with { type: "text" };
import schema from "./schema/order.proto" with { type: "text" };

/** Issuer (`iss`) of tokens that are signed with the key of `arq init`. */
export const INIT_ISSUER = "arqon-local";
/** Audience (`aud`) of these tokens. */
export const INIT_AUDIENCE = "arqon";
/** Tenant of these tokens. */
export const INIT_TENANT = "default";

/** The ports of the new bus; all are on loopback addresses. */
export interface InitPorts {
  readonly port: number;
  readonly ops_port: number;
  readonly admin_port: number;
}

/** Paths of the files, below the folder. */
export const INIT_FILES = {
  config: "config.toml",
  private_key: "keys/arqon-private.jwk.json",
  jwks: "keys/arqon-jwks.json",
  policy_source: "policies/content_size.ts",
  policy: "policies/content_size.wasm",
  schema_source: "schemas/order.proto",
  schema: "schemas/order.binpb.gz",
  readme: "README.md",
  gitignore: ".gitignore",
} as const;

/** Origins of pages on this machine. */
const OWN_ORIGINS = ["http://localhost*", "http://127.0.0.1*"];

/** The text of the configuration: one process on the embedded Spine, for this machine only. */
export function initConfig(
  { port, ops_port, admin_port }: InitPorts,
  arq = "arq",
  origins: readonly string[] = OWN_ORIGINS,
): string {
  return `# ArqonBus: Shield and Brain in one process, on this machine only.
#   ${arq} serve --config config.toml      run it; relative paths begin in the folder where you do
#   ${arq} config check config.toml        say what is wrong with this file
#   ${arq} config explain server           what a table can have, and what it means
#   ${arq} doctor --config config.toml     look at all that it needs: ports, limits, keys, data

[server]
host = "127.0.0.1"
port = ${port}
# Browser pages that may connect; requests that are no browser's always may.
allowed_origins = [${origins.map((origin) => JSON.stringify(origin)).join(", ")}]
# Room state and durable rooms are kept here. Without it they are gone with the process.
data_dir = "data"

# Metrics and health.
[ops]
host = "127.0.0.1"
port = ${ops_port}

# The admin API and the console: http://127.0.0.1:${admin_port}/console/
[admin]
port = ${admin_port}
# Tenants whose admins operate the whole bus; admins of others act on their own tenant only.
operator_tenants = ["${INIT_TENANT}"]

# Several processes share a NATS server, 2.11 or newer with JetStream. Without it: the embedded Spine.
# [nats]
# urls = ["nats://127.0.0.1:4222"]

# Who may sign tokens: ${arq} auth gen --key ${INIT_FILES.private_key}
#   --issuer ${INIT_ISSUER} --audience ${INIT_AUDIENCE}
[[auth.issuers]]
issuer = "${INIT_ISSUER}"
audience = "${INIT_AUDIENCE}"
jwks_file = "${INIT_FILES.jwks}"
algorithms = ["RS256"]
tenants = ["${INIT_TENANT}"]
roles = ["user", "service", "admin"]

# Rooms that keep their messages: ${arq} sub orders --from 0
[[rooms]]
room = "orders*"
durable = true
history_size = 10_000
history_ttl_seconds = 604_800

# Policies decide about messages. They are bound to rooms while the bus runs:
#   ${arq} policy deploy ${INIT_FILES.policy} --room 'chat-*'
[platform.overseer]
enabled = true

# Copies of traffic for shadow consumers.
[platform.mirroring]
enabled = false

# Protobuf schemas of events. Register one and say which rooms it is for:
#   ${arq} schema push ${INIT_FILES.schema_source} --id shop
#   ${arq} schema map 'orders*' shop --message shop.v1.Order --mode observe
[platform.registry]
enabled = true

[log]
level = "info"
`;
}

/** The text of the README: what the folder holds and what to do with it. */
export function initReadme({ admin_port }: Pick<InitPorts, "admin_port">, arq = "arq"): string {
  return `# An ArqonBus

Made by \`${arq} init\`. Run the commands in this folder.

| file | what it is |
| --- | --- |
| \`${INIT_FILES.config}\` | the configuration; \`${arq} config explain KEY\` says what a key means |
| \`${INIT_FILES.private_key}\` | signs tokens: keep it secret; git ignores it |
| \`${INIT_FILES.jwks}\` | its public part, by which the bus checks tokens |
| \`${INIT_FILES.policy_source}\` | an example policy in AssemblyScript, compiled beside it |
| \`${INIT_FILES.schema_source}\` | an example schema, built beside it |
| \`data/\` | room state and durable rooms, once the bus has run |

Start the bus, and look at it:

\`\`\`sh
${arq} doctor
${arq} serve --config ${INIT_FILES.config}
\`\`\`

In another terminal, in this folder (the room \`orders\` keeps its messages):

\`\`\`sh
${arq} pub orders '{"item":"tea","quantity":2}'
${arq} sub orders --from 0
${arq} status
\`\`\`

The console is at <http://127.0.0.1:${admin_port}/console/>; it asks for a token of role admin:
\`${arq} auth gen --role admin\`.

Change the policy, check it, and let it decide about the rooms \`chat-…\`:

\`\`\`sh
${arq} policy build ${INIT_FILES.policy_source}
${arq} policy check ${INIT_FILES.policy}
${arq} policy deploy ${INIT_FILES.policy} --room 'chat-*'
\`\`\`

Register the schema, and count the events that are not as it says:

\`\`\`sh
${arq} schema push ${INIT_FILES.schema_source} --id shop
${arq} schema map 'orders*' shop --message shop.v1.Order --mode observe
\`\`\`
`;
}

/** The text of .gitignore: what must not get into a repository. */
export const INIT_GITIGNORE = `# The private key signs tokens of every role.
/keys/*-private.jwk.json
/keys/*.key
# Room state and durable rooms.
/data/
/.arqon/
`;

/** The source of the example policy, as it is in the new folder. */
export const INIT_POLICY: string = policy.replace('"../sdk/v2.ts"', '"@arqon/policy/v2"');

/** The text of the example schema. */
export const INIT_SCHEMA: string = schema;
