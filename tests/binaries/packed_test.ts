// Shield and Brain from a folder with only what a compiled binary includes: nothing of the checkout, nothing to write,
// and no file to read but their own and the configuration.
import assert from "node:assert/strict";
import { REPLAY_WORKER } from "../../shield/admin/console/replay_bundle.ts";
import { until } from "../../shared/testing/until.ts";
import { stageProgram } from "../../tasks/pack/compile.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { PROGRAMS } from "../../tasks/pack/pack_sources.ts";
import { createIssuer } from "../harness/cluster.ts";
import { startNats } from "../harness/nats_server.ts";
import { enforce } from "../peers/policy_admin.ts";

/** Only a server that hangs takes this long. */
const READY_MS = 600_000;

/** A server that has reported that it is ready. */
interface Packed extends AsyncDisposable {
  readonly folder: string;
  /** Value of a field of its `ready` log line. */
  field(name: string): string;
  /** Its whole log. */
  log(): string;
}

/** Starts it with the flags of its task, but allowed to read only its folder and the configuration's. */
async function start(
  name: "shield" | "brain",
  config: string,
  conf_dir: string,
): Promise<Packed> {
  const folder = await Deno.makeTempDir({ prefix: `arqon-packed-${name}-` });
  const { flags } = await stageProgram(name, folder);
  const config_file = `${conf_dir}/${name}.toml`;
  await Deno.writeTextFile(config_file, config);
  const narrow = flags.map((flag) => {
    if (flag === "--allow-read") return `--allow-read=${folder},${conf_dir}`;
    return flag === "--allow-run" ? `--allow-run=${Deno.execPath()}` : flag;
  });
  const args = ["run", "--cached-only", ...narrow, PROGRAMS[name], "--config", config_file];
  const server = StreamedCommand.start([Deno.execPath(), ...args], { cwd: folder, stdout: "null" });
  const end = async () => {
    const { code } = await server.stop();
    await Deno.remove(folder, { recursive: true });
    assert.equal(code, 0, server.text);
  };
  const READY = /^.* msg="ready".*\n/m;
  assert.ok(await server.shows((log) => READY.test(log), READY_MS), server.text);
  const [line] = READY.exec(server.text)!;
  const field = (key: string) => new RegExp(`\\b${key}="?([^\\s"]+)`).exec(line)?.[1] ?? "";
  return { folder, field, log: () => server.text, [Symbol.asyncDispose]: end };
}

const config = (issuer: string, nats_url: string) =>
  ["server", "ops", "admin"].map((table) => `[${table}]\nhost = "127.0.0.1"\nport = 0\n`).join("") +
  `operator_tenants = ["*"]\n[nats]\nurls = ["${nats_url}"]\n[platform.overseer]\nenabled = true\n${issuer}`;

Deno.test("packed servers outside of the checkout run policies and serve the console", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const text = config(issuer.config, nats.url);
  await using _brain = await start("brain", text, issuer.dir);
  await using shield = await start("shield", text, issuer.dir);
  const url = shield.field("url");
  const admin_url = shield.field("admin_url");
  const thread = `${shield.folder}/${REPLAY_WORKER}`;
  await Deno.rename(thread, `${thread}.away`);
  const missing = await fetch(`${admin_url}/console/replay_worker.js`);
  assert.equal((await missing.json()).reason, "internal");
  await until("the log says why", () => /deno bundle .*page_thread\.ts/.test(shield.log()));
  await Deno.rename(`${thread}.away`, thread);
  const paths = ["", "main.js", "replay_worker.js"].map((name) => `/console/${name}`);
  for (const path of [...paths, "/v1/openapi.json"]) {
    const answer = await fetch(`${admin_url}${path}`);
    assert.ok((await answer.text()).length > 100);
    assert.equal(answer.status, 200, path);
  }
  // Compiled in a child, metered in one thread, run in another.
  const tokenFor = (claims: object = {}) => issuer.tokenFor({ ...claims });
  await enforce({ admin_url, tokenFor }, "content_size", { name: "size", tenant: "acme" });
  const authorization = `Bearer ${await issuer.tokenFor()}`;
  const headers = { authorization, "content-type": "application/json" };
  for (const [length, wanted] of [[10, 200], [20_000, 413]] as const) {
    const body = JSON.stringify({ type: "chat", data: "x".repeat(length) });
    const answer = await fetch(`${url}/v1/rooms/den/messages`, { method: "POST", headers, body });
    const output = await answer.text();
    assert.equal(answer.status, wanted, output);
    if (wanted === 413) assert.match(output, /at most 16384 here/);
  }
});
