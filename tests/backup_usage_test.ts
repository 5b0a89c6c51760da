/**
 * The usage ledger survives the loss of everything in a backup, on both engines; a restore leaves an existing ledger,
 * since later usage counts, too.
 */
import assert from "node:assert/strict";
import { type ArqResult, runArq, succeeds } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { documentedAccounts } from "./harness/documented_accounts.ts";
import { startNats } from "./harness/nats_server.ts";
import { initFolder, startServe, tokenOf } from "./harness/serve_bus.ts";

const USAGE = "\n[usage]\nenabled = true\n#constant usage.flush_ms = 50\n";

type Run = (...args: string[]) => Promise<ArqResult>;

/** The usage reported by the bus, once it has reached this amount. */
async function counted(run: Run, admin: readonly string[], wanted: number): Promise<void> {
  let found: number | undefined;
  await until(() => `${found} of ${wanted} are counted`, async () => {
    const answer = JSON.parse(succeeds(await run("usage", "--json", ...admin)));
    found = answer.total.messages_in;
    return found === wanted;
  });
}

Deno.test("backup, embedded: the ledger of use is in it, and one that is there stays", async () => {
  await using folder = await initFolder(USAGE);
  const { path } = folder;
  const run: Run = (...args) => runArq(args, { cwd: path });
  const [user, admin] = [await tokenOf(path, "user"), await tokenOf(path, "admin")];
  /** A bus that has counted `before`, and then counts one message. */
  const life = async (before: number, then: (to: readonly string[]) => Promise<void>) => {
    await using bus = await startServe(path);
    const to = ["--admin-url", bus.admin_url, "--token", admin];
    await counted(run, to, before);
    succeeds(await run("pub", "hall", "1", "--url", bus.url, "--token", user));
    await counted(run, to, before + 1);
    await then(to);
  };
  const nothing = () => Promise.resolve();
  await life(0, nothing);
  const names = async (file: string, to: readonly string[] = []) => {
    const { parts } = JSON.parse(succeeds(await run("backup", file, "--json", ...to)));
    return parts.map(({ name }: { name: string }) => name);
  };
  await life(1, async (to) => assert.ok((await names("two.tar", to)).includes("usage.sqlite")));
  assert.ok((await names("stopped.tar")).includes("usage.sqlite"));
  await life(2, nothing);
  const over = await run("restore", "stopped.tar", "--force");
  assert.match(succeeds(over), /the existing usage ledger was kept/);
  await life(3, nothing);
  await Deno.remove(`${path}/data`, { recursive: true });
  assert.match(succeeds(await run("restore", "two.tar")), /usage\.sqlite/);
  await life(2, nothing);
});

Deno.test("backup on NATS: the ledger of use is in it, and one that is there stays", async () => {
  await using issuer = await createIssuer();
  const { dir, config } = issuer;
  const accounts = await documentedAccounts();
  const run: Run = (...args) => runArq(args, { cwd: dir });
  const [user, admin] = [await issuer.tokenFor(), await issuer.tokenFor({ role: "admin" })];
  const natsOf = (name: string, url: string) =>
    `[nats]\nurls = ["${url.replace("nats://", `nats://${name}:secret@`)}"]\n`;
  const life = async (url: string, before: number) => {
    await using shield = await startServer("shield", natsOf("shield", url) + config + USAGE, dir);
    const to = ["--admin-url", shield.ready.admin_url ?? "", "--token", admin];
    await counted(run, to, before);
    succeeds(await run("pub", "hall", "1", "--url", shield.ready.url ?? "", "--token", user));
    await counted(run, to, before + 1);
    await shield.stop();
  };
  const configure = async (url: string) => {
    for (const name of ["backup", "restore"]) {
      await Deno.writeTextFile(`${dir}/${name}.toml`, natsOf(name, url));
    }
  };
  const file = `${dir}/bus.tar`;
  {
    await using nats = await startNats({ jetstream: true, config: accounts });
    await configure(nats.url);
    await life(nats.url, 0);
    const answer = JSON.parse(
      succeeds(await run("backup", file, "--config", "backup.toml", "--json")),
    );
    const names = answer.parts.map(({ name }: { name: string }) => name);
    // Running minutes are saved before finished ones: of both a reader uses one.
    assert.ok(names.indexOf("KV_ARQON_USAGE") >= 0, String(names));
    assert.ok(names.indexOf("KV_ARQON_USAGE") < names.indexOf("ARQON_USAGE"), String(names));
    await life(nats.url, 1);
    const over = await run("restore", file, "--config", "restore.toml", "--force");
    assert.match(succeeds(over), /the existing usage ledger was kept/);
    await life(nats.url, 2);
  }
  await using nats = await startNats({ jetstream: true, config: accounts });
  await configure(nats.url);
  succeeds(await run("restore", file, "--config", "restore.toml"));
  await life(nats.url, 1);
});
