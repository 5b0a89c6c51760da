/**
 * A second site that mirrors the first over a leaf node with TLS and its own login, as in docs/backup.md, and takes
 * over when the first is lost.
 */
import { seen } from "../../shared/testing/until.ts";
import { changed, type NatsMore, TLS_FOLDER } from "../deployed_files.ts";
import { freePorts } from "../harness/free_ports.ts";
import { Site } from "./site.ts";
import { arqAgain, arqDone, calm, judgeLogs, note, seconds, type Stage } from "./stage.ts";

const WAIT_MS = 120_000;
const SYNC = "sync_interval: always";
const LOGIN = { user: "site-b", password: "leaf-own" };

/** What both sites need for the link between them. */
export interface Link {
  /** Its part of the first site's servers, which may be restarted. */
  readonly first: (at: number) => NatsMore;
  readonly ports: readonly number[];
}

/** Ports for the first site's servers, and their configuration. */
export function leafListener(): Link {
  const ports = freePorts(3);
  return {
    ports,
    first: (at) => ({
      changes: [[SYNC, `${SYNC}\n  domain: a`]],
      lines: `leafnodes {
  listen: "127.0.0.1:${ports[at]}"
  authorization { user: "${LOGIN.user}", password: "${LOGIN.password}" }
  tls { cert_file: "${TLS_FOLDER}server.pem", key_file: "${TLS_FOLDER}server_key.pem" }
}`,
    }),
  };
}

/** The second site's leaf node from the documents, with the first site's addresses. */
async function documentedLeaf(ports: readonly number[]): Promise<string> {
  const text = await Deno.readTextFile(new URL("../../docs/backup.md", import.meta.url));
  const block = /^leafnodes \{\n {2}remotes:[^]*?^\}$/m.exec(text)?.[0] ?? "";
  const urls = ports.map((port) => `"tls://${LOGIN.user}:${LOGIN.password}@127.0.0.1:${port}"`);
  return changed("docs/backup.md, leaf node", block, [[
    'url: "nats-leaf://nats.site-a.example:7422"',
    `urls: [${urls.join(", ")}]\n    tls { ca_file: "${TLS_FOLDER}ca.pem" }`,
  ]]);
}

/** A second site that mirrors the first, and may take over. */
export interface SecondSite {
  readonly site: Site;
  readonly config: string;
  /** Everything acknowledged before is in its mirrors. Unix ms. */
  readonly safe_ms: number;
}

interface Mirror {
  readonly name: string;
  readonly lag: number | null;
}

async function lagOf(config: string): Promise<number | undefined> {
  const { mirrors } = JSON.parse(
    await arqDone("standby", "status", "--config", config, "--json"),
  ) as { mirrors: readonly Mirror[] };
  const lags = mirrors.map(({ lag }) => lag);
  return lags.includes(null) ? undefined : Math.max(...lags as number[]);
}

/** Starts it, creates its mirrors, and waits until each has all earlier messages. */
export async function secondSite(
  stage: Stage,
  { ports }: Link,
  stack: AsyncDisposableStack,
): Promise<SecondSite> {
  const lines = await documentedLeaf(ports);
  const site = stack.use(
    await Site.open(stage.around, () => ({
      changes: [[SYNC, `${SYNC}\n  domain: b`], ["name: arqon\n", "name: arqon-b\n"]],
      lines,
    })),
  );
  const config = await site.configure("standby.toml", "standby");
  const safe_ms = Date.now();
  const began_ms = performance.now();
  await arqAgain("standby", "sync", "--domain", "a", "--config", config, "--json");
  await seen("the mirrors have caught up", () => lagOf(config), (lag) => lag === 0, WAIT_MS);
  note(stage, "second site, until it is a copy", seconds(performance.now() - began_ms));
  return { site, config, safe_ms };
}

/** Runs `arq room` at a site, as a service. */
async function room({ tokenFor }: Stage, site: Site, ...args: string[]): Promise<string> {
  const token = await tokenFor({ sub: "desk", role: "service" });
  return await arqDone("room", ...args, "--url", site.shield_urls[0] ?? "", "--token", token);
}

/** Loses the first site, and makes the second take over. */
export async function failOver(stage: Stage, first: Site, second: SecondSite): Promise<void> {
  const { traffic, ingress } = stage;
  const { site, config, safe_ms } = second;
  await calm(stage);
  await room(stage, first, "set", "desk", "a", "1");
  await seen("the mirrors have it", () => lagOf(config), (lag) => lag === 0, WAIT_MS);
  const began_ms = performance.now();
  const lost_ms = await first.destroy();
  // Without the leaf node: if the first site came back, nothing of it would be mirrored.
  for (const { server, config: alone } of site.pods) {
    await server.stop();
    await server.reload(alone);
    await server.start();
  }
  const log = (what: string) =>
    stage.plan.say(`  ${what} after ${seconds(performance.now() - began_ms)}`);
  log("NATS of the second site is started anew");
  await arqAgain("standby", "promote", "--config", config, "--json");
  log("promoted");
  await site.startBus();
  log("the bus is ready");
  await ingress.direct(site.shield_urls);
  await traffic.acknowledgedIn();
  note(stage, "after the failover: RTO", seconds(performance.now() - began_ms));
  await judgeLogs(stage, "after the failover", { safe_ms, lost_ms, forgets_ids: true });
  const { state } = JSON.parse(await room(stage, site, "get", "desk", "--json"));
  if (state.a !== 1) {
    stage.problems.push(`after the failover: the room has ${JSON.stringify(state)}`);
  }
}
