/**
 * The attack that needs no message: one tenant deploys modules that take long to compile, and the bus is restarted.
 * Measures how long others wait, compared with a start without the modules.
 */
import { startBusWith, type TestBus } from "../harness/bus.ts";
import { websocketLine } from "../harness/websocket_option.ts";
import { type PolicyAdmin, policyAdmin } from "../peers/policy_admin.ts";
import { slowToCompile } from "./modules.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

/** The measurement. */
export interface SlowStart {
  /** Accepted modules. */
  readonly modules: number;
  /** From the start of the process until the first message of another tenant arrives. */
  readonly without_ms: number;
  readonly with_ms: number;
  /** Answers to the slow tenant's first message. */
  readonly answer: string;
}

const MODULES = 6;
/**
 * `policy.start_wait_ms`: the longest wait of others. With the default of ten seconds they wait for all modules that
 * were compiled before, so a rolling restart refuses nobody.
 */
const START_WAIT_MS = 500;
/** Where a development bus may write. */
const STATE = new URL("../../.arqon/", import.meta.url).pathname;

async function deploy(admin: PolicyAdmin): Promise<number> {
  let deployed = 0;
  for (let number = 0; number < MODULES; number++) {
    const { status, body } = await admin.upload(slowToCompile(number));
    if (status !== 200) continue;
    const policy = { tenant: "slow", name: `p${number}`, sha256: body["sha256"] };
    if ((await admin.post("deploy", policy)).status === 200) deployed++;
  }
  return deployed;
}

/** The answer to a message by HTTP: a tenant whose policies are not ready gets no connection. */
async function publish(bus: TestBus, tenant: string): Promise<string> {
  const response = await fetch(`${bus.http_url}/v1/rooms/r/messages`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${await bus.tokenFor({ tenant })}`,
      "content-type": "application/json",
    },
    body: '{"data":"first"}',
  });
  const { reason } = await response.json();
  return response.ok ? "0" : `${response.status} ${reason}`;
}

/** A start, and the time until another tenant's message was accepted. */
async function start(config: string): Promise<{ bus: TestBus; took_ms: number }> {
  const began_ms = performance.now();
  const bus = await startBusWith(config);
  const answer = await publish(bus, "other");
  if (answer !== "0") throw new Error(`another tenant's first message: ${answer}`);
  return { bus, took_ms: performance.now() - began_ms };
}

/** Starts its own bus three times. Rejects if another tenant is not served. */
export async function slowStart(websocket: string | undefined): Promise<SlowStart> {
  await Deno.mkdir(STATE, { recursive: true });
  const dir = await Deno.makeTempDir({ dir: STATE });
  const kind = websocketLine(websocket ?? "");
  const server = `[server]\ndata_dir = ${JSON.stringify(dir)}\ndrain_ms = 0\n${kind}`;
  const config = `${server}#constant policy.start_wait_ms = ${START_WAIT_MS}\n`;
  await using _end = atEnd(() => Deno.remove(dir, { recursive: true }));
  await (await start(config)).bus.stop();
  const { bus, took_ms: without_ms } = await start(config);
  const modules = await deploy(await policyAdmin(bus)).finally(() => bus.stop());
  const again = await start(config);
  // Its connections may be refused, too, until its modules are ready.
  const answer = await publish(again.bus, "slow").catch(() => "not let in")
    .finally(() => again.bus.stop());
  return { modules, without_ms, with_ms: again.took_ms, answer };
}
