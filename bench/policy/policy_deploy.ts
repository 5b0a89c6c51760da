/**
 * The time from `arq policy deploy` until each of four Shields on one NATS enforces the policy: it is deployed and
 * removed again and again, while a client of each Shield publishes messages that the policy refuses.
 */
import {
  createIssuer,
  type Issuer,
  type ServerProcess,
  startServer,
} from "../../tests/harness/cluster.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { type PolicyAdmin, policyAdmin } from "../../tests/peers/policy_admin.ts";
import { openText, type RawClient } from "../../tests/peers/raw_client.ts";
import { example, variant } from "./policy_rows.ts";
import { ROOT } from "../measure/scenario.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { median, medianOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";

/** One deployment of a policy. Times count from the start of the command or request. */
export interface DeployCycle {
  readonly kind: DeployKind;
  /** Time when the command or the last request was answered. */
  readonly answered_ms: number;
  /** Time when each Shield first refused a message. */
  readonly enforced_ms: readonly number[];
}

/**
 * The way of a deployment. `command`: `arq policy deploy` with a new module. `new`: the same by two requests.
 * `known`: one request for a module that every Shield has compiled before.
 */
type DeployKind = "command" | "new" | "known";

const MEANING: Readonly<Record<DeployKind, string>> = {
  command: "arq policy deploy",
  new: "admin API, new module",
  known: "admin API, known module",
};

const SHIELDS = 4;
const TENANT = "acme";
const POLICY = "words";
/** Pause between two messages of a client, which is the precision of the measurement. */
const PAUSE_MS = 5;
const DEADLINE_MS = 30_000;

interface Bench {
  readonly admin: PolicyAdmin;
  readonly admin_url: string;
  readonly token: string;
  readonly clients: readonly RawClient[];
  readonly dir: string;
  readonly module: Uint8Array<ArrayBuffer>;
}

/** Publishes until the answer's code is `code`; resolves with the time of that answer. */
async function answersWith(client: RawClient, code: number): Promise<number> {
  const deadline_ms = performance.now() + DEADLINE_MS;
  while (performance.now() < deadline_ms) {
    client.send({ op: "pub", room: "lobby", type: "chat", data: { text: "malware" }, id: 1 });
    const answer = await client.json();
    if (answer.code === code) return performance.now();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  throw new Error(`no answer with code ${code} within ${DEADLINE_MS} ms`);
}

function checked({ status, body }: { status: number; body: Record<string, unknown> }) {
  if (status === 200) return body;
  throw new Error(`the admin API answered ${status}: ${JSON.stringify(body)}`);
}

async function upload(bench: Bench, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return String(checked(await bench.admin.upload(bytes))["sha256"]);
}

async function bind(bench: Bench, sha256: string): Promise<void> {
  const binding = { tenant: TENANT, name: POLICY, sha256, hooks: ["on_message"] };
  checked(await bench.admin.post("deploy", binding));
}

async function command(bench: Bench, file: string): Promise<void> {
  const options = ["--tenant", TENANT, "--name", POLICY, "--admin-url", bench.admin_url];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--allow-net", "--allow-read", "--allow-write"],
      ...["--allow-env=INIT_CWD", `${ROOT}/arq/main.ts`, "policy", "deploy", file],
      ...[...options, "--token", bench.token],
    ],
    cwd: ROOT,
    stdin: "null",
  }).output();
  if (!success) throw new Error(`arq policy deploy: ${new TextDecoder().decode(stderr)}`);
}

/** Deploys the policy in one of the ways; preparations for it do not count. */
async function act(bench: Bench, kind: DeployKind, cycle: number): Promise<() => Promise<void>> {
  const module = variant(bench.module, `${kind} ${cycle}`);
  if (kind === "command") {
    const file = `${bench.dir}/words.wasm`;
    await Deno.writeFile(file, module);
    return () => command(bench, file);
  }
  if (kind === "new") return async () => await bind(bench, await upload(bench, module));
  const sha256 = await upload(bench, variant(bench.module, kind));
  return () => bind(bench, sha256);
}

async function removed(bench: Bench): Promise<void> {
  checked(await bench.admin.remove(TENANT, POLICY));
  await Promise.all(bench.clients.map((client) => answersWith(client, 0)));
}

async function measure(bench: Bench, kind: DeployKind, cycle: number): Promise<DeployCycle> {
  const go = await act(bench, kind, cycle);
  const began_ms = performance.now();
  const watching = bench.clients.map((client) => answersWith(client, 403));
  const answered = go().then(() => performance.now() - began_ms);
  const [answered_ms, ...refused_ms] = await Promise.all([answered, ...watching]);
  await removed(bench);
  return { kind, answered_ms, enforced_ms: refused_ms.map((at_ms) => at_ms - began_ms) };
}

async function connect(shields: readonly ServerProcess[], issuer: Issuer): Promise<RawClient[]> {
  const token = await issuer.tokenFor({ tenant_id: TENANT });
  const urls = shields.map(({ ready }) => `${ready["url"]?.replace(/^http/, "ws")}/v1/socket`);
  return await Promise.all(urls.map((url) => openText(url, token)));
}

async function measureAll({ cycles }: { cycles: number }): Promise<DeployCycle[]> {
  await using issuer = await createIssuer();
  await using nats = await startNats({ jetstream: true });
  await using running = new AsyncDisposableStack();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}`;
  const shields: ServerProcess[] = [];
  for (let count = 0; count < SHIELDS; count++) {
    shields.push(running.use(await startServer("shield", config, issuer.dir)));
  }
  const admin_url = shields[0]?.ready["admin_url"] ?? "";
  const tokenFor = () => issuer.tokenFor({ role: "admin", sub: "root" });
  const bench: Bench = {
    admin: await policyAdmin({ admin_url, tokenFor }),
    admin_url,
    token: await tokenFor(),
    clients: await connect(shields, issuer),
    dir: issuer.dir,
    module: await example("bad_words"),
  };
  // The first deployment warms up the Shields, and makes the module of `known` known.
  await measure(bench, "known", 0);
  const results: DeployCycle[] = [];
  for (let cycle = 1; cycle <= cycles; cycle++) {
    for (const kind of ["command", "new", "known"] as const) {
      results.push(await measure(bench, kind, cycle));
    }
  }
  for (const client of bench.clients) client[Symbol.dispose]();
  return results;
}

/** Measures deployments on real processes. */
export function measureDeploy(cycles: number): Promise<DeployCycle[]> {
  console.error("deploy: four Shields on one NATS ...");
  return measuredBy(import.meta.url, { cycles });
}

/** The table of the cycles, one row for each way; the slowest Shield of a cycle counts. */
export function renderDeploy(cycles: readonly DeployCycle[]): string {
  const of = (kind: DeployKind) => cycles.filter((cycle) => cycle.kind === kind);
  const slowest = (kind: DeployKind) => of(kind).map(({ enforced_ms }) => Math.max(...enforced_ms));
  return renderTable(Object.keys(MEANING) as DeployKind[], [
    ["deploy to enforced on 4 Shields", (kind) => MEANING[kind]],
    ["cycles", (kind) => of(kind).length],
    ["answered ms", (kind) => medianOf(of(kind), "answered_ms")],
    ["median ms", (kind) => median(slowest(kind))],
    ["max ms", (kind) => Math.max(...slowest(kind))],
  ]);
}

if (import.meta.main) await answer(measureAll);
