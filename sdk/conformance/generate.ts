/**
 * All vectors: those in `vectors/`, which are written by hand, and frames.json, presence.json, deltas.json and
 * errors.json, which encoders and proto/errors.json say better than a hand. Prints them as one JSON object, by name of
 * file, for runners in other languages: `deno run --allow-read sdk/conformance/generate.ts`.
 */
import { encodePresenceLeave, encodePresenceUpdate, type PresentMember } from "@arqon/proto";
import { connectionCases, diffCases } from "./delta_cases.ts";
import { vcdiffCases } from "./vcdiff_cases.ts";
import { encodeClient, encodeServer } from "./encode.ts";
import { LENIENT, REFUSED, TORN } from "./byte_cases.ts";
import { CLIENT, SERVER } from "./frame_cases.ts";
import { toHex } from "./plain.ts";
import { type CaseMember, PRESENCE, type Step } from "./presence_cases.ts";

const FOLDER = new URL("./vectors/", import.meta.url);
const REGISTRY = new URL("../../proto/errors.json", import.meta.url);

/** The part of proto/errors.json that a client acts on. */
interface Registry {
  readonly errors: readonly { number: number; code: number; name: string; client: string }[];
}

function frames(): unknown {
  const server = { direction: "server" }, client = { direction: "client" };
  return {
    about:
      "Frames of arqon.v1. server: bytes and what a client makes of them; client: an operation and its exact bytes.",
    cases: [
      ...Object.entries(SERVER).map(([name, expect]) => (
        { name, ...server, hex: toHex(encodeServer(expect)), expect }
      )),
      ...Object.entries(LENIENT).map(([name, [hex, expect]]) => (
        { name, ...server, hex, canonical: false, expect }
      )),
      ...Object.entries(TORN).map(([name, [hex, expect]]) => (
        { name, ...server, hex, canonical: false, expect }
      )),
      ...Object.entries(REFUSED).map(([name, hex]) => (
        { name, ...server, hex, expect: { kind: "refused" } }
      )),
      ...Object.entries(CLIENT).map(([name, operation]) => (
        { name, ...client, operation, hex: toHex(encodeClient(operation)) }
      )),
    ],
  };
}

function wireMember({ meta, ...rest }: CaseMember): PresentMember {
  return { ...rest, meta: meta === null ? "" : JSON.stringify(meta) };
}

function stepOf(step: Step): unknown {
  if ("garbage" in step) return { event: step.garbage, hex: step.hex, refused: true };
  if ("update" in step) {
    const { update, users, snapshot } = step;
    const change = { members: update.map(wireMember), connections: users, users };
    const bytes = encodePresenceUpdate({ ...change, snapshot: snapshot ?? false });
    return { event: "PRESENCE_UPDATE", hex: toHex(bytes), says: step };
  }
  if ("leave" in step) {
    const { leave, users } = step;
    const bytes = encodePresenceLeave({
      members: leave.map(wireMember),
      connections: users,
      users,
    });
    return {
      event: "PRESENCE_LEAVE",
      hex: toHex(bytes),
      says: { leave: leave.map(({ connection_id }) => connection_id), users },
    };
  }
  return step;
}

function presence(): unknown {
  return {
    about:
      "Who is in a room after what a Shield said. Steps: ack (JSON of the ACK to SUB), event (data as hex; says: the same to read), lost (the connection ended).",
    cases: PRESENCE.map(({ name, steps, expect }) => ({ name, steps: steps.map(stepOf), expect })),
  };
}

function deltas(): unknown {
  return {
    about:
      "Messages as diffs. diff (Fossil) and vcdiff: base, diff and the data that it makes, null when it is refused; connection: what a client sends (sub with delta and delta_bytes, unsub) and hears (hex), and what its program then gets; bytes_max: what it keeps of all rooms.",
    cases: [...diffCases(), ...vcdiffCases(), ...connectionCases()],
  };
}

/** What a client does about a reason, by the word of the registry. */
function reactionOf(client: string): unknown {
  return { client, reconnect: client !== "never-retry", fresh_token: client === "refresh-token" };
}

