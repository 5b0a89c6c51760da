/**
 * The thread behind `hostile.ts`: admins and clients of hostile tenants on real sockets. Says that it
 * is `loaded` (what it is told before is lost), is told once what to do, says `ready` when everything
 * is deployed, and on `stop` what the bus answered.
 */
import { HOSTILE_MODULES } from "../../tests/peers/hostile_modules.ts";
import type { HostileModule } from "../../tests/peers/hostile_modules.ts";
import { policyAdmin } from "../../tests/peers/policy_admin.ts";
import type { PolicyAdmin } from "../../tests/peers/policy_admin.ts";

/**
 * The kind of attack: `messages` through deployed modules, or `uploads` and deployments one after another.
 */
export type HostileMode = "messages" | "uploads";

/** The order for the thread. */
export interface HostileOrder {
  readonly mode: HostileMode;
  /** Messages per second of each tenant, or uploads per second of all together. */
  readonly rate: number;
  readonly url: string;
  readonly admin_url: string;
  readonly admin_token: string;
  /** The token of each tenant, by name of its module. */
  readonly tokens: Readonly<Record<string, string>>;
}

/** How often the bus answered with each code or HTTP status. */
export interface HostileReport {
  readonly answers: Readonly<Record<string, number>>;
}

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<HostileOrder | "stop">) => void) | null;
  postMessage(message: "loaded" | "ready" | HostileReport): void;
};

const answers: Record<string, number> = {};
let stopped = false;

function count(code: number): void {
  answers[code] = (answers[code] ?? 0) + 1;
}

const LOADING = HOSTILE_MODULES.filter(({ outcome }) => outcome.at === "message");

async function deploy(admin: PolicyAdmin, { name }: HostileModule, sha256: unknown) {
  return await admin.post("deploy", { tenant: name, name, sha256 });
}

/** Opens a client of the tenant and keeps it sending. It counts all answers. */
async function attack(order: HostileOrder, { name }: HostileModule): Promise<WebSocket> {
  const socket = new WebSocket(order.url, ["arqon.v1.json", `arqon.token.${order.tokens[name]}`]);
  const { promise: welcome, resolve, reject } = Promise.withResolvers<void>();
  socket.onmessage = () => resolve();
  socket.onerror = () => reject(new Error(`cannot connect as ${name}`));
  await welcome;
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.op === "ack" || frame.op === "err") count(frame.code);
  };
  return socket;
}

async function messages(order: HostileOrder, admin: PolicyAdmin): Promise<void> {
  for (const hostile of LOADING) {
    const { body } = await admin.upload(hostile.make());
    const { status } = await deploy(admin, hostile, body["sha256"]);
    if (status !== 200) throw new Error(`${hostile.name} does not deploy: ${status}`);
  }
  const sockets = await Promise.all(LOADING.map((hostile) => attack(order, hostile)));
  const frame = JSON.stringify({ op: "pub", room: "r", data: "judged", id: 1 });
  // The clients send in turn, evenly over each second.
  const step_ms = 1_000 / (order.rate * sockets.length);
  const began_ms = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    for (; sent * step_ms < performance.now() - began_ms; sent++) {
      sockets[sent % sockets.length]?.send(frame);
    }
    if (!stopped) return;
    clearInterval(timer);
    for (const socket of sockets) socket.close();
    scope.postMessage({ answers });
  }, 1);
  scope.postMessage("ready");
}

/** The same module with another custom section, so that the bus does not know it from before. */
function renewed(bytes: Uint8Array<ArrayBuffer>, number: number): Uint8Array<ArrayBuffer> {
  const section = [0, 5, 0, number & 0xff, (number >> 8) & 0xff, (number >> 16) & 0xff, 0];
  return new Uint8Array([...bytes, ...section]);
}

async function uploads({ rate }: HostileOrder, admin: PolicyAdmin): Promise<void> {
  // The modules are made first, so that only the work of the bus counts.
  const made = HOSTILE_MODULES.map((hostile) => ({ hostile, bytes: hostile.make() }));
  scope.postMessage("ready");
  const began_ms = performance.now();
  for (let number = 0; !stopped; number++) {
    const wait_ms = began_ms + number * 1_000 / rate - performance.now();
    if (wait_ms > 0) await new Promise((resolve) => setTimeout(resolve, wait_ms));
    const { hostile, bytes } = made[number % made.length]!;
    const loads = hostile.outcome.at === "message";
    const uploaded = await admin.upload(loads ? renewed(bytes, number) : bytes);
    count(uploaded.status);
    if (uploaded.status !== 200) continue;
    count((await deploy(admin, hostile, uploaded.body["sha256"])).status);
  }
  scope.postMessage({ answers });
}

scope.onmessage = async ({ data }) => {
  if (data === "stop") {
    stopped = true;
    return;
  }
  const { admin_url, admin_token } = data;
  const admin = await policyAdmin({ admin_url, tokenFor: () => Promise.resolve(admin_token) });
  await (data.mode === "messages" ? messages(data, admin) : uploads(data, admin));
};
scope.postMessage("loaded");
