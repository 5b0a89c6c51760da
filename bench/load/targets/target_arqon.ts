/**
 * ArqonBus as two targets: one process with the embedded Spine, and a Shield and a Brain on NATS. Limits are raised
 * until they have no effect, as the peers have none; all other settings have their defaults.
 */
import { createIssuer, startServer } from "../../../tests/harness/cluster.ts";
import { startNats } from "../../../tests/harness/nats_server.ts";
import { VERSION } from "../../../shared/version.ts";
import { startConfigured, type TokenFor, tokens } from "../../measure/targets.ts";
import type { Ability, RunningTarget, Target, TargetOptions } from "./target.ts";
import { caOf, PLAIN_ABILITIES, TLS_FILES } from "./target_bare.ts";

const ABILITIES: ReadonlySet<Ability> = new Set(["echo", "rooms", "tenants", "tls", "batch"]);

/** Raised limits: all clients use one machine, and thousands of them are one user. */
export const LIMITS = `
[limits]
messages_per_second = 10_000_000
bytes_per_second = 10_737_418_240
user_messages_per_second = 10_000_000
tenant_messages_per_second = 10_000_000
tenant_bytes_per_second = 10_737_418_240
process_messages_per_second = 10_000_000
handshakes_per_second = 100_000
strangers = 100_000
rooms_per_connection = 1_000_000
connections_per_user = 1_000_000
connections_per_tenant = 1_000_000
`;

const tlsLines = (tls: boolean) =>
  tls ? `tls_cert = "${TLS_FILES.cert}"\ntls_key = "${TLS_FILES.key}"\n` : "";

/** One token for each tenant, each for a separate user. */
async function tokensOf(tenants: number, tokenFor: TokenFor): Promise<string[]> {
  const all: string[] = [];
  for (let index = 0; index < tenants; index++) {
    all.push(await tokenFor({ tenant_id: `tenant-${index}`, sub: `user-${index}` }));
  }
  return all;
}

async function startEmbedded(
  options: TargetOptions,
  more = "",
  sections = "",
): Promise<RunningTarget> {
  await using owned = new AsyncDisposableStack();
  const config = `[server]\nhost = "127.0.0.1"\ndrain_ms = 0\n${more}${tlsLines(options.tls)}
[ops]\nhost = "127.0.0.1"\n[brain]\ntap = 0\n${sections}${LIMITS}`;
  const bus = owned.use(await startConfigured(config));
  const given = await tokensOf(options.tenants, await tokens(bus));
  const ca = await caOf(options.tls);
  const stack = owned.move();
  return {
    version: VERSION,
    pids: [bus.pid],
    wire: { protocol: "arqon", url: bus.url, tokens: given, ...ca },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function startOnNats(options: TargetOptions): Promise<RunningTarget> {
  await using owned = new AsyncDisposableStack();
  const nats = owned.use(await startNats({ jetstream: true }));
  const issuer = await createIssuer();
  owned.defer(() => Deno.remove(issuer.dir, { recursive: true }));
  const config = `[nats]\nurls = ["${nats.url}"]\n[brain]\ntap = 0\n`;
  const brain = owned.use(await startServer("brain", config, issuer.dir));
  const all = config + LIMITS + issuer.config;
  const lines = `drain_ms = 0\n${tlsLines(options.tls)}`;
  const shield = owned.use(await startServer("shield", all, issuer.dir, lines));
  const given = await tokensOf(options.tenants, issuer.tokenFor);
  const ca = await caOf(options.tls);
  const stack = owned.move();
  return {
    version: VERSION,
    pids: [shield.pid],
    beside_pids: [nats.pid, brain.pid],
    wire: { protocol: "arqon", url: shield.socket_url, tokens: given, ...ca },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** The target with Shield and Brain in one process. */
export const ARQON: Target = {
  id: "arqon",
  title: "ArqonBus (embedded)",
  abilities: ABILITIES,
  start: (options) => startEmbedded(options),
};

/** The target with a Shield as a process; NATS and the Brain run as separate processes. */
export const ARQON_NATS: Target = {
  id: "arqon-nats",
  title: "ArqonBus (NATS)",
  abilities: ABILITIES,
  start: startOnNats,
};

/** The first target with the sockets of Deno's own server. */
export const ARQON_NATIVE: Target = {
  id: "arqon+native",
  title: "embedded, native sockets",
  abilities: ABILITIES,
  start: (options) => startEmbedded(options, 'websocket = "native"\n'),
};

/** The first target, with the protocol of Centrifugo's clients. */
export const ARQON_CENTRIFUGO: Target = {
  id: "arqon+centrifugo",
  title: "embedded, Centrifugo's wire",
  abilities: PLAIN_ABILITIES,
  async start(options) {
    const started = await startEmbedded(options, "", "[centrifugo]\nenabled = true\n");
    const { wire: { url, ...wire } } = started;
    const at = new URL("/connection/websocket", url).href;
    return { ...started, wire: { ...wire, protocol: "centrifugo", url: at } };
  },
};
