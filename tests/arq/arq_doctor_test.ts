/** `arq doctor` against Brains whose `[[rooms]]` differ, and then do not. */
import assert from "node:assert/strict";
import { runArq } from "../../arq/testing/run_arq.ts";
import { until } from "../../shared/testing/until.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import { startNats } from "../harness/nats_server.ts";

const ROOMS = '[[rooms]]\nroom = "stage-*"\nmembership = "journal"\n';

Deno.test("arq doctor names the Brain whose [[rooms]] are others, and says nothing when none is", async () => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  const home = await Deno.makeTempDir({ prefix: "arqon-doctor-" });
  const config = (rooms: string) =>
    `[nats]\nurls = ["${nats.url}"]\nrequest_timeout_ms = 60_000\n${rooms}`;
  const start = (part: "brain" | "shield", name: string, rooms: string) =>
    startServer(
      part,
      config(rooms) + (part === "shield" ? issuer.config : ""),
      issuer.dir,
      `node_id = "${name}"\ndrain_ms = 0\n`,
    );
  try {
    await using shield = await start("shield", "s0", ROOMS);
    await using _brain = await start("brain", "b0", ROOMS);
    const other = await start("brain", "b1", "");
    const token = `${home}/token`;
    await Deno.writeTextFile(token, await issuer.tokenFor({ tenant_id: "ops", role: "admin" }), {
      mode: 0o600,
    });
    const arq = (...args: string[]) => runArq(args, { config_home: home, cwd: home });
    const { url = "", ops_url = "", admin_url = "" } = shield.ready;
    const urls = ["--url", url.replace("http", "ws"), "--ops-url", ops_url];
    const own = [...urls, "--admin-url", admin_url, "--token-file", token, "--use"];
    const added = await arq("context", "add", "bus", ...own);
    assert.equal(added.code, 0, added.stderr);
    const found = async () => {
      const { stdout, stderr } = await arq("doctor", "--json");
      assert.notEqual(stdout, "", stderr);
      const { findings } = JSON.parse(stdout) as {
        findings: { check: string; status: string; text: string }[];
      };
      const admin = findings.find(({ check }) => check === "admin token");
      assert.equal(admin?.status, "ok", stdout);
      return findings.find(({ check }) => check === "room classes");
    };
    await until("the other one is named", async () => {
      const finding = await found();
      return finding?.status === "warn" && /\| brain brain:b1$/.test(finding.text);
    });
    await other.stop();
    await using _again = await start("brain", "b1", ROOMS);
    await until("nothing is said", async () => await found() === undefined);
  } finally {
    await Deno.remove(home, { recursive: true });
    await Deno.remove(issuer.dir, { recursive: true });
  }
});
