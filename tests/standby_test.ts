/**
 * A second site as docs/backup.md sets it up: NATS servers that know each other as a leaf node, mirrors
 * made by `arq standby`, a first site that is gone, and a bus that works at the second.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import type { ArqResult } from "../arq/testing/run_arq.ts";
import { seen } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { freePort } from "./harness/free_ports.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText } from "./peers/raw_client.ts";

const CLASSES = `
[[rooms]]
room = "orders*"
durable = true
history_size = 10_000
history_ttl_seconds = 3_600
`;

function succeeds({ code, stderr, stdout }: ArqResult): string {
  assert.equal(code, 0, stderr);
  return stdout;
}

/** The lists of subjects that stay at their site, from the configuration in the documents. */
async function documentedLeaf(port: number): Promise<string> {
  const text = await Deno.readTextFile(new URL("../docs/backup.md", import.meta.url));
  const block = /^leafnodes \{\n {2}remotes:[^]*?^\}$/m.exec(text)?.[0];
  assert.ok(block !== undefined, "docs/backup.md has no leaf node");
  return block.replace(/nats-leaf:\/\/[^"]+/, `nats-leaf://127.0.0.1:${port}`);
}

/** A bus on a NATS, and the options of `arq` for it. */
interface Bus extends AsyncDisposable {
  readonly url: string;
  readonly user: string[];
  readonly service: string[];
}

/** Both sites' configurations and commands. */
interface Sites extends AsyncDisposable {
  /** Of role user. */
  readonly token: string;
  readonly arq: (...args: string[]) => Promise<ArqResult>;
  readonly bus: (nats_url: string) => Promise<Bus>;
  /** What room `orders` keeps, as JSON lines. */
  readonly history: (bus: Bus) => Promise<{ data: { n: number }; offset: number; epoch: string }[]>;
  /** Runs `arq standby` at the second site; what it says as JSON. */
  readonly standby: (...args: string[]) => Promise<Record<string, unknown>>;
}

const table = (url: string) => `[nats]\nurls = ["${url}"]\n`;

async function openSites(second_url: string): Promise<Sites> {
  const issuer = await createIssuer();
  const { dir, config } = issuer;
  await Deno.writeTextFile(`${dir}/b.toml`, table(second_url));
  const [user = "", service = ""] = await Promise.all(
    ["user", "service"].map((role) => issuer.tokenFor({ role })),
  );
  const arq = (...args: string[]) => runArq(args, { cwd: dir });
  return {
    token: user,
    arq,
    async bus(nats_url) {
      const brain = await startServer("brain", `${table(nats_url)}${config}`, dir);
      const shield = await startServer("shield", `${table(nats_url)}${CLASSES}${config}`, dir);
      const url = shield.ready.url ?? "";
      return {
        url,
        user: ["--url", url, "--token", user],
        service: ["--url", url, "--token", service],
        [Symbol.asyncDispose]: async () => void await Promise.all([shield.stop(), brain.stop()]),
      };
    },
    async history(bus) {
      const found = await arq("room", "history", "orders", "--all", "--json", ...bus.user);
      const lines = succeeds(found).split("\n").filter((line) => line !== "");
      return lines.map((line) => JSON.parse(line));
    },
    standby: async (...args) =>
      JSON.parse(succeeds(await arq("standby", ...args, "--config", "b.toml", "--json"))),
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** Resolves when no mirror is behind. */
async function caughtUp({ standby }: Sites): Promise<void> {
  const look = () => standby("status") as Promise<{ mirrors: { lag: number | null }[] }>;
  const areEven = ({ mirrors }: Awaited<ReturnType<typeof look>>) =>
    mirrors.every(({ lag }) => lag === 0);
  await seen("no mirror is behind", look, areEven);
}

Deno.test("standby: a second site takes over, has what its mirrors had, and says what is lost", async () => {
  const port = freePort();
  const leaf = `leafnodes { listen: "127.0.0.1:${port}" }`;
  const of = (site: string, more: string) => `server_name: site_${site}\n${more}`;
  await using a = await startNats({ jetstream: true, domain: "a", config: of("a", leaf) });
  const link = await documentedLeaf(port);
  await using b = await startNats({ jetstream: true, domain: "b", config: of("b", link) });
  await using sites = await openSites(b.url);
  const { arq, history, standby } = sites;
  let made: string[];
  let known: { offset: number; epoch: string };
  {
    await using first = await sites.bus(a.url);
    for (const n of [0, 1, 2]) succeeds(await arq("pub", "orders", `{"n":${n}}`, ...first.user));
    succeeds(await arq("room", "set", "orders", "a", "1", ...first.service));
    const sync = async () => (await standby("sync", "--domain", "a"))["made"] as string[];
    made = await sync();
    // What a bus needs later is made when it has started, on a busy machine after the first `sync`.
    for (let more = await sync(); more.length > 0; more = await sync()) made.push(...more);
    assert.ok(made.some((name) => name.startsWith("LOG_acme_")), made.join());
    assert.ok(made.includes("KV_ARQON_ROOMS"));
    await caughtUp(sites);
    const later = await sync();
    assert.deepEqual(later.filter((name) => made.includes(name)), [], "what is there is not made");
    made.push(...later);
    await caughtUp(sites);
    // The link breaks, and the first site goes on for a while, until it is gone.
    await b.stop();
    succeeds(await arq("pub", "orders", '{"n":3}', ...first.user));
    const all = await history(first);
    assert.deepEqual(all.map(({ data }) => data.n), [0, 1, 2, 3]);
    known = all.at(-1)!;
  }
  await a.kill();
  // Without the leaf node, by which a server alone takes itself for part of a cluster.
  await b.reload(of("b", ""));
  await b.start();
  const promoted = (await standby("promote"))["promoted"] as unknown[];
  assert.ok(promoted.length >= made.length);

  await using second = await sites.bus(b.url);
  assert.deepEqual((await history(second)).map(({ data }) => data.n), [0, 1, 2]);
  const got = await arq("room", "get", "orders", "--json", ...second.user);
  assert.deepEqual(JSON.parse(succeeds(got)).state, { a: 1 });
  succeeds(await arq("room", "set", "orders", "a", "2", ...second.service));
  succeeds(await arq("pub", "orders", '{"n":4}', ...second.user));
  // Who knew the lost message is told so, and its place is not taken for another message's.
  const client = await openText(`${second.url.replace("http", "ws")}/v1/socket`, sites.token);
  const { offset: after_offset, epoch } = known;
  client.send({ op: "sub", room: "orders", id: 1, after_offset, epoch });
  const ack = await client.json();
  assert.equal(ack.result.recovered, false, JSON.stringify(ack));
  client.socket.close();
  const all = await history(second);
  assert.deepEqual(all.map(({ data }) => data.n), [0, 1, 2, 4]);
  assert.notEqual(all.at(-1)?.epoch, epoch);
});
