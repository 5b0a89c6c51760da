/**
 * Runs clients of `deno task bench sdk` one after another on one bus with one publisher, and returns their
 * results. `sdk.ts` says what the figures mean.
 */
import { encodePub, Opcode, writeEnvelope } from "@arqon/proto";
import { startConfigured } from "../measure/targets.ts";
import { LIMITS } from "../load/targets/target_arqon.ts";
import { ROOT } from "../measure/scenario.ts";
import { connectSocket } from "../measure/socket.ts";
import { TextLineStream } from "../measure/text_lines.ts";
import { LOADS, PARTS } from "./plan.ts";
import type { ClientPlan, ClientResult, Load, Part } from "./plan.ts";

/** The languages with an SDK. */
export const LANGUAGES = ["typescript", "python"] as const;
/** One of these languages. */
export type Language = typeof LANGUAGES[number];

/** The plan of the measurement. */
export interface SdkPlan {
  readonly languages: readonly Language[];
  /** Path of the Python that has the SDK. */
  readonly python: string;
  readonly rounds: number;
  /** Number of a client's messages that count, by language: so many that they take a second or more. */
  readonly messages: Readonly<Record<Language, number>>;
  readonly size_bytes: number;
}

/** The result of one client in one round. */
export interface ClientRun extends ClientResult {
  readonly language: Language;
  readonly load: Load;
  readonly part: Part;
  readonly round: number;
}

/** Time limit in ms, reached only when something hangs or messages are lost. */
const PATIENCE_MS = 120_000;
/** Share of additional messages that come first and do not count. */
const WARMUP = 0.2;
/** Share of the messages that is enough when each waits for the ACK of the one before. */
const SINGLE = 0.2;

/** Messages that are sent at once; the Spine would drop what is further ahead. */
const CHUNK = 1_000;

/** A Shield keeps whatever a client has not read yet, since the client is measured. */
const CONFIG = `
[server]
host = "127.0.0.1"
heartbeat_ms = 60_000
drain_ms = 0
[ops]
host = "127.0.0.1"
[brain]
tap = 0${LIMITS}unsent_bytes = 1_073_741_824
`;

interface Publisher extends Disposable {
  /** Rejects when the bus refuses something or ends. */
  readonly failed: Promise<never>;
  /** Sends messages; with `single` each one after the ACK of the one before. */
  send(room_id: string, messages: number, single: boolean): Promise<void>;
}

async function openPublisher(url: string, token: string, size_bytes: number): Promise<Publisher> {
  const socket = await connectSocket(url, ["arqon.v1", `arqon.token.${token}`]);
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  let onAck = () => {};
  socket.onend = (why) => failed.reject(new Error(`the publisher's connection: ${why}`));
  socket.onmessage = (frame) => {
    if (frame[0] === Opcode.ACK) onAck();
    else if (frame[0] === Opcode.PING) {
      socket.send(new Uint8Array([Opcode.PONG, ...frame.subarray(1)]));
    } else if (frame[0] === Opcode.ERR) {
      failed.reject(new Error(`refused: ${new TextDecoder().decode(frame.subarray(3))}`));
    }
  };
  const data = new Uint8Array(size_bytes);
  const event = { type: "bench", data, content_type: "application/octet-stream" };
  return {
    failed: failed.promise,
    async send(room_id, messages, single) {
      const plain = encodePub(writeEnvelope({ room_id, event }));
      const asking = { room_id, event, ack_requested: true, request_id: 1 };
      const asked = encodePub(writeEnvelope(asking));
      for (let sent = 1; sent <= messages; sent++) {
        if (!single && sent % CHUNK !== 0) {
          socket.send(plain);
          continue;
        }
        const answered = new Promise<void>((resolve) => onAck = resolve);
        socket.send(asked);
        await answered;
      }
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

/** Runs one client to its end, and publishes what it receives once it is subscribed. */
async function runClient(
  command: readonly string[],
  plan: ClientPlan,
  publisher: Publisher,
): Promise<ClientResult> {
  const [program = "", ...args] = [...command, JSON.stringify(plan)];
  const child = new Deno.Command(program, {
    args,
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  const log = new Response(child.stderr).text();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
    .values();
  try {
    const next = async () => {
      const { value, done } = await Promise.race([lines.next(), publisher.failed]);
      if (!done) return value;
      // A killed client says nothing; it was waiting for messages that never came.
      throw new Error(`${program} ended:\n${(await log).slice(-4_096) || "it took too long"}`);
    };
    await next();
    const { room_id, load, warmup, messages } = plan;
    if (load !== "publish") {
      const sent = publisher.send(room_id, warmup + messages, load === "receive single");
      await Promise.race([sent, publisher.failed]);
    }
    return JSON.parse(await next());
  } finally {
    clearTimeout(timer);
    await lines.return?.();
    try {
      child.kill("SIGTERM");
    } catch {
      // The client has ended already.
    }
    await Promise.all([child.status, log]);
  }
}

function commandOf(language: Language, { python }: SdkPlan): string[] {
  if (language === "python") return [python, `${ROOT}/bench/sdk/client.py`];
  return [Deno.execPath(), "run", "--no-prompt", "--allow-net", `${ROOT}/bench/sdk/client.ts`];
}

/**
 * Runs every client of every round. The parts take turns within a load, in the opposite order every other
 * time.
 */
export async function measure(
  plan: SdkPlan,
  note: (text: string) => void,
): Promise<ClientRun[]> {
  await using bus = await startConfigured(CONFIG);
  const { url, token } = bus;
  const { size_bytes } = plan;
  using publisher = await openPublisher(url, token, size_bytes);
  const runs: ClientRun[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const parts = round % 2 === 0 ? PARTS : PARTS.toReversed();
    for (const language of plan.languages) {
      for (const load of LOADS) {
        const share = load === "receive single" ? SINGLE : 1;
        const messages = Math.ceil(plan.messages[language] * share);
        const warmup = Math.ceil(messages * WARMUP);
        for (const part of parts) {
          const room_id = `sdk-${runs.length}`;
          const client = { url, token, room_id, part, load, warmup, messages, size_bytes };
          const result = await runClient(commandOf(language, plan), client, publisher);
          runs.push({ language, load, part, round, ...result });
          note(`round ${round + 1}: ${language}, ${load}, ${part}`);
        }
      }
    }
  }
  return runs;
}