/** Refusals as they come over the wire, with the reason that a client must name. */
const WIRE = [
  ["a known reason", {
    code: 429,
    reason: "rate-limited",
    message: "Rate limited: x",
    retry_after_ms: 250,
  }, "rate-limited"],
  [
    "an ERR of 400: its text says nothing to a client",
    { code: 400, message: "Unknown opcode: 0x7f" },
    "invalid-field",
  ],
  ["an ERR of 401", { code: 401, message: "Token expired" }, "token-claim"],
  ["an ERR of 403", { code: 403, message: "Not granted: subscribe in lobby" }, "policy-rejected"],
  ["an ERR of 404", { code: 404, message: "Not found" }, "not-found"],
  ["an ERR of 405", { code: 405, message: "no" }, "method-not-allowed"],
  ["an ERR of 408", { code: 408, message: "late" }, "command-timeout"],
  ["an ERR of 413", { code: 413, message: "long" }, "message-too-large"],
  ["an ERR of 415", { code: 415, message: "odd" }, "unsupported-media-type"],
  ["an ERR of 429", { code: 429, message: "calm down" }, "rate-limited"],
  ["an ERR of 500", { code: 500, message: "oh" }, "internal"],
  [
    "a refusal with its room",
    {
      code: 403,
      reason: "not-granted",
      message: "Not granted: presence in lobby",
      room_id: "lobby",
      action: "presence",
    },
    "not-granted",
    { room: "lobby", action: "presence" },
  ],
  [
    "an unknown reason of a known code",
    { code: 409, reason: "from-the-future", message: "no" },
    "version-conflict",
  ],
  ["an unknown code", { code: 599, reason: "", message: "odd" }, "internal"],
  [
    "a name of Object.prototype is no reason",
    { code: 404, reason: "toString", message: "no" },
    "not-found",
  ],
  [
    "an unknown reason without a text: its name is all there is",
    { code: 409, reason: "from-the-future", message: "" },
    "version-conflict",
    { says: "from-the-future" },
  ],
  [
    "nothing at all: the reason's own text",
    { code: 503, reason: "", message: "" },
    "spine-unavailable",
    {
      says: "Spine unavailable",
    },
  ],
  [
    "a policy's own code",
    { code: 451, reason: "policy-rejected", message: "no" },
    "policy-rejected",
    {
      code: 451,
    },
  ],
  [
    "a code that is no refusal's says nothing",
    { code: 200, reason: "", message: "odd" },
    "internal",
    {
      code: 500,
    },
  ],
] as const;

function errors(registry: Registry): unknown {
  const rows = registry.errors.map(({ number, code, name, client }) => (
    { name, kind: "reason", number, code, expect: reactionOf(client) }
  ));
  const clients = new Map(registry.errors.map(({ name, client }) => [name, client]));
  const wire = WIRE.map(([name, refusal, reason, more]) => {
    const retry_after_ms = "retry_after_ms" in refusal ? refusal.retry_after_ms : 0;
    const reaction = reactionOf(clients.get(reason) ?? "") as object;
    const expect = { reason, retry_after_ms, ...more, ...reaction };
    return { name, kind: "wire", refusal, expect };
  });
  return {
    about:
      "What a client does after each refusal. reason: every row of proto/errors.json, when it refuses a connection; wire: an ACK or ERR and the reason it stands for.",
    cases: [...rows, ...wire],
  };
}

/** Every vectors file by its name, as JSON on one line: what each runner reads. */
export function vectorsText(): string {
  const registry = JSON.parse(Deno.readTextFileSync(REGISTRY)) as Registry;
  const files: Record<string, unknown> = {
    "deltas.json": deltas(),
    "errors.json": errors(registry),
    "frames.json": frames(),
    "presence.json": presence(),
  };
  for (const { name } of Deno.readDirSync(FOLDER)) {
    files[name] = JSON.parse(Deno.readTextFileSync(new URL(name, FOLDER)));
  }
  return JSON.stringify(Object.fromEntries(Object.entries(files).sort()));
}

if (import.meta.main) console.log(vectorsText());
